"""Evaluation of many rows in batches of one size.

A function compiles once for any number of rows, and a row's result does not depend on their number: another batch size
would change the last bits.
"""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from numpy.typing import ArrayLike

from gan_jax.rows import Rows
from gan_jax.types import PyTree


def in_batches(function: Callable[..., PyTree], size: int, *rows: ArrayLike | Rows) -> PyTree:
    """Applies a function to rows in batches of one size, the last one padded with zeros.

    Args:
        function: Compiled `(batch [size, ...], ...) -> arrays [size, ...]`; row i of its outputs must depend on row i
            of its inputs alone.
        size: Rows per batch.
        *rows: Arrays `[n, ...]` of equal n, or images on disk, each cut into batches.

    Returns:
        The outputs of all rows, `[n, ...]`, on the host, in the function's structure.
    """
    return joined(stream(function, size, *rows))


def stream(function: Callable[..., PyTree], size: int, *rows: ArrayLike | Rows) -> Iterator[PyTree]:
    """Yields the outputs of `in_batches` batch by batch, without padding; computes the next while one is used.

    Without rows it yields one batch of 0 rows, which has the outputs' types.
    """
    ahead = None
    for batch, count in padded(size, *rows):
        ahead, done = (function(*batch), count), ahead
        if done is not None:
            yield _fetched(*done)
    if ahead is not None:
        yield _fetched(*ahead)


def joined(batches: Iterator[PyTree]) -> PyTree:
    """Concatenates batches of equal structure along their rows."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def padded(size: int, *rows: ArrayLike | Rows) -> Iterator[tuple[list[np.ndarray], int]]:
    """Yields batches of `size` rows of each array, the last one padded with zeros, and their counts without padding."""
    arrays = [each if isinstance(each, Rows) else np.asarray(each) for each in rows]
    for start in range(0, max(1, len(arrays[0])), size):
        parts = [np.asarray(each[start : start + size]) for each in arrays]
        missing = size - len(parts[0])
        yield [np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)]) for x in parts], size - missing


def _fetched(outputs: PyTree, count: int) -> PyTree:
    return jax.tree.map(lambda x: np.asarray(x)[:count], outputs)
