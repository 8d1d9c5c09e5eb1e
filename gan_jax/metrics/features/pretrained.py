"""Classifiers of data sets: the one in the package, and those that are trained once and cached."""

import functools
from importlib import resources

import numpy as np

from gan_jax import data
from gan_jax.data import Dataset
from gan_jax.data.cache import cached
from gan_jax.data.sources.stacked import SOURCES
from gan_jax.metrics.features import train_classifier
from gan_jax.metrics.features.classifier import STEPS, Classifier, classifier

RECIPE = 1  # raise it when training changes: classifiers in caches are then trained anew


def load(name: str = "digits", resolution: int | None = None) -> Classifier:
    """Returns the classifier of a data set: that of digits comes with the package, others are trained once and cached.

    Images that cannot be read are skipped, with a warning. Stacked digits are judged channel by channel, by the
    classifier of digits: see `stacked`.

    Args:
        name: As `data.load` takes it, of images with labels and with splits "train" and "test".
        resolution: Side of the images; None for that of the data.

    Raises:
        UserError: If the data set has no labels, is not of images, or cannot be loaded.
    """
    if name == "digits" and resolution in (None, 28):
        with (
            resources.files("gan_jax.metrics.features").joinpath("digits.npz").open("rb") as file,
            np.load(file) as arrays,
        ):
            return classifier(dict(arrays))
    if name in SOURCES:
        from gan_jax.metrics.features.stacked_classifier import stacked  # which imports this module

        return stacked(load(SOURCES[name], resolution))
    train_set, test_set = (data.load(name, split, resolution, skip_damaged=True) for split in ("train", "test"))
    return fitted(train_set, test_set)


def fitted(train_set: Dataset, test_set: Dataset, seed: int = 0, steps: int = STEPS) -> Classifier:
    """Returns the classifier that `train_classifier.train` makes of its arguments, once: it is kept in the cache."""

    key = ("classifier", RECIPE, train_set.fingerprint, test_set.fingerprint, seed, steps)
    make = functools.partial(train_classifier.train, train_set, test_set, seed, steps)
    return classifier(cached(f"classifier-{train_set.name}", key, make))
