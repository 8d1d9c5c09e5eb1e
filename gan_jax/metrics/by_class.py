"""Scores of a generator that is told the class: are its samples of it, and as various as the real images of it?

A generator that takes no notice of the label, or that makes one image a class, may still score well over all classes
together: these scores tell. Each is of K classes, by arrays alone, whatever made them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data.dataset import dataset
from gan_jax.errors import UserError
from gan_jax.metrics import fid, precision_recall
from gan_jax.metrics.estimate import Estimate, average
from gan_jax.metrics.features import train_classifier
from gan_jax.metrics.features.classifier import classifier
from gan_jax.metrics.statistics import Summary, summarise

STEPS = 600  # updates of a classifier that is trained to score: as many as 8 epochs of 10,000 images
GROUPS = 10  # of a class's samples, by which errors are told


class ByClass(NamedTuple):
    """A score of all classes and of each.

    Attributes:
        overall: Over all classes.
        per_class: Of each, in the order of the labels; K of them.
    """

    overall: Estimate
    per_class: tuple[Estimate, ...]


def agreement(predicted: ArrayLike, labels: ArrayLike, classes: int) -> ByClass:
    """Returns the share of samples that are of the class that was asked for, in [0, 1], as a classifier tells it.

    mean_i [predicted_i = labels_i], which is 1 / K by chance. Of a classifier that was trained on real images it is the
    GAN-test of Shmelkov et al. 2018 (arXiv:1807.09499), where real images that were held out score its accuracy. It
    says nothing of variety: one image a class may score 1.

    Args:
        predicted: The classifier's likeliest class of each sample, integers `[n]` in [0, K).
        labels: The class that was asked for, integers `[n]` in [0, K), with some of each.
        classes: K.

    Raises:
        UserError: If a label is out of range, a class has no samples, or the shapes do not fit.
    """
    asked = _labels("labels", labels, classes)
    found = _labels("predicted", predicted, classes, len(asked))
    right = found == asked
    return ByClass(average(right), tuple(average(right[rows]) for rows in _rows("labels", asked, classes)))


def intra_class_fid(
    real: ArrayLike,
    real_labels: ArrayLike,
    fake: ArrayLike,
    fake_labels: ArrayLike,
    classes: int,
    few: bool = False,
) -> ByClass:
    """Returns the FID of each class's samples to its real images, and their mean (Miyato & Koyama 2018, intra FID).

    1 / K sum_c FID(real of class c, samples of class c), arXiv:1802.05637. Of K times fewer images than an FID over all
    classes, it is biased upwards more: compare values of equal numbers a class only, see `fid.fid`.

    Args:
        real: Features of real images, `[N, D]`.
        real_labels: Their classes, integers `[N]` in [0, K), with some of each.
        fake: Features of samples, `[n, D]`; those of a class in no order.
        fake_labels: The classes that were asked for, integers `[n]` in [0, K), with some of each.
        classes: K.
        few: Whether to score fewer images of a class than there are features.

    Returns:
        Distances and their mean, with errors as in `fid.fid`.

    Raises:
        UserError: If a label is out of range, a class has no images or too few, or the shapes do not fit.
    """
    return _within(lambda x, y: fid.fid(x, y, few), real, real_labels, fake, fake_labels, classes)


def intra_class_recall(
    real: ArrayLike, real_labels: ArrayLike, fake: ArrayLike, fake_labels: ArrayLike, classes: int, k: int = 3
) -> ByClass:
    """Returns the recall within each class, and their mean, in [0, 1] (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    1 / K sum_c of the share of class c's real images that lie in a ball about a sample of class c, out to its k-th
    nearest of them. A generator that makes one image a class has 0, for its balls are empty; over all classes together
    their balls would reach from class to class.

    Args:
        real: Features of real images, `[N, D]`.
        real_labels: Their classes, integers `[N]` in [0, K), with more than k of each.
        fake: Features of samples, `[n, D]`.
        fake_labels: The classes that were asked for, integers `[n]` in [0, K), with more than k of each.
        classes: K.
        k: Which neighbour bounds a ball.

    Returns:
        Recalls and their mean, with errors as in `neighbours.Overlap`.

    Raises:
        UserError: If a label is out of range, a class has no images or too few, or the shapes do not fit.
    """
    return _within(
        lambda x, y: precision_recall.overlap(x, y, k, k).recall, real, real_labels, fake, fake_labels, classes
    )


def classification_accuracy_score(
    images: ArrayLike,
    labels: ArrayLike,
    test_images: ArrayLike,
    test_labels: ArrayLike,
    classes: int,
    seed: int = 0,
    steps: int = STEPS,
) -> ByClass:
    """Returns the accuracy on real images of a classifier that knows samples alone (Ravuri & Vinyals 2019).

    By arXiv:1905.10887; it asks for labels that are right and for variety in one. The classifier is the small one of
    `make_classifier`, trained for a few epochs: compare the score with that of as many real images in place of the
    samples, by as many steps.

    Args:
        images: Samples, uint8 `[n, H, W, C]`, or real images in their place.
        labels: Their classes, integers `[n]` in [0, K), with some of each.
        test_images: Real images that no one was trained on, uint8 `[N, H, W, C]`.
        test_labels: Their classes, integers `[N]` in [0, K), with some of each.
        classes: K.
        seed: Of the classifier's weights and batches.
        steps: Its updates, by batches of 128.

    Returns:
        The share of test images that it classifies correctly, in [0, 1], in all and of each class. Errors are NaN:
        fresh samples would train another classifier, and one alone does not tell how much its accuracy would differ.

    Raises:
        UserError: If a label is out of range, a class has no images, or the shapes do not fit.
    """
    known, asked = np.asarray(images), np.asarray(test_images)
    label = _labels("labels", labels, classes, len(known))
    truth = _labels("test_labels", test_labels, classes, len(asked))
    for name, each in (("labels", label), ("test_labels", truth)):
        _rows(name, each, classes)
    train_set = dataset("the images to be scored", "train", known, label, classes)
    weights = train_classifier.train(train_set, dataset("real images", "test", asked, truth, classes), seed, steps)
    found = agreement(classifier(weights).probabilities(asked).argmax(1), truth, classes)
    return ByClass(_unsure(found.overall), tuple(_unsure(each) for each in found.per_class))


def _unsure(score: Estimate) -> Estimate:
    return score._replace(error=math.nan)


def _within(
    score: Callable[[Summary, Summary], Estimate],
    real: ArrayLike,
    real_labels: ArrayLike,
    fake: ArrayLike,
    fake_labels: ArrayLike,
    classes: int,
) -> ByClass:
    """Scores each class by itself, and averages over the classes, which are independent."""
    found = []
    pairs = zip(
        _summaries("real", real, real_labels, classes),
        _summaries("fake", fake, fake_labels, classes),
        strict=True,
    )
    for label, (x, y) in enumerate(pairs):
        try:
            found.append(score(x, y))
        except UserError as error:
            raise UserError(f"class {label}: {error}") from error
    values, errors = zip(*found, strict=True)
    return ByClass(Estimate(float(np.mean(values)), math.hypot(*errors) / classes), tuple(found))


def _summaries(name: str, features: ArrayLike, labels: ArrayLike, classes: int) -> list[Summary]:
    """Summarises the features of each class."""
    x = np.asarray(features)
    if x.ndim != 2:
        raise UserError(f"{name} has shape {x.shape}: pass features [n, D]")
    rows = _rows(f"{name}_labels", _labels(f"{name}_labels", labels, classes, len(x)), classes)
    return [summarise([(x[own], np.zeros((len(own), 0)))], len(own), min(GROUPS, len(own)), keep=True) for own in rows]


def _labels(name: str, labels: ArrayLike, classes: int, count: int | None = None) -> np.ndarray:
    """Returns labels as an array, after a look at their shape, type and range."""
    found = np.asarray(labels)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer) or count not in (None, len(found)):
        wanted = "[n]" if count is None else f"[{count}]"
        raise UserError(f"{name} has shape {found.shape} of {found.dtype}: pass integers {wanted}, one an image")
    outside = found[(found < 0) | (found >= classes)]
    if outside.size:
        raise UserError(f"{name} has label {outside[0]}: with classes={classes} labels lie in [0, {classes - 1}]")
    return found


def _rows(name: str, labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Returns which images are of each class."""
    rows = [np.flatnonzero(labels == label) for label in range(classes)]
    for label, own in enumerate(rows):
        if not own.size:
            raise UserError(
                f"{name} has no label {label}: with classes={classes} there must be images of each; add some of it"
            )
    return rows
