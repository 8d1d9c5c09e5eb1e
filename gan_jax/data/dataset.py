"""What every source of data returns: whole splits as host arrays, with a fingerprint of their contents."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Spec(NamedTuple):
    """What a network must know of a data set.

    Attributes:
        shape: Shape of one example: `(height, width, channels)`, or `(2,)` for points in the plane.
        classes: Number of classes; 0 where there are no labels.
        source: Shape of one example of `source`, from which an image is translated; None where there are no sources.
        unpaired: Whether sources and images are drawn independently, so that no image's source is known.
        few_labels: Whether only a few examples have labels, drawn apart as `few_image` and `few_label`.
    """

    shape: tuple[int, ...]
    classes: int
    source: tuple[int, ...] | None = None
    unpaired: bool = False
    few_labels: bool = False


class Dataset(NamedTuple):
    """One split of a data set, whole, in host memory.

    Attributes:
        name: What was asked of `load`, with absolute paths.
        split: Name of the split.
        arrays: `image`, uint8 `[N, H, W, C]` in [0, 255], or float32 `[N, 2]` for points in the plane; `label`, int32
            `[N]` in [0, classes), where there are labels; and what else a task has, see `tasks`.
        spec: Shape of one example and number of classes.
        fingerprint: Of the arrays: equal contents, equal fingerprint, wherever they come from.
        apart: Groups of arrays that are drawn in an order of their own, each by the number of its own rows; the others
            have N rows, which belong together.
        origin: Fingerprint of the files it was read from, equal to that of a `Stream` of them; "" if it cannot be
            streamed.
    """

    name: str
    split: str
    arrays: dict[str, np.ndarray]
    spec: Spec
    fingerprint: str
    apart: tuple[tuple[str, ...], ...] = ()
    origin: str = ""

    @property
    def count(self) -> int:
        """Number of examples."""
        return len(self.arrays["image"])


class Stream(NamedTuple):
    """One split of a data set that stays on disk, read as training goes.

    Attributes:
        name: What was asked of `stream`, with absolute paths.
        split: Name of the split.
        count: Number of examples.
        fetch: `(numbers) -> [(name, encoded, label), ...]`: examples by their numbers in [0, count): a name for errors,
            a path or the bytes of an encoded image, and a label, 0 where there are none. Called by several threads.
        spec: Shape of one example and number of classes.
        resolution: Side of the squares that images are made into; None asks that all be of one size.
        fingerprint: Of what tells contents apart without reading them: names, sizes, versions.
    """

    name: str
    split: str
    count: int
    fetch: Callable[[Sequence[int]], list[tuple[str, Path | bytes, int]]]
    spec: Spec
    resolution: int | None
    fingerprint: str

    @property
    def origin(self) -> str:
        """The origin of a `Dataset` that is read from the same files."""
        return self.fingerprint


def dataset(
    name: str,
    split: str,
    image: np.ndarray,
    label: np.ndarray | None = None,
    classes: int = 0,
    others: dict[str, np.ndarray] | None = None,
    apart: tuple[tuple[str, ...], ...] = (),
) -> Dataset:
    """Makes a `Dataset` of an array of examples and, perhaps, one of labels, and others.

    Args:
        name: What was asked of `load`.
        split: Name of the split.
        image: Examples `[N, ...]`, uint8 or float32.
        label: Labels `[N]` in [0, classes), of any integer type.
        classes: Number of classes; ignored without labels.
        others: Further arrays by name, such as `source`.
        apart: Groups of them that are drawn in an order of their own, see `Dataset`.

    Returns:
        The data set, its arrays C-contiguous.
    """
    arrays = {"image": np.ascontiguousarray(image)}
    if label is not None:
        arrays["label"] = np.ascontiguousarray(label, np.int32)
    arrays |= {key: np.ascontiguousarray(array) for key, array in (others or {}).items()}
    source = arrays["source"].shape[1:] if "source" in arrays else None
    drawn = {key for group in apart for key in group}
    spec = Spec(image.shape[1:], 0 if label is None else classes, source, "source" in drawn, "few_label" in drawn)
    return Dataset(name, split, arrays, spec, fingerprint(arrays), apart)


def same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Returns whether two data sets, each in memory or streamed, are the same.

    Two sets in memory are compared by their contents, others by the files that they are read from.

    Args:
        ours: The record of one, by `marks`: its `fingerprint` and, if it has one, its `origin`.
        theirs: The record of the other. Older records have a fingerprint alone, of contents or of files.
    """
    if ours["fingerprint"] == theirs["fingerprint"]:
        return True
    both = (ours, theirs)
    if all(about.get("origin", about["fingerprint"]) != about["fingerprint"] for about in both):
        return False
    marks = [{about["fingerprint"], about.get("origin", "")} - {""} for about in both]
    return not marks[0].isdisjoint(marks[1])


def marks(data: Dataset | Stream) -> dict[str, str]:
    """Returns the fingerprints of a data set that records hold and `same` compares."""
    return {"fingerprint": data.fingerprint} | ({"origin": data.origin} if data.origin else {})


def for_training(split: str) -> bool:
    """Says whether a split, or a slice such as "train[:10%]", is one to train on; the others are held out."""
    return split.startswith(("train", "all"))


def fingerprint(arrays: dict[str, np.ndarray]) -> str:
    """Hashes names, types, shapes and contents of arrays.

    Returns:
        16 hexadecimal digits, the first of a SHA-256.
    """
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
