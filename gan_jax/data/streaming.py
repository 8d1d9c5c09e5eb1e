"""Streaming: batches of a data set on disk, read and decoded ahead by threads, identical to those from memory.

Batch t is a function of (key, t), by the same `batches.examples` as for data in memory. So a run resumes by reading
from its step, and streaming changes no bit of a run. Grain's threads read whole batches ahead; another thread joins
them into the input of the next compiled call, and sends it to the device while the current call runs.
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

from gan_jax.data import kinds
from gan_jax.data.batches import examples, for_networks
from gan_jax.data.dataset import Dataset, Stream, dataset
from gan_jax.data.reading.images import Damaged, require_size, stack
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch

AHEAD = 2  # compiled calls whose batches are read ahead
TRIES = 100  # replacements tried for a damaged example
Take = Callable[[], tuple[dict[str, Any], float]]


def draw(repeats: int = 1) -> Callable[[dict[str, Any], Array, Array], Batch]:
    """Makes the function that takes the batches of step t from a chunk of `feed`; the counterpart of `batches.batches`.

    Args:
        repeats: Batches per step.
    """

    def take(chunk: dict[str, Any], key: Array, step: Array) -> Batch:
        own = jax.tree.map(lambda x: x[step - chunk["first"]], chunk["arrays"])
        return for_networks({name: x if repeats > 1 else x[0] for name, x in own.items()}, kinds.image)

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
    """Context that reads and decodes the batches of a run ahead of training.

    Args:
        stream: The data.
        key: Key of the run's data order.
        batch_size: Examples in the global batch.
        repeats: Batches per step.
        start: The first step.
        calls: `(step) -> count`: iterations of the compiled call that starts at a step; 0 at the end of the run.
        capacity: The largest number of iterations per call.
        place: Sends arrays `[capacity, repeats, b, ...]` to the devices.
        share: `(index, count)`: this process reads the index-th of count equal shares of each batch.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Yields:
        `take() -> (chunk, seconds)`: the input of the next call, for `draw`, and the time spent waiting for it.

    Raises:
        UserError: From `take`, if an image cannot be read or differs in size.
    """
    import grain  # takes a second

    rows = batch_size // share[1]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # the accelerator is busy training
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
    """Reads evenly spaced examples of a stream into memory.

    Args:
        stream: The data.
        count: Number of examples, at most.
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
    """Reads the first readable example after a damaged one, and warns."""
    warnings.warn(f"skipped: {error}", stacklevel=2)
    for later in range(1, TRIES + 1):
        name, encoded, label = stream.fetch([(number + later) % stream.count])[0]
        try:
            return _one(stream, name, encoded), label
        except Damaged:
            continue
    raise Damaged(f"{TRIES} images after {number} of {stream.name} are damaged too: {error}") from error
