"""Batches of a data set that stays on disk: read and decoded by threads ahead of time, the same ones as from memory.

Batch t is a function of (key, t), by the same `batches.examples` as for data in memory: to go on from a step is to
start reading there, and where both fit, streaming changes no bit of a run. Grain's threads read whole batches ahead;
another thread joins them to what the next compiled call eats, and sends that to the device while this one runs.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data.batches import examples, scale
from gan_jax.data.dataset import Dataset, Stream, dataset
from gan_jax.data.reading.images import Damaged, require_size, stack
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch

AHEAD = 2  # calls whose batches are read ahead
TRIES = 100  # examples tried in place of a damaged one
Take = Callable[[], tuple[dict[str, Any], float]]


def draw(repeats: int = 1) -> Callable[[dict[str, Any], Array, Array], Batch]:
    """Makes the function that takes batch t from what `feed` gave, in place of `batches.batches`.

    Args:
        repeats: Batches that one step eats.
    """

    def take(chunk: dict[str, Any], key: Array, step: Array) -> Batch:
        own = jax.tree.map(lambda x: x[step - chunk["first"]], chunk["arrays"])
        return {name: scale(x if repeats > 1 else x[0]) for name, x in own.items()}

    return take


@contextmanager
def feed(
    stream: Stream,
    key: Array,
    batch_size: int,
    repeats: int,
    start: int,
    calls: Callable[[int], int],
    capacity: int,
    place: Callable[[dict[str, np.ndarray]], Any],
    share: tuple[int, int] = (0, 1),
    skip_damaged: bool = False,
) -> Iterator[Take]:
    """Reads ahead of a run.

    Args:
        stream: What to read.
        key: The run's, of its data.
        batch_size: Examples in the global batch.
        repeats: Batches that one step eats.
        start: The first step.
        calls: `(step) -> count`: iterations of the call that begins at a step; 0 where the run ends.
        capacity: The largest number of iterations a call.
        place: Sends arrays `[capacity, repeats, b, ...]` to the devices.
        share: Which of how many equal shares of each batch to read: this process's.
        skip_damaged: Whether an image that cannot be read is replaced by the next one, and named in a warning; else it
            raises.

    Yields:
        `take() -> (chunk, seconds)`: what the next call eats, for `draw`, and how long it had to be waited for.

    Raises:
        UserError: From `take`, naming an image that cannot be read, or is of another size.
    """
    import grain  # takes a second

    rows = batch_size // share[1]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # the accelerator has other things to do
        own = share[0] * rows + jnp.arange(rows, dtype=jnp.int32)
        data = jax.device_put(jax.random.key_data(key), jax.local_devices(backend="cpu")[0])

        @jax.jit
        def chosen(data: Array, step: Array) -> Array:
            numbers = step * repeats + jnp.arange(repeats, dtype=jnp.int32)
            order = jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))
            return jax.vmap(lambda number: examples(order, number, stream.count, batch_size, own))(numbers)

    def read(step: int) -> dict[str, np.ndarray]:
        numbers = np.asarray(chosen(data, np.int32(step)))
        found = _decode(stream, numbers.ravel(), skip_damaged)
        return {name: x.reshape(*numbers.shape, *x.shape[1:]) for name, x in found.items()}

    source = grain.MapDataset.range(start, 2**31 - 1).map(read)
    threads = min(16, 2 * (os.cpu_count() or 1))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, AHEAD * capacity))
    steps = iter(source.to_iter_dataset(options))

    def join(at: int) -> tuple[dict[str, Any], int]:
        count = calls(at)
        parts = [next(steps) for _ in range(count)]
        arrays = {name: np.zeros((capacity, *x.shape), x.dtype) for name, x in parts[0].items()}
        for row, part in enumerate(parts):
            for name, x in part.items():
                arrays[name][row] = x
        return {"first": np.int32(at), "arrays": place(arrays)}, at + count

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(join, start)

        def take() -> tuple[dict[str, Any], float]:
            nonlocal coming
            began = time.monotonic()
            chunk, after = coming.result()
            waited = time.monotonic() - began
            if calls(after):
                coming = ahead.submit(join, after)
            return chunk, waited

        yield take


def few(stream: Stream, count: int, skip_damaged: bool = False) -> Dataset:
    """Reads evenly chosen examples of a stream into memory.

    Args:
        stream: What to read.
        count: How many, at most.
        skip_damaged: As in `feed`.
    """
    numbers = np.unique(np.linspace(0, stream.count - 1, min(count, stream.count)).round().astype(int))
    height, width, channels = stream.spec.shape
    require_size((len(numbers), height, width, channels))
    arrays = _decode(stream, numbers, skip_damaged)
    return dataset(stream.name, stream.split, arrays["image"], arrays.get("label"), stream.spec.classes)


def _decode(stream: Stream, numbers: np.ndarray, skip_damaged: bool) -> dict[str, np.ndarray]:
    images, labels = np.empty((len(numbers), *stream.spec.shape), np.uint8), np.empty(len(numbers), np.int32)
    for row, (name, encoded, label) in enumerate(stream.fetch(numbers.tolist())):
        try:
            images[row], labels[row] = _one(stream, name, encoded), label
        except Damaged as error:
            if not skip_damaged:
                raise Damaged(f"{error}; or give --skip-damaged") from error
            images[row], labels[row] = _next(stream, int(numbers[row]), error)
    return {"image": images} | ({"label": labels} if stream.spec.classes else {})


def _one(stream: Stream, name: str, encoded: Any) -> np.ndarray:
    image = stack([(name, encoded)], 1, stream.resolution, stream.spec.shape[-1])[0]
    if image.shape != stream.spec.shape:
        raise UserError(
            f"images differ in size: {name} has {image.shape[:2]} (height, width), the first {stream.spec.shape[:2]}; "
            "give --resolution to make them squares of one size"
        )
    return image


def _next(stream: Stream, number: int, error: Damaged) -> tuple[np.ndarray, int]:
    """Reads the first sound example after a damaged one."""
    warnings.warn(f"skipped: {error}", stacklevel=2)
    for later in range(1, TRIES + 1):
        name, encoded, label = stream.fetch([(number + later) % stream.count])[0]
        try:
            return _one(stream, name, encoded), label
        except Damaged:
            continue
    raise Damaged(f"{TRIES} images after {number} of {stream.name} are damaged too: {error}") from error
