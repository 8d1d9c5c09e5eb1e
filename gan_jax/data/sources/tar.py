"""Tar shards in WebDataset's layout, read by an index of offsets, without unpacking them."""

import glob
import hashlib
import os
import re
import tarfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan_jax.data import names, streaming
from gan_jax.data.cache import cached
from gan_jax.data.dataset import Dataset, Spec, Stream
from gan_jax.data.reading.images import channels, shape_of
from gan_jax.data.reading.listing import SUFFIXES
from gan_jax.data.splits import is_held_out
from gan_jax.errors import NotFound, UserError

SPLITS = ("train", "test", "all")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # shards in the notation of WebDataset, such as {000..012}


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads the PNG, JPEG and WebP images of tar files, in the order of the files and of their entries.

    A file in an archive is named KEY.EXTENSION: KEY.jpg is an image, and KEY.cls its label as text, a number or a name.
    If every image has a label, the labels are the classes, names in alphabetical order; else there are no labels. All
    other files are ignored. Archives must not be compressed. The positions of the images are kept in the cache
    (`cache.directory`), so that an archive is listed only once.

    Args:
        name: "tar:PATTERN", such as "tar:shards/train-{000..012}.tar" or "tar:shards/*.tar": one image in ten, by a
            hash of the names of archive and image, is for testing; or with test images "tar:PATTERN,test=PATTERN".
        split: "train", "test" or "all".
        resolution: Side of the square to which images are resized and cropped, see `images.square`; None requires
            images of one size.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.

    Returns:
        The whole split.

    Raises:
        NotFound: If there is no such file.
        UserError: If a file is no uncompressed tar archive, or there are no images of the split.
    """
    opened, state = _stream(name, split, resolution, skip_damaged)
    return streaming.whole(opened, state)


def stream(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Stream:
    """Opens tar files as a stream; arguments and errors are those of `load`."""
    return _stream(name, split, resolution, skip_damaged)[0]


class Member(NamedTuple):
    """An image in an archive: where its bytes lie, and its label as text, "" if it has none."""

    path: str
    name: str
    offset: int
    size: int
    label: str


def _stream(
    name: str, split: str, resolution: int | None, skip_damaged: bool
) -> tuple[Stream, list[tuple[str, int, int]]]:
    """Opens a stream; also returns paths, sizes and times of the archives, by which images are cached."""
    if split not in SPLITS:
        raise UserError(f"split={split!r}: {name} has the splits {', '.join(SPLITS)}; use one of them")
    _, pattern, options = names.source(name)
    paths, tested = _paths(name, pattern), _paths(name, options["test"]) if "test" in options else []
    members = [member for path in [*paths, *tested] for member in _members(path)]
    label, classes, class_names = _labels(name, members)
    apart = set(tested)
    held = [
        member.path in apart if tested else is_held_out(f"{os.path.basename(member.path)}/{member.name}")
        for member in members
    ]
    rows = [i for i, test in enumerate(held) if split == "all" or test == (split == "test")]
    if not rows:
        raise UserError(f"split={split!r}: {name} has none of its {len(members)} images there; use split='all'")
    chosen = [members[i] for i in rows]

    def fetch(numbers: Sequence[int]) -> list[tuple[str, Path | bytes, int]]:
        return [(f"{chosen[i].path}/{chosen[i].name}", _bytes(chosen[i]), label[rows[i]]) for i in numbers]

    about = [(os.path.basename(each.path), each.name, each.size, each.label) for each in chosen]
    fingerprint = hashlib.sha256(repr(about).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    state = [_state(path) for path in [*paths, *tested]]
    colours = cached("channels", state, lambda: {"channels": np.array(channels(map(_bytes, members)))})
    number = int(colours["channels"])
    shape = shape_of((fetch([i])[0][:2] for i in range(len(rows))), resolution, number, skip_damaged)
    spec = Spec(shape, classes, class_names=class_names)
    return Stream(name, split, len(rows), fetch, spec, resolution, fingerprint, skip_damaged), state


def _paths(name: str, pattern: str) -> list[str]:
    """Returns the files of a pattern, which may have ranges and wildcards."""
    pending, files = [pattern], []
    while pending:
        each = pending.pop(0)
        if match := RANGE.search(each):
            digits, last = match[1], int(match[2])
            parts = each[: match.start()], each[match.end() :]
            pending += [f"{i:0{len(digits)}d}".join(parts) for i in range(int(digits), last + 1)]
        else:
            files += sorted(glob.glob(each)) or [each]
    if missing := [path for path in files if not os.path.isfile(path)]:
        raise NotFound(f"data set {name!r}: there is no file {missing[0]}; give the path of tar files after tar:")
    return list(dict.fromkeys(files))


def _state(path: str) -> tuple[str, int, int]:
    about = os.stat(path)
    return os.path.realpath(path), about.st_size, about.st_mtime_ns


def _members(path: str) -> list[Member]:
    """Returns the images of an archive, from the cache if it has been listed before."""
    index = cached(f"index-{os.path.basename(path)}", _state(path), lambda: _listed(path))
    columns = (index[key].tolist() for key in ("name", "offset", "size", "label"))
    return [Member(path, *row) for row in zip(*columns, strict=True)]


def _listed(path: str) -> dict[str, np.ndarray]:
    """Lists an archive: of each key the first image, and its label."""
    images: dict[str, tuple[str, int, int]] = {}
    labels: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, file = member.name.rpartition("/")
                key, _, extension = file.partition(".")
                if not member.isreg() or not key:  # a hidden file has no key
                    continue
                if f".{extension.lower().rpartition('.')[2]}" in SUFFIXES:
                    images.setdefault(f"{folder}/{key}", (member.name, member.offset_data, member.size))
                elif extension == "cls":
                    content = archive.extractfile(member)
                    assert content is not None
                    labels[f"{folder}/{key}"] = content.read().decode("utf-8", "replace").strip()
    except tarfile.TarError as error:
        raise UserError(f"{path} is no uncompressed tar archive ({error}); unpack or repack it") from error
    rows = list(images.values())
    return {
        "name": np.array([name for name, _, _ in rows], str),
        "offset": np.array([offset for _, offset, _ in rows], np.int64),
        "size": np.array([size for _, _, size in rows], np.int64),
        "label": np.array([labels.get(key, "") for key in images], str),
    }


def _labels(name: str, members: Sequence[Member]) -> tuple[list[int], int, tuple[str, ...]]:
    """Returns the labels of images, the number of classes and their names."""
    texts = sorted({member.label for member in members})
    if not texts or not texts[0]:
        if texts[1:]:
            warnings.warn(f"{name} gives no labels, because not every image has a .cls file", stacklevel=1)
        return [0] * len(members), 0, ()
    if all(text.isdecimal() for text in texts):
        labels = [int(member.label) for member in members]
        return labels, max(labels) + 1, ()
    return [texts.index(member.label) for member in members], len(texts), tuple(texts)


def _bytes(member: Member) -> bytes:
    with open(member.path, "rb") as file:
        file.seek(member.offset)
        return file.read(member.size)
