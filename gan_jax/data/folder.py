"""A folder of image files as a data set."""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from gan_jax.data.cache import cached
from gan_jax.data.images import stack
from gan_jax.data.source import Dataset, dataset

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SPLITS = ("train", "test", "all")
HELD_OUT = 10  # one file in so many is for testing


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
        ValueError: If there is no such folder, split or image; or naming the image that cannot be decoded, or two that
            differ in size.
    """
    root = Path(path).expanduser()
    if split not in SPLITS:
        raise ValueError(f"split={split!r}: a folder has the splits {', '.join(SPLITS)}; use one of them")
    if not root.is_dir():
        raise ValueError(f"folder {path!r} does not exist or is not a directory")
    files = _files(root)
    if not files:
        raise ValueError(
            f"folder {path!r} has no {', '.join(SUFFIXES)} file; check the path (a directory comes before a data "
            f"set of the same name)"
        )
    names = [file.relative_to(root) for file in files]
    classes = sorted({name.parts[0] for name in names if len(name.parts) > 1})
    labelled = len(classes) > 1 and all(len(name.parts) > 1 for name in names)
    chosen = [i for i, name in enumerate(names) if split == "all" or _held_out(name) == (split == "test")]
    if not chosen:
        raise ValueError(f"split={split!r}: none of the {len(files)} files of {path!r} falls to it; use split='all'")
    state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = (str(root.resolve()), split, resolution, state)

    def decode() -> dict:
        channels = 1 if all(_grey(file) for file in files) else 3
        return {"image": stack(((str(files[i]), files[i]) for i in chosen), len(chosen), resolution, channels)}

    image = cached(f"{root.name}-{split}", key, decode)["image"]
    if not labelled:
        return dataset(path, split, image)
    label = np.array([classes.index(names[i].parts[0]) for i in chosen])
    return dataset(path, split, image, label, len(classes))


def _files(root: Path) -> list[Path]:
    def wanted(file: Path) -> bool:
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        return file.suffix.lower() in SUFFIXES and not hidden and file.is_file()

    return sorted(
        (file for file in root.rglob("*") if wanted(file)), key=lambda file: file.relative_to(root).as_posix()
    )


def _held_out(name: Path) -> bool:
    return zlib.crc32(name.as_posix().encode()) % HELD_OUT == 0


def _grey(file: Path) -> bool:
    """Says whether an image has no colour, from its header alone; `images.stack` reports files that have none."""
    try:
        with Image.open(file) as image:
            return image.mode in ("1", "L", "LA") or image.mode.startswith("I")
    except Exception:  # decoders raise many kinds, see images.stack
        return True
