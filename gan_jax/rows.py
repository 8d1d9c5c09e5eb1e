"""Images that are read from disk whenever they are used, in place of an array in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 256  # rows read at once


@dataclass(frozen=True)
class Rows:
    """Images uint8 `[n, H, W, C]` on disk, read whenever `np.asarray` is called.

    Indexing by a slice or an array returns `Rows` again, and reads nothing.

    Attributes:
        read: `(numbers [b]) -> images [b, H, W, C]`.
        numbers: Numbers of the images, `[n]`.
        size: Height, width and channels of an image.
    """

    read: Callable[[np.ndarray], np.ndarray]
    numbers: np.ndarray
    size: tuple[int, ...]
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array, `(n, H, W, C)`."""
        return len(self.numbers), *self.size

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.numbers)

    def __getitem__(self, chosen: slice | np.ndarray) -> "Rows":
        """Returns a part, without reading it."""
        return Rows(self.read, self.numbers[chosen], self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Reads the images."""
        return np.asarray(self.read(self.numbers), dtype)


def blocks(array: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """Yields an array in blocks of rows: one in memory as a whole, images on disk `BLOCK` at a time."""
    if isinstance(array, Rows):
        yield from (np.asarray(array[start : start + BLOCK]) for start in range(0, len(array), BLOCK))
    else:
        yield array


def changed(array: np.ndarray | Rows, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Applies a function to images `[b, H, W, C]`, or to `Rows` when they are read; it must map each image alone."""
    if not isinstance(array, Rows):
        return change(array)
    size = change(np.zeros((0, *array.size), array.dtype)).shape[1:]
    return Rows(lambda numbers: change(array.read(numbers)), array.numbers, size)
