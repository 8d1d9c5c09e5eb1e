"""On-disk cache of decoded data sets, classifiers and downloads, made by the first run; safe to delete at any time."""

import contextlib
import functools
import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_jax.errors import UserError
from gan_jax.files import atomic

# names of files in the cache: arrays of `cached`, downloaded weights, and either while it is written
WRITTEN = re.compile(r"\.?(.+-[0-9a-f]{16}\.npz|pt_inception-[-0-9a-f]+\.pth)(\.[0-9a-f]{32}\.partial)?")


def directory() -> Path:
    """Returns the cache directory: $GAN_JAX_CACHE, else $XDG_CACHE_HOME/gan_jax, else ~/.cache/gan_jax.

    Without a home directory, as for an unknown user in a container, it is temporary and deleted when the process ends.
    """
    chosen = os.environ.get("GAN_JAX_CACHE")
    path = os.path.expanduser(chosen or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "gan_jax"))
    return Path(_temporary().name if path.startswith("~") else path)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="gan_jax-")


def cached(name: str, key: object, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Reads arrays from the cache, or makes and caches them.

    Errors in reading or writing the cache are ignored.

    Args:
        name: Readable part of the file's name.
        key: Everything that the arrays depend on; keys are compared by `repr`.
        make: Makes the arrays.

    Returns:
        The arrays.
    """
    stem = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)[-60:]
    path = directory() / f"{stem}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.npz"
    if (arrays := _read(path)) is not None:
        return arrays
    arrays = make()
    with contextlib.suppress(OSError, UserError), atomic(path) as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    return arrays


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Reads a cached file; returns None if it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
