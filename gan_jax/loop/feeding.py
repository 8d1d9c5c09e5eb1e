"""How a run's data reach its devices: whole and once, or as a stream, a call's batches at a time."""

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

CHUNK = 256 * 2**20  # bytes of streamed images that a call eats at most


class Feeding(NamedTuple):
    """What the loop needs of a data set.

    Attributes:
        draw: `(data, key, step) -> batch`, for `rules.many`.
        capacity: The largest number of iterations a call.
        specs: How the arguments of a call are laid out over devices, for `parallel.spread`.
        open: `(key, step, calls)` opens the data from a step on: `take() -> (data, seconds)` gives what the next call
            eats, and how long it was waited for; `calls(step)` are the iterations of a call that begins there.
        near: Examples in memory: all, or a few of a stream.
        text: What a person is told of it.
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
    draw = batches(dataset.count, batch_size, repeats, dataset.apart)
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
        repeats: Batches that one step eats.
        capacity: The largest number of iterations a call, lowered where their images would be large.
        devices: Of all processes.
        near: How many examples to keep in memory, to score and picture by.
        skip_damaged: Whether the next image takes the place of one that cannot be read.

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
