"""Feeding of data to the devices: the whole set once, or a stream with one call's batches at a time."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import jax

from gan_jax import rng
from gan_jax.data import Dataset, Stream, batches, streaming
from gan_jax.data.streaming import Take
from gan_jax.devices import memory, parallel
from gan_jax.errors import UserError
from gan_jax.loop.settings import Job
from gan_jax.types import Array, Batch

CHUNK = 256 * 2**20  # most bytes of streamed images per call


class Feeding(NamedTuple):
    """A data set as the loop uses it.

    Attributes:
        draw: `(data, key, step) -> batch`, for `rules.many`.
        capacity: The largest number of iterations per call.
        specs: Layout of a call's arguments over devices, for `parallel.spread`.
        open: `(key, step, calls)` opens the data from a step on. It yields `take() -> (data, seconds)`: the data of the
            next call, and the time spent waiting for them, by the name under which its share is logged, if there is
            any waiting; `calls(step)` is the number of iterations of a call that begins at that step.
        near: Examples in memory: all, or of a stream some, evenly spaced.
        text: Description for the terminal.
    """

    draw: Callable[[Any, Array, Array], Batch]
    capacity: int
    specs: Any
    open: Callable[[Array, int, Callable[[int], int]], AbstractContextManager[Take]]
    near: Dataset
    text: str


def size(dataset: Dataset | Stream) -> int:
    """Returns the bytes of a data set that each device holds throughout a run."""
    return 0 if isinstance(dataset, Stream) else memory.size(dataset.arrays)


def prepared(job: Job, dataset: Dataset | Stream, repeats: int) -> Feeding:
    """Prepares the data of a run: those in memory are placed on every device, a stream is read when it is opened.

    Args:
        job: The run.
        dataset: Its data.
        repeats: Batches per iteration.

    Raises:
        UserError: If there are fewer examples than in a batch.
    """
    return _streamed(job, dataset, repeats) if isinstance(dataset, Stream) else _whole(job, dataset, repeats)


def _whole(job: Job, dataset: Dataset, repeats: int) -> Feeding:
    arrays = parallel.replicate(dataset.arrays, job.devices)
    return Feeding(
        draw=batches(dataset.count, job.config.batch_size, repeats, dataset.apart, dataset.spec.kind),
        capacity=job.options.steps_per_call,
        specs=parallel.WHOLE,
        open=lambda key, step, calls: nullcontext(lambda: (arrays, {})),
        near=dataset,
        text=f"{memory.text(size(dataset))} on each device",
    )


def _streamed(job: Job, stream: Stream, repeats: int) -> Feeding:
    batch_size = job.config.batch_size
    if batch_size > stream.count:
        raise UserError(f"batch_size={batch_size} exceeds the {stream.count} examples; give at most that")
    most = max(1, CHUNK // (repeats * batch_size * math.prod(stream.spec.shape)))  # a call's images fit in CHUNK
    capacity = min(job.options.steps_per_call, most)

    def open(key: Array, step: int, calls: Callable[[int], int]) -> AbstractContextManager[Take]:
        share = (jax.process_index(), jax.process_count())
        read = streaming.reader(stream, rng.named(key, "data"), batch_size, repeats, share)
        return streaming.feed(read, step, calls, capacity, lambda arrays: parallel.split(arrays, job.devices))

    chunk = {"first": parallel.WHOLE, "arrays": parallel.ROWS}
    return Feeding(
        draw=streaming.draw(repeats),
        capacity=capacity,
        specs=(parallel.WHOLE, chunk, parallel.WHOLE, parallel.WHOLE),
        open=open,
        near=streaming.evenly_spaced(stream, max(1024, job.options.eval_count)),  # for scores and pictures
        text="streamed",
    )
