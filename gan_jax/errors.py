"""Exceptions that the user can do something about: the command line prints their message without a traceback.

So it does for errors of the operating system that name a cause or a file, such as a full disk (`cli.message`). Every
other exception is a bug or comes from a library, and keeps its traceback.
"""


class UserError(ValueError):
    """An argument, file or combination of settings is invalid; the message says what to change."""


class NotFound(UserError, FileNotFoundError):
    """A file, run, checkpoint or data set does not exist."""


class Unreachable(UserError, ConnectionError):
    """A file cannot be downloaded."""


class Diverged(UserError, FloatingPointError):
    """A metric or parameter is no longer finite."""


class OutOfMemory(UserError, MemoryError):
    """Arrays exceed the memory of a device or of this machine."""
