"""Exceptions for what the user can mend: the command line prints their message alone.

Every other exception is a bug, or comes from a library, and keeps its traceback. Only of the operating system's errors
that name a cause or a file, such as a full disk, the message is printed alone too: see `cli.message`.
"""


class UserError(ValueError):
    """An argument, a file or a combination of settings that cannot work; the message says what to change."""


class NotFound(UserError, FileNotFoundError):
    """A file, a run, a checkpoint or a data set that is not there."""


class Unreachable(UserError, ConnectionError):
    """A file that is to be downloaded, and cannot be."""


class Diverged(UserError, FloatingPointError):
    """A metric or a parameter that is no longer finite."""


class OutOfMemory(UserError, MemoryError):
    """Arrays that exceed the memory of a device, or of this machine."""
