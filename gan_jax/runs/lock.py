"""The lock of a run directory, in which one process trains at a time."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from gan_jax.devices import cluster
from gan_jax.errors import UserError
from gan_jax.files import write_json

LOCK, HOLDER = "training.lock", "training.json"
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)  # errors of file systems without locks


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Locks a run directory, so that no other process trains in it.

    The operating system releases the lock when the process ends, in whatever way: the file that a killed process leaves
    locks nothing. If several processes train together, the first holds the lock for all.

    Args:
        directory: The run directory; made if it does not exist. If the block adds no file to the directory, the lock
            leaves none there either.

    Raises:
        UserError: If another process holds the directory, naming its host and process id.
    """
    if not cluster.chief():
        yield
        return
    created = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    before = {path.name for path in directory.iterdir()} - {HOLDER}
    lock = filelock.FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        remedy = "wait for it, stop it, or give another --workdir"
        raise UserError(f"{directory}: {_holder(directory)} is training in this directory: {remedy}") from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in UNSUPPORTED:
            raise
        print(f"warning: {directory} is on a file system without locks: make sure that only one process trains in it")
    try:
        write_json(directory / HOLDER, {"host": socket.gethostname(), "process": os.getpid()})
        yield
    finally:
        with suppress(OSError):  # the directory may be gone; it must not hide the error that ended the run
            (directory / HOLDER).unlink()
            if LOCK not in before and {path.name for path in directory.iterdir()} == {*before, LOCK}:
                (directory / LOCK).unlink()  # safe: filelock checks that the file it has locked still has a name
                for folder in created:
                    folder.rmdir()  # fails if it has other files
        lock.release()


def _holder(directory: Path) -> str:
    with suppress(OSError, ValueError, KeyError):  # the file may not be written yet
        holder = json.loads((directory / HOLDER).read_text())
        return f"process {holder['process']} on {holder['host']}"
    return "another process"
