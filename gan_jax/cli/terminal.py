"""Output on a terminal: text within its width, and streams that never raise."""

import codecs
import io
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def listing(entries: Iterable[tuple[str, str]]) -> str:
    """Returns a list of names and their descriptions, one entry below the other, within the terminal's width."""
    entries = list(entries)
    start = max(len(name) for name, _ in entries) + 4
    return "\n".join(_filled(f"  {name}".ljust(start) + text, " " * start) for name, text in entries)


def duration(seconds: float) -> str:
    """Formats a duration in the largest unit of which there are several."""
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36_000 else f"{seconds / 3600:.0f} h"


@contextmanager
def wrapped() -> Iterator[None]:
    """Context manager: wraps printed lines that are wider than the terminal, each with its own indentation."""
    terminal, columns = sys.stdout, shutil.get_terminal_size().columns

    class Text(io.StringIO):
        # tyro chooses characters by the encoding, of exactly this spelling, and colours if it is a terminal
        encoding = codecs.lookup(terminal.encoding or "ascii").name

        def isatty(self) -> bool:
            return terminal.isatty()

    sys.stdout = text = Text()
    try:
        yield
    finally:
        sys.stdout = terminal
        for line in re.sub(r"\n{3,}", "\n\n", text.getvalue()).splitlines():
            wide = len(re.sub(r"\x1b\[[0-9;]*m", "", line)) > columns
            print(_filled(line, " " * (len(line) - len(line.lstrip()))) if wide else line)


def _filled(line: str, indent: str) -> str:
    """Wraps a line, never within a flag; later lines are indented."""
    columns = max(shutil.get_terminal_size().columns, len(indent) + 20)
    return textwrap.fill(line, columns, subsequent_indent=indent, break_on_hyphens=False)


class _Pipe(io.FileIO):
    """A standard stream that drops output after its reader has closed, as in `| head -1`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def outlast_readers() -> None:
    """Makes output never raise: not when its reader has closed, nor when the encoding lacks a character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or stream is not getattr(sys, f"__{name}__"):
            continue  # replaced, as by a notebook or a test
        stream.flush()
        raw = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
        by_lines = stream.line_buffering or stream.write_through  # the latter if Python is not to buffer at all
        setattr(sys, name, io.TextIOWrapper(raw, stream.encoding, "replace", None, by_lines))
