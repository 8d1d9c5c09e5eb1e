"""Feeding of data to the devices: the whole set once, or a stream with one call's batches at a time."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax

from gan_jax import rng
from gan_jax.data import Dataset, Stream, batches, streaming
from gan_jax.data.streaming import Take
from gan_jax.devices import memory, parallel
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch

CHUNK = 256 * 2**20  # most bytes of streamed images per call


class Feeding(NamedTuple):
    """A data set as the loop uses it.

    Attributes:
        draw: `(data, key, step) -> batch`, for `rules.many`.
        capacity: The largest number of iterations per call.
        specs: Layout of a call's arguments over devices, for `parallel.spread`.
        open: `(key, step, calls)` opens the data from a step on. It yields `take() -> (data, seconds)`: the data of the
            next call, and the time spent waiting for them; `calls(step)` is the number of iterations of a call that
            begins at that step.
        near: Examples in memory: all, or of a stream some, evenly spaced.
        text: Description for the terminal.
    """

    draw: Callable[[Any, Array, Array], Batch]
    capacity: int
    specs: Any
    open: Callable[[Array, int, Callable[[int], int]], AbstractContextManager[Take]]
    near: Dataset
    text: str


def whole(dataset: Dataset, batch_size: int, repeats: int, capacity: int, devices: Sequence[Any]) -> Feeding:
    """Places a data set on every device."""
    arrays = parallel.replicate(dataset.arrays, devices)
    draw = batches(dataset.count, batch_size, repeats, dataset.apart, dataset.spec.kind)
    text = f"{memory.text(memory.size(dataset.arrays))} on each device"
    return Feeding(
        draw, capacity, parallel.WHOLE, lambda key, step, calls: nullcontext(lambda: (arrays, 0.0)), dataset, text
    )


def streamed(
    stream: Stream,
    batch_size: int,
    repeats: int,
    capacity: int,
    devices: Sequence[Any],
    near: int,
    skip_damaged: bool,
) -> Feeding:
    """Streams a data set.

    Args:
        stream: What to read.
        batch_size: Examples in the global batch.
        repeats: Batches per iteration.
        capacity: The largest number of iterations per call; lowered so that a call's images fit in `CHUNK`.
        devices: Devices of all processes.
        near: Number of examples to keep in memory, for scores and pictures.
        skip_damaged: Whether the next image replaces one that cannot be read.

    Raises:
        UserError: If there are fewer examples than in a batch.
    """
    if batch_size > stream.count:
        raise UserError(f"batch_size={batch_size} exceeds the {stream.count} examples; use at most as many")
    capacity = min(capacity, max(1, CHUNK // (repeats * batch_size * math.prod(stream.spec.shape))))
    share = (jax.process_index(), jax.process_count())

    def open(key: Array, step: int, calls: Callable[[int], int]) -> AbstractContextManager[Take]:
        order, place = rng.named(key, "data"), partial(parallel.split, devices=devices)
        return streaming.feed(stream, order, batch_size, repeats, step, calls, capacity, place, share, skip_damaged)

    chunk = {"first": parallel.WHOLE, "arrays": parallel.ROWS}
    specs = (parallel.WHOLE, chunk, parallel.WHOLE, parallel.WHOLE)
    return Feeding(
        streaming.draw(repeats), capacity, specs, open, streaming.few(stream, near, skip_damaged), "streamed"
    )
