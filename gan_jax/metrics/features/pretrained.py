"""Trained classifiers of data sets: that of digits from the package, others trained once and cached."""

import functools
from importlib import resources

import numpy as np

from gan_jax import data
from gan_jax.data import Dataset
from gan_jax.data.cache import cached
from gan_jax.data.sources.stacked import CHANNELS, SOURCES
from gan_jax.metrics.features import train_classifier
from gan_jax.metrics.features.classifier import SIZE, STEPS, Classifier, classifier

RECIPE = 1  # raise it when training changes, so that cached classifiers are trained anew


def load(name: str = "digits", resolution: int | None = None) -> Classifier:
    """Returns the classifier of a data set; that of digits comes with the package, others are trained once and cached.

    Unreadable images are replaced, with a warning. Stacked digits are classified channel by channel, by the classifier
    of digits: see `stacked_classifier.stacked`.

    Args:
        name: Name for `data.load`, of labelled images with splits "train" and "test".
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


def size(name: str) -> int:
    """Returns the number of features of a data set's classifier, without loading it."""
    return SIZE * (CHANNELS if name in SOURCES else 1)


def fitted(train_set: Dataset, test_set: Dataset, seed: int = 0, steps: int = STEPS) -> Classifier:
    """Returns the classifier that `train_classifier.train` trains on these arguments, from the cache if it is there."""
    key = ("classifier", RECIPE, train_set.fingerprint, test_set.fingerprint, seed, steps)
    make = functools.partial(train_classifier.train, train_set, test_set, seed, steps)
    return classifier(cached(f"classifier-{train_set.name}", key, make))
