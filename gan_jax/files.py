"""Atomic writing of files: complete, or not at all."""

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from gan_jax.errors import UserError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@contextmanager
def atomic(path: Path | str, suffix: str = "") -> Iterator[BinaryIO]:
    """Context manager: opens a binary file for writing, which appears under its name only when the block ends.

    After an exception nothing is left of it. If the path is a symbolic link, its target is replaced.

    Args:
        path: The file; missing folders are created.
        suffix: Required ending of the name, such as ".png"; "" allows any.

    Raises:
        UserError: If the ending is wrong, or the path is a folder, a device, a pipe or a socket.
    """
    _require_file(Path(path), suffix)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")  # renames are atomic within a folder
    try:
        with open(partial, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # else the name could reach the disk before the contents
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path | str, value: Any) -> None:
    """Writes a value as JSON, atomically.

    Args:
        path: The file.
        value: A value of JSON's types.
    """
    with atomic(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def require_writable(path: Path, suffix: str = "") -> None:
    """Checks that a file can be written, before a long computation.

    Args:
        path: The file; neither it nor its folder need exist.
        suffix: See `atomic`.

    Raises:
        UserError: See `atomic`; or if the folder is not writable.
    """
    _require_file(path, suffix)
    folder = Path(os.path.realpath(path)).parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: {folder} is not writable; give another path with --out")


def _require_file(path: Path, suffix: str) -> None:
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
            raise UserError(f"{path} is {kind} and is not overwritten; give the path of a file")
    if suffix and path.suffix.lower() != suffix:
        raise UserError(f"{path}: the output is a {suffix[1:].upper()} file; give a name that ends in {suffix}")
