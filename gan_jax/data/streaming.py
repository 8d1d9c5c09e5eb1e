"""Streaming: batches of a data set on disk, read and decoded ahead by threads, identical to those from memory.

Batch t is a function of (key, t), by the same `batches.examples` as for data in memory. So a run resumes by reading
from its step, and streaming changes no bit of a run. Grain's threads read whole batches ahead; another thread joins
them into the input of the next compiled call, and sends it to the device while the current call runs.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.data import kinds
from gan_jax.data.batches import examples, for_networks
from gan_jax.data.dataset import Dataset, Stream, dataset, fingerprint
from gan_jax.data.reading import damage
from gan_jax.data.reading.images import Damaged, require_size, stack
from gan_jax.errors import UserError
from gan_jax.rows import Rows
from gan_jax.types import Array, Batch

AHEAD = 2  # compiled calls whose batches are read ahead
TRIES = 100  # replacements tried for a damaged example
CHUNK = 1024  # examples fetched at once
Read = Callable[[int], dict[str, np.ndarray]]
Take = Callable[[], tuple[Any, dict[str, float]]]


def draw(repeats: int = 1) -> Callable[[dict[str, Any], Array, Array], Batch]:
    """Makes the function that takes the batches of step t from a chunk of `feed`; the counterpart of `batches.batches`.

    Args:
        repeats: Batches per step.
    """

    def take(chunk: dict[str, Any], key: Array, step: Array) -> Batch:
        arrays = jax.tree.map(lambda x: x[step - chunk["first"]], chunk["arrays"])
        return for_networks({name: x if repeats > 1 else x[0] for name, x in arrays.items()}, kinds.image)

    return take


def reader(stream: Stream, key: Array, batch_size: int, repeats: int = 1, share: tuple[int, int] = (0, 1)) -> Read:
    """Makes the function that reads and decodes the batches of one step, for `feed`.

    Args:
        stream: The data.
        key: Key of the run's data order.
        batch_size: Examples in the global batch.
        repeats: Batches per step.
        share: `(index, count)`: this process reads the index-th of count equal shares of each batch.

    Returns:
        `(step) -> arrays`, `[repeats, b, ...]` each, b this process's rows of a batch. It raises UserError if an image
        cannot be read or differs in size.
    """
    rows = batch_size // share[1]
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # the accelerator is busy training
        local_rows = share[0] * rows + jnp.arange(rows, dtype=jnp.int32)
        data = jax.device_put(jax.random.key_data(key), jax.local_devices(backend="cpu")[0])

        @jax.jit
        def chosen(data: Array, step: Array) -> Array:
            numbers = step * repeats + jnp.arange(repeats, dtype=jnp.int32)
            order = jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))
            return jax.vmap(lambda number: examples(order, number, stream.count, batch_size, local_rows))(numbers)

    def read(step: int) -> dict[str, np.ndarray]:
        numbers = np.asarray(chosen(data, np.int32(step)))
        arrays = _decode(stream, numbers.ravel())
        return {name: x.reshape(*numbers.shape, *x.shape[1:]) for name, x in arrays.items()}

    return read


@contextmanager
def feed(
    read: Read, start: int, calls: Callable[[int], int], capacity: int, place: Callable[[dict[str, np.ndarray]], Any]
) -> Iterator[Take]:
    """Context that reads the batches of a run ahead of training.

    Args:
        read: `(step) -> arrays` of one step, see `reader`; called by several threads.
        start: The first step.
        calls: `(step) -> count`: iterations of the compiled call that starts at a step; 0 at the end of the run.
        capacity: The largest number of iterations per call.
        place: Sends arrays `[capacity, ...]` to the devices.

    Yields:
        `take() -> (chunk, seconds)`: the input of the next call, for `draw`, and the time spent waiting for it, as
        `waiting_for_data`. After the end it gives the last chunk again. It raises what `read` raises.
    """
    import grain  # takes a second

    threads = min(16, 2 * (os.cpu_count() or 1))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, AHEAD * capacity))
    steps = iter(grain.MapDataset.range(start, 2**31 - 1).map(read).to_iter_dataset(options))

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

        def take() -> tuple[dict[str, Any], dict[str, float]]:
            nonlocal coming
            began = time.monotonic()
            chunk, after = coming.result()
            waited = time.monotonic() - began
            if calls(after):
                coming = ahead.submit(join, after)
            return chunk, {"waiting_for_data": waited}

        yield take


def evenly_spaced(stream: Stream, count: int) -> Dataset:
    """Reads evenly spaced examples of a stream into memory, at most `count`."""
    return some(stream, spaced(stream.count, count))


def spaced(count: int, most: int) -> np.ndarray:
    """Returns at most `most` of the indices in [0, count), evenly spaced, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def some(stream: Stream, numbers: np.ndarray) -> Dataset:
    """Reads the examples of given indices `[n]` into memory."""
    height, width, channels = stream.spec.shape
    require_size((len(numbers), height, width, channels))
    return _dataset(stream, _decode(stream, numbers))


