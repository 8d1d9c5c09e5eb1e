"""Summaries of a split of a data set: sizes, classes, images that cannot be read, and a sheet of examples."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from gan_jax import pictures
from gan_jax.data import streaming
from gan_jax.data.dataset import Dataset, Stream
from gan_jax.data.reading.images import Damaged, stack

ROWS = 8  # of a sheet by class
COLUMNS = 16  # most classes of a sheet by class
SIDE = 64  # of the images on a sheet, if they differ in size


class Summary(NamedTuple):
    """Contents of a split.

    Attributes:
        numbers: Indices of the examples that were examined and can be read.
        labels: Their labels; None where there are none.
        shapes: Number of examples by shape, images in their original size `(height, width)`.
        unreadable: Messages about the images that cannot be read.
    """

    numbers: np.ndarray
    labels: np.ndarray | None
    shapes: Counter[tuple[int, ...]]
    unreadable: list[str]


def summarise(data: Dataset | Stream, most: int) -> Summary:
    """Examines a split; of a stream at most `most` images, evenly spaced, which it decodes."""
    if isinstance(data, Dataset):
        shapes = Counter({data.spec.shape: data.count})
        return Summary(np.arange(data.count), data.arrays.get("label"), shapes, [])
    numbers, labels, shapes, unreadable = [], [], Counter(), []
    examined = streaming.spaced(data.count, most).tolist()
    for number, (name, encoded, label) in zip(examined, streaming.fetched(data, examined), strict=True):
        try:
            shapes[stack([(name, encoded)], 1, None, data.spec.shape[-1]).shape[1:3]] += 1
        except Damaged as error:
            unreadable.append(str(error))
            continue
        numbers.append(number)
        labels.append(label)
    return Summary(np.array(numbers), np.array(labels) if data.spec.classes else None, shapes, unreadable)


def sheet(data: Dataset | Stream, summary: Summary) -> np.ndarray:
    """Draws examples: a column for each class if there are at most 16 classes, else examples evenly spaced.

    Args:
        data: The split.
        summary: Its summary.

    Returns:
        uint8 `[H, W, 3]`, or frames `[T, H, W, 3]` where examples move. In pairs, each image is below its source.
    """
    spec = data.spec
    table = spec.classes <= COLUMNS and not (spec.kind.overlaid or spec.source)
    chosen = by_class(summary.labels, spec.classes) if table else None
    columns = None if chosen is None else spec.classes
    rows = streaming.spaced(len(summary.numbers), spec.kind.shown) if chosen is None else chosen
    arrays = _arrays(data, summary.numbers[rows], len(summary.shapes) > 1)
    if spec.source and not spec.unpaired:
        return pictures.compared([arrays["source"], arrays["image"]])
    drawn = spec.kind.sheet(arrays["image"], columns)
    return drawn if columns is None else pictures.captioned(drawn, spec.class_titles)


def by_class(labels: np.ndarray | None, classes: int) -> np.ndarray | None:
    """Returns the indices of examples for a table with a column for each class, row by row.

    Args:
        labels: Labels of all examples; None where there are none.
        classes: Number of classes.

    Returns:
        At most 8 rows of examples, evenly spaced within each class; None if a class has no example.
    """
    if labels is None or not classes:
        return None
    places = [np.flatnonzero(labels == label) for label in range(classes)]
    rows = min(ROWS, *map(len, places))
    return np.stack([place[streaming.spaced(len(place), rows)] for place in places], axis=1).ravel() if rows else None


def _arrays(data: Dataset | Stream, numbers: np.ndarray, unequal: bool) -> dict[str, np.ndarray]:
    if isinstance(data, Dataset):
        return {name: array[numbers] for name, array in data.arrays.items() if len(array) == data.count}
    if unequal and data.resolution is None:
        shape = (SIDE, SIDE, data.spec.shape[-1])
        data = data._replace(resolution=SIDE, spec=data.spec._replace(shape=shape))
    return streaming.some(data, numbers).arrays
