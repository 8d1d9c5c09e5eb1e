"""A folder of image files as a data set."""

import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gan_jax.data.cache import cached
from gan_jax.data.images import stack
from gan_jax.data.source import Dataset, Spec, Stream, dataset
from gan_jax.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SPLITS = ("train", "test", "all")
HELD_OUT = 10  # one file in so many is for testing
GLANCED = 1_000  # files of a stream that tell whether all are grey


def load(path: str, split: str = "train", resolution: int | None = None) -> Dataset:
    """Loads the PNG, JPEG and WebP files in a folder and its subfolders, in the order of their relative paths.

    Files are split by a hash of their relative paths: one in ten is for testing, the same ones on every machine and
    whatever other files there are. If every image lies in a subfolder, and there are at least two, the first level of
    subfolders gives the labels, in alphabetical order; else there are none. Hidden files are ignored. Images are
    greyscale if all files of the folder are, else RGB, transparent parts on white.

    Args:
        path: The folder.
        split: "train" (about nine files in ten), "test" (the others) or "all".
        resolution: Side of the squares that images are made into, see `images.square`; None asks that all images be of
            one size.

    Returns:
        The images and, perhaps, labels.

    Raises:
        UserError: If there is no such folder, split or image; or naming the image that cannot be decoded, or two that
            differ in size.
    """
    found = _find(path, split)
    files = found.files
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = (str(found.root.resolve()), split, resolution, state)

    def decode() -> dict:
        channels = 1 if all(_grey(file) for file in files) else 3
        chosen = ((str(files[i]), files[i]) for i in found.chosen)
        return {"image": stack(chosen, len(found.chosen), resolution, channels)}

    image = cached(f"{found.root.name}-{split}", key, decode)["image"]
    return dataset(path, split, image, found.label, len(found.classes))


def stream(path: str, split: str = "train", resolution: int | None = None) -> Stream:
    """Opens a folder of images, however many, to be read as training goes; arguments and errors are those of `load`.

    Whether images are greyscale is judged by a thousand of them, evenly chosen, and without `resolution` their size by
    one; the others are looked at when they are read.
    """
    found = _find(path, split)
    few = found.files[:: -(-len(found.files) // GLANCED)]
    channels = 1 if all(_grey(file) for file in few) else 3
    files = [found.files[i] for i in found.chosen]
    shape = stack([(str(files[0]), files[0])], 1, resolution, channels).shape[1:]
    label = [0] * len(files) if found.label is None else found.label.tolist()
    told = repr([(file.relative_to(found.root).as_posix(), file.stat().st_size) for file in files])
    return Stream(
        path,
        split,
        len(files),
        lambda numbers: [(str(files[i]), files[i], label[i]) for i in numbers],
        Spec(shape, len(found.classes)),
        resolution,
        hashlib.sha256(told.encode()).hexdigest()[:16],
    )


def names(path: str) -> list[str]:
    """Returns the relative paths of a folder's images, in order; raises UserError if there are none."""
    root = Path(path).expanduser()
    return [file.relative_to(root).as_posix() for file in _files(path)]


def read(path: str, resolution: int, channels: int) -> tuple[list[str], np.ndarray]:
    """Reads all images of a folder as squares of one size.

    Args:
        path: The folder.
        resolution: Side of the squares, see `images.square`.
        channels: 1 for greyscale, 3 for RGB.

    Returns:
        Their relative paths, and uint8 `[N, resolution, resolution, channels]`.
    """
    files = _files(path)
    return names(path), stack([(str(file), file) for file in files], len(files), resolution, channels)


class _Found(NamedTuple):
    root: Path
    files: list[Path]
    chosen: list[int]  # of the split
    label: np.ndarray | None  # of those
    classes: list[str]


def _find(path: str, split: str) -> _Found:
    if split not in SPLITS:
        raise UserError(f"split={split!r}: a folder has the splits {', '.join(SPLITS)}; use one of them")
    root, files = Path(path).expanduser(), _files(path)
    relative = [file.relative_to(root) for file in files]
    classes = sorted({name.parts[0] for name in relative if len(name.parts) > 1})
    labelled = len(classes) > 1 and all(len(name.parts) > 1 for name in relative)
    chosen = [i for i, name in enumerate(relative) if split == "all" or _held_out(name) == (split == "test")]
    if not chosen:
        raise UserError(f"split={split!r}: none of the {len(files)} files of {path!r} falls to it; use split='all'")
    label = np.array([classes.index(relative[i].parts[0]) for i in chosen]) if labelled else None
    return _Found(root, files, chosen, label, classes if labelled else [])


def _files(path: str) -> list[Path]:
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"folder {path!r} does not exist or is not a directory")

    def wanted(file: Path) -> bool:
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()

    files = [file for file in root.rglob("*") if wanted(file)]
    if not files:
        raise UserError(
            f"folder {path!r} has no {', '.join(SUFFIXES)} file; check the path (a directory comes before a data "
            f"set of the same name)"
        )
    return sorted(files, key=lambda file: file.relative_to(root).as_posix())


def _held_out(name: Path) -> bool:
    return zlib.crc32(name.as_posix().encode()) % HELD_OUT == 0


def _grey(file: Path) -> bool:
    """Says whether an image has no colour, from its header alone; `images.stack` reports files that have none."""
    try:
        with Image.open(file) as image:
            return image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    except Exception:  # decoders raise many kinds, see images.stack
        return True
