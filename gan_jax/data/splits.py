"""Splits of data sets: which of them are for training, and which examples are held out."""

import os
import zlib

import numpy as np

from gan_jax.data.dataset import Dataset
from gan_jax.errors import UserError


def of_split(data: Dataset, split: str) -> Dataset:
    """Returns the split of this name of a set in memory: the set itself, or its held-out part.

    Raises:
        UserError: If it is neither.
    """
    known = {each.split: each for each in (data, data.held_out) if each is not None}
    if split not in known:
        raise UserError(
            f"split={split!r}: {data.name} has {' and '.join(known)}; make it with data.from_arrays, which has a test "
            "split, or return the requested split"
        )
    return known[split]


def for_training(split: str) -> bool:
    """Returns whether a split, or a slice such as "train[:10%]", is for training; the others are held out."""
    return split.startswith(("train", "all"))


def tenth(count: int) -> np.ndarray:
    """Marks a tenth of the examples, and at least one, at random with a fixed seed; bool `[count]`."""
    marked = np.zeros(count, bool)
    marked[np.random.RandomState(0).permutation(count)[: max(1, count // 10)]] = True  # NumPy keeps its streams fixed
    return marked


def is_held_out(name: str) -> bool:
    """Returns whether an example of this name is held out for testing: one in ten, by a hash of the name."""
    return zlib.crc32(os.fsencode(name)) % 10 == 0