def fetched(stream: Stream, numbers: Sequence[int] | None = None) -> Iterator[tuple[str, Path | bytes, int]]:
    """Yields name, encoded image and label of all examples, or of those of given indices; fetches `CHUNK` at once."""
    numbers = range(stream.count) if numbers is None else numbers
    for start in range(0, len(numbers), CHUNK):
        yield from stream.fetch(numbers[start : start + CHUNK])


def on_disk(stream: Stream) -> Dataset:
    """Returns a stream as a data set whose images are `Rows`; reads it once, for the fingerprint of its contents."""
    images: Any = Rows(lambda numbers: _decode(stream, numbers)["image"], np.arange(stream.count), stream.spec.shape)
    arrays = {"image": images}
    if stream.spec.classes:
        arrays["label"] = np.array([label for _, _, label in fetched(stream)], np.int32)
    return Dataset(stream.name, stream.split, arrays, stream.spec, fingerprint(arrays), origin=stream.origin)


def whole(stream: Stream, key: object) -> Dataset:
    """Reads a stream into memory, from the cache if it has been read before.

    Args:
        stream: The data.
        key: All that the images depend on, except split and resolution, see `cache.cached`.
    """

    def decode(damaged: list[int] | None) -> dict[str, np.ndarray]:
        labels: list[int] = []

        def encoded() -> Iterator[tuple[str, Path | bytes]]:
            for name, image, label in fetched(stream):
                labels.append(label)
                yield name, image

        image = stack(encoded(), stream.count, stream.resolution, stream.spec.shape[-1], damaged)
        return {"image": image} | ({"label": np.array(labels, np.int32)} if stream.spec.classes else {})

    name, key = f"{stream.name}-{stream.split}", (key, stream.split, stream.resolution)
    arrays, damaged = damage.decoded(name, key, decode, stream.skip_damaged)
    arrays = damage.replaced(arrays, damaged, lambda row: stream.fetch([row])[0][0])
    return _dataset(stream, arrays)._replace(origin=stream.origin)


def _dataset(stream: Stream, arrays: dict[str, np.ndarray]) -> Dataset:
    spec = stream.spec
    classes = spec.class_names or spec.classes
    return dataset(stream.name, stream.split, arrays["image"], arrays.get("label"), classes)


def _decode(stream: Stream, numbers: np.ndarray) -> dict[str, np.ndarray]:
    images, labels = np.empty((len(numbers), *stream.spec.shape), np.uint8), np.empty(len(numbers), np.int32)
    for row, (name, encoded, label) in enumerate(stream.fetch(numbers.tolist())):
        try:
            images[row], labels[row] = _one(stream, name, encoded), label
        except Damaged as error:
            if not stream.skip_damaged:
                raise Damaged(f"{error}; or give --skip-damaged") from error
            images[row], labels[row] = _next(stream, int(numbers[row]), error)
    return {"image": images} | ({"label": labels} if stream.spec.classes else {})


def _one(stream: Stream, name: str, encoded: Any) -> np.ndarray:
    image = stack([(name, encoded)], 1, stream.resolution, stream.spec.shape[-1])[0]
    if image.shape != stream.spec.shape:
        raise UserError(
            f"images differ in size: {name} has {image.shape[:2]} (height, width), the first has "
            f"{stream.spec.shape[:2]}; give --resolution to make them squares of one size"
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
    raise Damaged(f"the {TRIES} images after image {number} of {stream.name} are damaged too: {error}") from error
