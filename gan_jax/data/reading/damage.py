"""Replaces each unreadable image of a data set in memory by the next readable one, as streams do."""

import warnings
from collections.abc import Callable

import numpy as np

from gan_jax.data.cache import cached
from gan_jax.data.reading.listing import shown

Arrays = dict[str, np.ndarray]


def decoded(
    name: str, key: object, decode: Callable[[list[int] | None], Arrays], skip_damaged: bool
) -> tuple[Arrays, np.ndarray]:
    """Reads decoded images from the cache, or decodes and caches them.

    Args:
        name: As in `cached`.
        key: As in `cached`.
        decode: Makes the arrays. Its argument is a list to which it appends the indices of unreadable rows, or None if
            it should raise at the first one.
        skip_damaged: Whether unreadable rows are accepted.

    Returns:
        The arrays, and the indices of the unreadable rows.
    """

    def make() -> Arrays:
        rows: list[int] | None = [] if skip_damaged else None
        return {**decode(rows), "damaged": np.array(rows or [], np.int64)}

    arrays = cached(name, key, make)
    damaged = arrays.pop("damaged", np.empty(0, np.int64))
    if len(damaged) and not skip_damaged:
        return decode(None), damaged[:0]
    return arrays, damaged


def replaced(arrays: Arrays, damaged: np.ndarray, name: Callable[[int], str]) -> Arrays:
    """Replaces each unreadable row by the next readable one, and warns.

    Args:
        arrays: Arrays by name, with equal numbers of rows.
        damaged: Indices of the unreadable rows; not all rows.
        name: Maps a row's index to its image's name, for the warning.
    """
    if not len(damaged):
        return arrays
    count = len(next(iter(arrays.values())))
    rows, sound = np.arange(count), np.setdiff1d(np.arange(count), damaged)
    rows[damaged] = sound[np.searchsorted(sound, damaged) % len(sound)]
    first = ", ".join(shown(name(int(row))) for row in damaged[:3])
    more = ", …" if len(damaged) > 3 else ""
    warnings.warn(
        f"skipped: {len(damaged):,} of {count:,} images cannot be read and are replaced by the images after "
        f"them: {first}{more}",
        stacklevel=2,
    )
    return {key: array[rows] for key, array in arrays.items()}
