"""Sets of examples by their names on the command line: a run, a folder of images, an .npz file, or a data set."""

import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax import data, runs, sample
from gan_jax.cli import Checkpoint
from gan_jax.data import Dataset, names
from gan_jax.data.dataset import dataset
from gan_jax.data.kinds import Kind
from gan_jax.data.kinds.find import BUILT_IN
from gan_jax.data.reading.images import TooLarge, squares
from gan_jax.data.reading.listing import listed
from gan_jax.data.streaming import on_disk
from gan_jax.devices import memory
from gan_jax.errors import NotFound, UserError
from gan_jax.rows import blocks, changed
from gan_jax.runs import Restored, directories

KEY = "image"  # name of the array in a file that `gan_jax.sample RUN npz` writes
SPLIT = re.compile(r"(.+):((?:train|test|valid|validation|all)(?:\[.*\])?)")  # a data set and its split


class NamedSet(NamedTuple):
    """A named set, before its images are decoded or drawn.

    Attributes:
        name: Its name, with an absolute path.
        split: Split of a data set or folder.
        run: The run whose samples it is, if any.
        array: The array of an .npz file.
        most: Largest number of examples that it can have, where that is known.
    """

    name: str
    split: str = "all"
    run: Restored | None = None
    array: np.ndarray | None = None
    most: int | None = None


def by_name(
    word: str, checkpoint: Checkpoint, key: str | None, split: str = "test", dataset: str | None = None
) -> NamedSet:
    """Interprets the name of a set: opens a run, reads an .npz file, or lists a folder.

    Args:
        word: A run directory; a file that ends in .npz; or a data set as in `data.load`, with ":SPLIT" at its end where
            the default, "all" of a folder, is not meant.
        checkpoint: The checkpoint of a run.
        key: Name of the array in an .npz file; by default "image", or its only one.
        split: Default split of a data set that is no folder.
        dataset: New name of a run's data; None for that in its record.

    Raises:
        UserError: If it is a translator's run, or a file cannot be read.
    """
    path = Path(os.path.expanduser(word))
    if path.suffix == ".npz":
        array = _array(path, key)
        return NamedSet(os.path.abspath(path), array=array, most=len(array))
    if directories.holds_run(path):
        opened = runs.open_run(path, checkpoint.step, checkpoint.best, dataset, checkpoint.safe)
        if opened.system.sample is None:
            raise UserError(f"{path} is a translator and draws no samples; give a folder of its translations")
        return NamedSet(os.path.abspath(path), f"step {opened.step}", opened)
    match = None if path.exists() else SPLIT.fullmatch(word)
    name, chosen = match.groups() if match else (word, "")
    if not names.parsed(name).task and (folder := names.source(name)).kind == "folder":
        return NamedSet(names.resolved(name), chosen or "all", most=len(listed(folder.path).names))
    return NamedSet(names.resolved(name), chosen or split)


def loaded(source: NamedSet, kind: Kind | None, resolution: int | None, count: int, seed: int) -> Dataset:
    """Loads a set, or draws a run's samples; images too large for memory are read in batches, when they are used.

    Args:
        source: The set.
        kind: Kind of the examples of an .npz file; None for the first built-in one that they fit.
        resolution: Side of the square to which images are resized and cropped, except a run's samples.
        count: Number of a run's samples.
        seed: Seed of a run's samples.

    Raises:
        UserError: If the examples are of another kind or of none, or the set cannot be loaded.
        TooLarge: If images are too large for memory, and cannot be read in batches.
    """
    if source.run is not None:
        images = sample.samples(source.run, seed, count)
        return dataset(source.name, f"{source.split}, seed {seed}", images, kind=source.run.spec.kind)
    if source.array is None:
        try:
            return data.load(source.name, source.split, resolution, skip_damaged=True)
        except TooLarge as error:
            return _on_disk(source, resolution, error)
    shape, dtype = source.array.shape[1:], source.array.dtype
    fitting = next((each for each in (kind, *BUILT_IN.values()) if each and each.fits(shape, dtype)), None)
    if fitting is None or kind not in (None, fitting):
        expected = kind or BUILT_IN["image"]
        raise UserError(
            f"{source.name}: the examples are {dtype} {list(shape)}, but {expected.noun} must be {expected.form}; "
            "convert them, or give another array with --key"
        )
    examples = squares(source.array, resolution) if fitting.is_image else source.array
    return dataset(source.name, source.split, examples, kind=fitting)


def alike(samples: Dataset, real: Dataset) -> np.ndarray:
    """Returns the examples of a set in the shape of another's; grey images may have one channel or three.

    Args:
        samples: The set.
        real: The other set, whose shape is taken.

    Raises:
        UserError: If they differ in kind or in size, or have colours that the others lack.
    """
    ours, theirs, images = samples.spec, real.spec, samples.arrays["image"]
    if (ours.kind.name, ours.shape) == (theirs.kind.name, theirs.shape):
        return images
    remedy = "give sets of one kind and shape"
    if ours.kind.is_image and theirs.kind.is_image:
        remedy = "give --resolution to make both squares of one size"
        if ours.shape[:2] == theirs.shape[:2]:
            remedy = "convert the images to greyscale"
            if ours.shape[2] == 1:
                return changed(images, lambda x: np.repeat(x, 3, axis=3))
            if all(np.all(block == block[..., :1]) for block in blocks(images)):
                return changed(images, lambda x: x[..., :1])
    raise UserError(
        f"{samples.name} has {ours.kind.noun} of shape {list(ours.shape)}, and {real.name} {theirs.kind.noun} of "
        f"{list(theirs.shape)}; {remedy}"
    )


def _on_disk(source: NamedSet, resolution: int | None, error: TooLarge) -> Dataset:
    """Opens a set of images that is too large for memory; raises `error` if it cannot be read in batches."""
    try:
        stream = data.stream(source.name, source.split, resolution, skip_damaged=True)
    except UserError:
        raise error from None
    print(f"{source.name}: {stream.count:,} images are read in batches, as they are too large for memory", flush=True)
    return on_disk(stream)


def _array(path: Path, key: str | None) -> np.ndarray:
    """Reads one array of an .npz file, without running code that it may hold; grey images `[N, H, W]` get a channel."""
    if not path.is_file():
        raise NotFound(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is damaged or not an .npz file; write it with numpy.savez")
    with np.load(path) as arrays:
        known = arrays.files
        name = key or (known[0] if len(known) == 1 else KEY)
        if name not in known:
            raise UserError(f"{path} has the arrays {', '.join(known)}, and none called {name}; give one with --key")
        size = arrays.zip.getinfo(f"{name}.npy").file_size
        memory.require(size, f"{path}: the array {name}", "give a folder of images, which need not fit in memory")
        try:
            array = np.asarray(arrays[name])
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: the array {name} cannot be read ({error}); write the file again") from error
    return array[..., None] if array.ndim == 3 and array.dtype == np.uint8 else np.atleast_1d(array)
