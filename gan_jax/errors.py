"""Exceptions for what the user can mend: the command line prints their message alone.

Every other exception is a bug, or comes from a library, and keeps its traceback; but for the operating system's errors
that say what they are about, such as a full disk or a file that may not be read.
"""


class UserError(ValueError):
    """An argument, a file or a combination of settings that cannot work; the message says what to change."""


class NotFound(UserError, FileNotFoundError):
    """A file, a run, a checkpoint or a data set that is not there."""


class Unreachable(UserError, ConnectionError):
    """What is to be downloaded, and cannot be."""


class Diverged(UserError, FloatingPointError):
    """A metric or a parameter that is no longer finite."""


class OutOfMemory(UserError, MemoryError):
    """More than a device, or this machine, holds."""
