"""Arrays in memory as a data set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data import kinds
from gan_jax.data.dataset import Dataset, dataset
from gan_jax.data.kinds import Kind
from gan_jax.data.reading.images import squares
from gan_jax.data.splits import tenth
from gan_jax.errors import UserError


def from_arrays(
    name: str,
    image: ArrayLike,
    label: ArrayLike | None = None,
    test: tuple[ArrayLike, ArrayLike | None] | None = None,
    class_names: Sequence[str] = (),
    kind: Kind = kinds.image,
    resolution: int | None = None,
) -> Dataset:
    """Makes a data set from arrays in memory, to train on, sample, score and explore like any other.

    A part is held out of training, for scores: `test`, or else a tenth of the examples, at least one, chosen at random
    with a fixed seed. The data set is called "memory:NAME", so a run's record says that it is not on disk: to score
    such a run, pass the data set to `runs.open_run`, or `--dataset FILE.py:FUNCTION`, see `sources.functions`.

    Args:
        name: A name of your choice.
        image: Examples `[N, ...]` as their kind stores them: images as uint8 `[N, H, W, 1 or 3]`.
        label: Labels `[N]`, integers from 0 up; None for none.
        test: Examples for testing and their labels, or None in place of labels.
        class_names: Names of the classes, in the order of the labels.
        kind: Kind of the examples.
        resolution: Side of the square to which images are resized and cropped; None leaves them as they are.

    Returns:
        The training split; the test split is its `held_out`.

    Raises:
        UserError: If the examples are not of the kind, too few, or do not fit their labels or the test examples.
    """
    if not name or not set(name).isdisjoint(":/,"):
        raise UserError(f"name={name!r}: give a name without colons, slashes and commas, such as faces")
    if resolution is not None and not kind.is_image:
        raise UserError(f"resolution={resolution}: {kind.noun} cannot be resized; leave resolution out")
    examples, labels = _checked("image", image, label)
    if test is not None:
        parts = {"train": (examples, labels), "test": _checked("test", *test)}
    else:
        if len(examples) < 2:
            raise UserError("image: got 1 example; give at least 2, as one is held out for testing")
        held = tenth(len(examples))
        rows = {"train": ~held, "test": held}
        parts = {part: (examples[at], None if labels is None else labels[at]) for part, at in rows.items()}
    known = [each for _, each in parts.values() if each is not None]
    if len(known) == 1:
        raise UserError("label, test: give labels of both training and test examples, or of neither")
    count = 1 + max((int(each.max()) for each in known), default=-1)
    if class_names and count > len(class_names):
        raise UserError(f"class_names: got {len(class_names)} names, but there are labels up to {count - 1}")
    splits = {}
    for part, (images, classes) in parts.items():
        kind.require(f"data set {name!r}", images)
        images = images if resolution is None else squares(images, resolution)
        splits[part] = dataset(f"memory:{name}", part, images, classes, class_names or count, kind=kind)
    shapes = [splits[part].spec.shape for part in ("train", "test")]
    if shapes[0] != shapes[1]:
        raise UserError(f"test: its examples have shape {shapes[1]}, those for training {shapes[0]}; give one shape")
    return splits["train"]._replace(held_out=splits["test"])


def _checked(name: str, image: ArrayLike, label: ArrayLike | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns examples and labels as arrays."""
    examples = np.asarray(image)
    if examples.ndim < 2 or not len(examples):
        raise UserError(f"{name}: got an array of shape {examples.shape}, expected examples [N, ...]")
    if label is None:
        return examples, None
    labels = np.asarray(label)
    if labels.shape != (len(examples),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise UserError(
            f"{name}: got labels {labels.dtype} {list(labels.shape)} for {len(examples)} examples, expected integers "
            "from 0 up, one per example; np.unique(label, return_inverse=True) makes them from names"
        )
    return examples, labels
