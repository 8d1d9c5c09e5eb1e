"""Types of data sets: `Dataset` in memory and `Stream` on disk, each one split with a fingerprint."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gan_jax.data import kinds
from gan_jax.data.kinds import Kind
from gan_jax.errors import UserError, nearest
from gan_jax.rows import blocks


class Spec(NamedTuple):
    """The properties of a data set that its networks depend on.

    Attributes:
        shape: Shape of one example as stored: of an image `(height, width, channels)`.
        classes: Number of classes; 0 where there are no labels.
        source: Shape of one example of `source`, the input of translation; None where there are no sources.
        unpaired: Whether sources and images are drawn independently, so that no image's source is known.
        few_labels: Whether only a few examples have labels; they are `few_image` and `few_label`, drawn independently.
        kind: The kind of the examples: how they are scaled for networks, drawn and written to files.
        class_names: Names of the classes; empty where they are not known.
    """

    shape: tuple[int, ...]
    classes: int
    source: tuple[int, ...] | None = None
    unpaired: bool = False
    few_labels: bool = False
    kind: Kind = kinds.image
    class_names: tuple[str, ...] = ()

    @property
    def class_titles(self) -> tuple[str, ...]:
        """Names of the classes; their numbers where names are not known."""
        return self.class_names or tuple(map(str, range(self.classes)))

    def label(self, title: str) -> int:
        """Returns the label of a class, given its name or its number; a name takes precedence.

        Raises:
            UserError: If it is neither.
        """
        if title in self.class_names:
            return self.class_names.index(title)
        try:
            return int(title)
        except ValueError:
            names = ", ".join(self.class_names[:20]) + ", …" * (len(self.class_names) > 20)
            unnamed = "a number, as the classes of these data have no names"
            options = f"one of {names}, or a number" if names else unnamed
            suggestion = nearest(title, self.class_names)
            raise UserError(f"class {title!r} does not exist; give {options}.{suggestion}") from None


class Dataset(NamedTuple):
    """One split of a data set, whole, in host memory.

    Attributes:
        name: The name passed to `load`, with absolute paths.
        split: Name of the split.
        arrays: `image`, the examples as their kind stores them, such as uint8 `[N, H, W, C]` (for scores, `rows.Rows`
            if they are too large for memory, see `streaming.on_disk`); `label`, int32 `[N]` in [0, classes), where
            there are labels; and the further arrays of a task, see `tasks`.
        spec: Shape and kind of the examples, number of classes, and task.
        fingerprint: Hash of the arrays; it depends on their contents alone.
        apart: Groups of arrays that are drawn independently of the others and may have another number of rows; all
            other arrays have N rows, which belong together.
        origin: Fingerprint of the files it was read from, equal to that of a `Stream` of them; "" if it cannot be
            streamed.
        held_out: The test split, if the data exist only in memory; None where `load` finds it by name.
    """

    name: str
    split: str
    arrays: dict[str, np.ndarray]
    spec: Spec
    fingerprint: str
    apart: tuple[tuple[str, ...], ...] = ()
    origin: str = ""
    held_out: "Dataset | None" = None

    def __repr__(self) -> str:
        """Returns the name, the split and what is there, without the arrays."""
        shape = "x".join(map(str, self.spec.shape))
        return f"Dataset({self.name!r}, {self.split!r}: {self.count:,} {self.spec.kind.noun} of shape {shape})"

    @property
    def count(self) -> int:
        """Number of examples."""
        return len(self.arrays["image"])


class Stream(NamedTuple):
    """One split of a data set that stays on disk and is read during training.

    Attributes:
        name: The name passed to `stream`, with absolute paths.
        split: Name of the split.
        count: Number of examples.
        fetch: `(numbers) -> [(name, encoded, label), ...]`: for indices in [0, count), a name for errors, a path or the
            bytes of an encoded image, and a label, 0 where there are none. Called by several threads.
        spec: Shape of one example and number of classes.
        resolution: Side of the square to which images are resized and cropped; None requires images of one size.
        fingerprint: Hash of names, sizes and versions, which identify the contents without reading them.
        skip_damaged: Whether an unreadable image is replaced by the next one, with a warning, instead of raising.
    """

    name: str
    split: str
    count: int
    fetch: Callable[[Sequence[int]], list[tuple[str, Path | bytes, int]]]
    spec: Spec
    resolution: int | None
    fingerprint: str
    skip_damaged: bool = False

    @property
    def origin(self) -> str:
        """The fingerprint, equal to the `origin` of a `Dataset` read from the same files."""
        return self.fingerprint


def dataset(
    name: str,
    split: str,
    image: np.ndarray,
    label: np.ndarray | None = None,
    classes: int | Sequence[str] = 0,
    others: dict[str, np.ndarray] | None = None,
    apart: tuple[tuple[str, ...], ...] = (),
    kind: Kind = kinds.image,
) -> Dataset:
    """Makes a `Dataset` from examples, optional labels and optional further arrays.

    Args:
        name: The name passed to `load`.
        split: Name of the split.
        image: Examples `[N, ...]`, of any kind.
        label: Labels `[N]` in [0, classes), of any integer type.
        classes: Number of classes, or their names; ignored without labels.
        others: Further arrays by name, such as `source`.
        apart: Groups of them that are drawn independently, see `Dataset`.
        kind: Kind of the examples.

    Returns:
        The data set, with C-contiguous arrays.

    Raises:
        UserError: If the examples are not of the kind.
    """
    kind.require(f"data set {name!r}", image)
    arrays = {"image": np.ascontiguousarray(image)}
    if label is not None:
        arrays["label"] = np.ascontiguousarray(label, np.int32)
    arrays |= {key: np.ascontiguousarray(array) for key, array in (others or {}).items()}
    source = arrays["source"].shape[1:] if "source" in arrays else None
    drawn = {key for group in apart for key in group}
    classes = 0 if label is None else classes
    class_names = () if isinstance(classes, int) else tuple(classes)
    count = classes if isinstance(classes, int) else len(class_names)
    spec = Spec(image.shape[1:], count, source, "source" in drawn, "few_label" in drawn, kind, class_names)
    return Dataset(name, split, arrays, spec, fingerprint(arrays), apart)


def same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Returns whether two data sets, each in memory or streamed, are the same.

    Two sets in memory are compared by their contents, others by the files that they are read from.

    Args:
        ours: The `marks` of one: its `fingerprint` and, if it has one, its `origin`.
        theirs: The `marks` of the other. Older records have only a fingerprint, of contents or of files.
    """
    if ours["fingerprint"] == theirs["fingerprint"]:
        return True
    both = (ours, theirs)
    if all(about.get("origin", about["fingerprint"]) != about["fingerprint"] for about in both):
        return False
    marks = [{about["fingerprint"], about.get("origin", "")} - {""} for about in both]
    return not marks[0].isdisjoint(marks[1])


def marks(data: Dataset | Stream) -> dict[str, str]:
    """Returns the fingerprints of a data set, as stored in records and compared by `same`."""
    return {"fingerprint": data.fingerprint} | ({"origin": data.origin} if data.origin else {})


def fingerprint(arrays: dict[str, np.ndarray]) -> str:
    """Hashes names, types, shapes and contents of arrays.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        for block in blocks(array):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()[:16]
