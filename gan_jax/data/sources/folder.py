"""A folder of image files as a data set."""

import hashlib
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gan_jax.data.dataset import Dataset, Spec, Stream, dataset
from gan_jax.data.reading import damage
from gan_jax.data.reading.images import channels, shape_of, stack
from gan_jax.data.reading.listing import Listing, listed, shown
from gan_jax.data.splits import is_held_out
from gan_jax.errors import UserError

SPLITS = ("train", "test", "all")
VALID = ("valid", "val", "validation")  # folder names of the split "valid"


def load(path: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads the PNG, JPEG and WebP files in a folder and its subfolders, in the order of their relative paths.

    If all files lie in subfolders "train" and "test", "valid", "val" or "validation" (case-insensitive), those are the
    splits; the test split is the first of the last four that exists. Other folders are split by a hash of each file's
    relative path: one file in ten is for testing, the same on every machine and independent of the other files.

    If every image lies in a subfolder (of its split's folder, if splits are folders) and there are at least two, the
    first level of subfolders gives the classes, in alphabetical order; else there are none. Images are greyscale if all
    files of the folder are, else RGB, with transparency composited onto white. `listing.listed` says which files are
    left out.

    Args:
        path: The folder.
        split: "train" (about nine files in ten), "test" (the others), "all", or "valid" where there is such a folder.
        resolution: Side of the square to which images are resized and cropped, see `images.square`; None requires
            images of one size.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Returns:
        The images, and labels if there are any.

    Raises:
        UserError: If there is no such folder or split, or no image; if an image cannot be decoded, or two differ in
            size.
    """
    selection = _select(path, split)
    files, chosen = selection.listing.files, selection.chosen
    about = [file.stat() for file in files]
    state = [(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, about, strict=True)]
    root = selection.listing.root
    key = (str(root.resolve()), split, resolution, state)

    def decode(damaged: list[int] | None) -> dict[str, np.ndarray]:
        named = ((str(files[i]), files[i]) for i in chosen)
        return {"image": stack(named, len(chosen), resolution, channels(files), damaged)}

    arrays, damaged = damage.decoded(f"{root.name}-{split}", key, decode, skip_damaged)
    arrays |= {} if selection.label is None else {"label": selection.label}
    arrays = damage.replaced(arrays, damaged, lambda row: str(files[chosen[row]]))
    data = dataset(path, split, arrays["image"], arrays.get("label"), selection.classes)
    return data._replace(origin=_origin(selection, [about[i].st_size for i in chosen]))


def stream(path: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens a folder as a stream; arguments and errors are those of `load`.

    It reads only headers, up to the first colour image, and without `resolution` the first image (with `skip_damaged`
    the first readable one) for its size.
    """
    selection = _select(path, split)
    files = selection.listing.files
    colours, files = channels(files), [files[i] for i in selection.chosen]
    shape = shape_of(((str(file), file) for file in files), resolution, colours, skip_damaged)
    label = [0] * len(files) if selection.label is None else selection.label.tolist()
    return Stream(
        path,
        split,
        len(files),
        lambda numbers: [(str(files[i]), files[i], label[i]) for i in numbers],
        Spec(shape, len(selection.classes), class_names=selection.classes),
        resolution,
        _origin(selection, [file.stat().st_size for file in files]),
        skip_damaged,
    )


def names(path: str) -> list[str]:
    """Returns the sorted relative paths of a folder's images; raises UserError if there are none."""
    return listed(path).names


def read(path: str, resolution: int, channels: int) -> tuple[list[str], np.ndarray]:
    """Reads all images of a folder, resized and cropped to squares.

    Args:
        path: The folder.
        resolution: Side of the squares, see `images.square`.
        channels: 1 for greyscale, 3 for RGB.

    Returns:
        Their relative paths, and uint8 `[N, resolution, resolution, channels]`.
    """
    listing = listed(path)
    files = ((str(file), file) for file in listing.files)
    return listing.names, stack(files, len(listing.names), resolution, channels)


class _Selection(NamedTuple):
    listing: Listing
    chosen: list[int]  # indices of the split's files
    label: np.ndarray | None  # labels of those files
    classes: tuple[str, ...]  # names


def _select(path: str, split: str) -> _Selection:
    listing = listed(path)
    names = listing.names
    parts = [name.split("/") for name in names]
    folders = _own_splits({part[0] if len(part) > 1 else "" for part in parts})
    known = (*SPLITS, "valid") if "valid" in folders else SPLITS
    if split not in known:
        raise UserError(f"split={split!r}: the folder {path!r} has the splits {', '.join(known)}; use one of them")
    if folders:
        chosen = [i for i, part in enumerate(parts) if split == "all" or part[0] == folders[split]]
        parts = [part[1:] for part in parts]
        judged = [parts[i] for i in chosen]
    else:
        chosen = [i for i, name in enumerate(names) if split == "all" or is_held_out(name) == (split == "test")]
        judged = parts
    if not chosen:
        raise UserError(f"split={split!r}: it contains none of the {len(names)} files of {path!r}; use split='all'")
    classes = sorted({part[0] for part in parts if len(part) > 1})
    loose = [part[0] for part in judged if len(part) == 1]
    if len(classes) < 2 or loose:
        if len(classes) > 1 and len(loose) < len(judged):
            warnings.warn(
                f"folder {path!r} gives no labels, because not all images are in class folders such as "
                f"{shown(classes[0])}: to get labels, move {shown(loose[0])}"
                f"{f' and {len(loose) - 1:,} more' if loose[1:] else ''} into a class folder, or out of {path!r}",
                stacklevel=1,
            )
        return _Selection(listing, chosen, None, ())
    label = np.array([classes.index(parts[i][0]) for i in chosen])
    return _Selection(listing, chosen, label, tuple(map(shown, classes)))


def _own_splits(tops: set[str]) -> dict[str, str]:
    """Maps splits to subfolders, given the names of all subfolders; empty if these are not splits."""
    folders = {top.lower(): top for top in tops}
    others = [folders[name] for name in ("test", *VALID) if name in folders]
    if "train" not in folders or not others or len(tops) != 1 + len(others):
        return {}
    valid = [folders[name] for name in VALID if name in folders]
    return {"train": folders["train"], "test": others[0]} | ({"valid": valid[0]} if valid else {})


def _origin(selection: _Selection, sizes: Sequence[int]) -> str:
    """Returns a fingerprint of the names and sizes of a split's files."""
    names = [selection.listing.names[i] for i in selection.chosen]
    return hashlib.sha256(repr(list(zip(names, sizes, strict=True))).encode()).hexdigest()[:16]
