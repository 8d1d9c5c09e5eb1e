"""Scores of class-conditional generators: do samples belong to the requested class, and are they diverse within it?

A generator that ignores the label, or makes one image per class, may still score well over all classes together; these
scores detect it. Each takes arrays alone, for K classes, and so works for any generator.
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

STEPS = 600  # updates of the classifier of `classification_accuracy_score`: about 8 epochs of 10,000 images
GROUPS = 10  # groups of a class's samples, for the jackknife


class ByClass(NamedTuple):
    """A score over all classes, and for each class.

    Attributes:
        overall: Score over all classes.
        per_class: The K scores of the classes, in the order of the labels.
    """

    overall: Estimate
    per_class: tuple[Estimate, ...]


def agreement(predicted: ArrayLike, labels: ArrayLike, classes: int) -> ByClass:
    """Returns the fraction of samples that a classifier assigns to their requested class, in [0, 1].

    mean_i [predicted_i = labels_i], which is 1 / K by chance. With a classifier trained on real images it is the
    GAN-test of Shmelkov et al. 2018 (arXiv:1807.09499); held-out real images score the classifier's accuracy. It does
    not measure diversity: one image per class may score 1.

    Args:
        predicted: The classifier's likeliest class of each sample, integers `[n]` in [0, K).
        labels: The requested classes, integers `[n]` in [0, K), each class at least once.
        classes: K.

    Raises:
        UserError: If a label is out of range, a class has no samples, or the shapes do not fit.
    """
    requested = _labels("labels", labels, classes)
    classified = _labels("predicted", predicted, classes, len(requested))
    correct = classified == requested
    return ByClass(average(correct), tuple(average(correct[rows]) for rows in _rows("labels", requested, classes)))


def intra_class_fid(
    real: ArrayLike,
    real_labels: ArrayLike,
    fake: ArrayLike,
    fake_labels: ArrayLike,
    classes: int,
    few: bool = False,
) -> ByClass:
    """Returns the intra-class FID: the FID within each class, and their mean (Miyato & Koyama 2018, arXiv:1802.05637).

    1 / K sum_c FID(real of class c, samples of class c). It uses K times fewer images than an FID over all classes, so
    its upward bias is larger: compare only values with equal numbers of images per class, see `fid.fid`.

    Args:
        real: Features of real images, `[N, D]`.
        real_labels: Their classes, integers `[N]` in [0, K), each class at least once.
        fake: Features of samples, `[n, D]`, in random order within a class.
        fake_labels: The requested classes, integers `[n]` in [0, K), each class at least once.
        classes: K.
        few: Whether to accept classes with no more images than features.

    Returns:
        The distances and their mean, with errors as in `fid.fid`.

    Raises:
        UserError: If a label is out of range, a class has no images or too few, or the shapes do not fit.
    """
    return _within(lambda x, y: fid.fid(x, y, few), real, real_labels, fake, fake_labels, classes)


def intra_class_recall(
    real: ArrayLike, real_labels: ArrayLike, fake: ArrayLike, fake_labels: ArrayLike, classes: int, k: int = 3
) -> ByClass:
    """Returns the recall within each class, and their mean, in [0, 1] (Kynkaanniemi et al. 2019, arXiv:1904.06991).

    The recall of class c is the fraction of its real images inside a ball around some sample of class c, with the
    distance to the sample's k-th nearest neighbour among them as radius. A generator that makes one image per class
    scores 0, as its balls are empty; over all classes together its balls would reach from class to class.

    Args:
        real: Features of real images, `[N, D]`.
        real_labels: Their classes, integers `[N]` in [0, K), more than k of each.
        fake: Features of samples, `[n, D]`.
        fake_labels: The requested classes, integers `[n]` in [0, K), more than k of each.
        classes: K.
        k: The neighbour whose distance is a ball's radius.

    Returns:
        The recalls and their mean, with errors as in `precision_recall.Overlap`.

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
    """Returns the accuracy on real images of a classifier trained on samples (Ravuri & Vinyals 2019, arXiv:1905.10887).

    It measures both correct labels and diversity. The classifier is the small one of `features.train_classifier`,
    trained for a few epochs: compare the score with that of as many real images in place of the samples, with equal
    `steps`.

    Args:
        images: Samples, uint8 `[n, H, W, C]`, or real images in their place.
        labels: Their classes, integers `[n]` in [0, K), each class at least once.
        test_images: Held-out real images, uint8 `[N, H, W, C]`.
        test_labels: Their classes, integers `[N]` in [0, K), each class at least once.
        classes: K.
        seed: Seed of the classifier's weights and batches.
        steps: Updates of the classifier, with batches of 128.

    Returns:
        The fraction of test images that it classifies correctly, in [0, 1], overall and per class. Errors are NaN:
        fresh samples would train another classifier, and one training does not show how its accuracy varies.

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
    accuracy = agreement(classifier(weights).probabilities(asked).argmax(1), truth, classes)
    return ByClass(_unsure(accuracy.overall), tuple(_unsure(each) for each in accuracy.per_class))


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
    """Scores each class separately, and averages over the classes, whose errors are independent."""
    scores = []
    pairs = zip(
        _summaries("real", real, real_labels, classes),
        _summaries("fake", fake, fake_labels, classes),
        strict=True,
    )
    for label, (x, y) in enumerate(pairs):
        try:
            scores.append(score(x, y))
        except UserError as error:
            raise UserError(f"class {label}: {error}") from error
    values, errors = zip(*scores, strict=True)
    return ByClass(Estimate(float(np.mean(values)), math.hypot(*errors) / classes), tuple(scores))


def _summaries(name: str, features: ArrayLike, labels: ArrayLike, classes: int) -> list[Summary]:
    """Summarises the features of each class."""
    x = np.asarray(features)
    if x.ndim != 2:
        raise UserError(f"{name} has shape {x.shape}: pass features [n, D]")
    rows = _rows(f"{name}_labels", _labels(f"{name}_labels", labels, classes, len(x)), classes)
    parts = (x[members] for members in rows)
    return [summarise([(y, np.zeros((len(y), 0)))], len(y), min(GROUPS, len(y)), keep=True) for y in parts]


def _labels(name: str, labels: ArrayLike, classes: int, count: int | None = None) -> np.ndarray:
    """Returns labels as an array, after checking their shape, type and range."""
    array = np.asarray(labels)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or count not in (None, len(array)):
        expected = "[n]" if count is None else f"[{count}]"
        raise UserError(f"{name} has shape {array.shape} of {array.dtype}: pass integers {expected}, one per image")
    outside = array[(array < 0) | (array >= classes)]
    if outside.size:
        raise UserError(f"{name} has label {outside[0]}: with classes={classes} labels must be in [0, {classes - 1}]")
    return array


def _rows(name: str, labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Returns the indices of the images of each class."""
    rows = [np.flatnonzero(labels == label) for label in range(classes)]
    for label, members in enumerate(rows):
        if not members.size:
            raise UserError(
                f"{name} has no label {label}: with classes={classes} there must be images of every class; add some "
                f"of {label}"
            )
    return rows
