"""Few labels: all training images without theirs, and beside them a few of each class with them."""

import numpy as np

from gan_jax import data
from gan_jax.data.dataset import Dataset, dataset, for_training
from gan_jax.errors import UserError

APART = (("few_image", "few_label"),)


def load(name: str, split: str = "train", resolution: int | None = None, skip_damaged: bool = False) -> Dataset:
    """Loads a data set for semi-supervised learning.

    Args:
        name: "few:PER_CLASS:DRAW:NAME", such as "few:10:0:mnist": the number of labelled examples of each class, the
            number of the random draw that chooses them, in [0, 2**32), and a data set with labels, as in `data.load`.
            Of one draw the fewer are among the more.
        split: "train" or "all", or a slice of them; in other splits it is NAME as it is.
        resolution: As in `data.load`.
        skip_damaged: As in `data.load`.

    Returns:
        `image`, all of NAME, without labels; and `few_image` and `few_label` `[PER_CLASS * classes, ...]`, drawn apart.
        The specification, with the number of classes, is that of NAME.

    Raises:
        UserError: If the name is malformed, NAME has no labels, or a class fewer examples than asked for.
    """
    per_class, draw, of = _parsed(name)
    whole = data.load(of, split, resolution, skip_damaged)
    if "label" not in whole.arrays:
        raise UserError(f"data set {name!r}: {of} has no labels; give a set that has")
    if whole.spec.source or whole.apart:
        raise UserError(f"data set {name!r}: {of} is made for a task already; give a set of plain images")
    if not for_training(split):
        return whole._replace(name=name)
    image, label = whole.arrays["image"], whole.arrays["label"]
    chosen = choose(label, whole.spec.classes, per_class, draw)
    others = {"few_image": image[chosen], "few_label": label[chosen]}
    return dataset(name, split, image, others=others, apart=APART)._replace(spec=whole.spec)


def choose(label: np.ndarray, classes: int, per_class: int, draw: int) -> np.ndarray:
    """Chooses as many examples of each class at random, without replacement.

    Args:
        label: Labels `[N]` in [0, classes).
        classes: Number of classes.
        per_class: How many of each.
        draw: Which choice; equal draws choose the same, and fewer of those of which they would choose more.

    Returns:
        Numbers of examples `[per_class * classes]`, class after class.

    Raises:
        UserError: Naming a class that has not as many.
    """
    found = np.bincount(label, minlength=classes)
    if found.min() < per_class:
        rare = int(found.argmin())
        raise UserError(f"few:{per_class}:…: class {rare} has {found[rare]} examples; give few:{found[rare]} at most")
    random = np.random.RandomState(draw)  # its streams are frozen
    return np.concatenate([random.permutation(np.flatnonzero(label == c))[:per_class] for c in range(classes)])


def _parsed(name: str) -> tuple[int, int, str]:
    per_class, draw, of = [*name.split(":", 3)[1:], "", "", ""][:3]
    if not (per_class.isdecimal() and draw.isdecimal() and int(per_class) > 0 and int(draw) < 2**32 and of):
        raise UserError(
            f"data set {name!r} is not few:PER_CLASS:DRAW:NAME, such as few:10:0:mnist; PER_CLASS is at least 1, and "
            "DRAW in [0, 2**32)"
        )
    return int(per_class), int(draw), of
