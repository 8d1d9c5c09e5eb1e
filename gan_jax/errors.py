"""Exceptions that the user can do something about, and parts of their messages.

The command line prints their message without a traceback. It does the same for errors of the operating system that name
a cause or a file, such as a full disk (`cli.message`). Every other exception is a bug or comes from a library, and
keeps its traceback.
"""

import difflib
from collections.abc import Iterable


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


def nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """Returns a question that suggests similar names, such as " Did you mean digits?"; "" if none is similar."""
    close = difflib.get_close_matches(word, sorted(known), cutoff=similarity)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def listed(names: Iterable[str], most: int = 4) -> str:
    """Returns the first names and the number of the others, such as "a, b and 3 more"."""
    names = [*names]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
