"""Data for semi-supervised learning: all training images without labels, and a few of each class with labels."""

import numpy as np

from gan_jax.data.dataset import Dataset, dataset
from gan_jax.data.splits import for_training
from gan_jax.errors import UserError

APART = (("few_image", "few_label"),)


def few_labels(whole: Dataset, per_class: int, draw: int) -> Dataset:
    """Makes a data set for semi-supervised learning.

    Args:
        whole: A data set with labels.
        per_class: Labelled examples of each class.
        draw: Seed of the random choice of them, in [0, 2**32). With one seed, smaller choices are subsets of larger.

    Returns:
        `image`, all of `whole`, without labels; and `few_image` and `few_label` `[per_class * classes, ...]`, drawn
        independently. The specification keeps the classes. Splits other than the training split stay as they are.

    Raises:
        UserError: If `whole` has no labels, is made for a task, or has a class of fewer than `per_class` examples.
    """
    name = f"few:{per_class}:{draw}:{whole.name}"
    if "label" not in whole.arrays:
        raise UserError(f"data set {name!r}: {whole.name} has no labels; give a labelled set")
    if whole.spec.source or whole.apart:
        raise UserError(f"data set {name!r}: {whole.name} is already prepared for a task; give a set of plain images")
    if not for_training(whole.split):
        return whole._replace(name=name)
    image, label = whole.arrays["image"], whole.arrays["label"]
    chosen = choose(label, whole.spec.classes, per_class, draw)
    others = {"few_image": image[chosen], "few_label": label[chosen]}
    data = dataset(name, whole.split, image, others=others, apart=APART, kind=whole.spec.kind)
    return data._replace(spec=data.spec._replace(classes=whole.spec.classes, class_names=whole.spec.class_names))


def choose(label: np.ndarray, classes: int, per_class: int, draw: int) -> np.ndarray:
    """Chooses the same number of examples of each class at random, without replacement.

    Args:
        label: Labels `[N]` in [0, classes).
        classes: Number of classes.
        per_class: Examples of each class.
        draw: Seed; with one seed, smaller choices are subsets of larger ones.

    Returns:
        Indices of examples `[per_class * classes]`, class by class.

    Raises:
        UserError: If a class has fewer examples.
    """
    counts = np.bincount(label, minlength=classes)
    if counts.min() < per_class:
        rare = int(counts.argmin())
        raise UserError(f"few:{per_class}:…: class {rare} has {counts[rare]} examples; use at most few:{counts[rare]}")
    random = np.random.RandomState(draw)  # NumPy keeps its streams fixed
    return np.concatenate([random.permutation(np.flatnonzero(label == c))[:per_class] for c in range(classes)])


def numbers(name: str, options: tuple[str, ...], base: str) -> tuple[int, int]:
    """Parses the examples per class and the draw of "few:PER_CLASS:DRAW:NAME".

    Raises:
        UserError: If the name is malformed.
    """
    per_class, draw = options
    if not (per_class.isdecimal() and draw.isdecimal() and int(per_class) > 0 and int(draw) < 2**32 and base):
        raise UserError(
            f"data set {name!r} is not few:PER_CLASS:DRAW:NAME, such as few:10:0:mnist; PER_CLASS must be at least "
            "1, and DRAW in [0, 2**32)"
        )
    return int(per_class), int(draw)
