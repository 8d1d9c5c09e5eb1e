"""Scores of how samples spread over the classes of a data set, as a classifier assigns them."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, occupancy
from gan_jax.metrics.statistics import Summary


def covered(fake: Summary) -> Estimate:
    """Returns the number of classes that samples cover, in [0, K], with the error of `estimate.occupancy`.

    On stacked digits, with 1,000 classes, it is the number of modes (Metz et al. 2017, arXiv:1611.02163; Srivastava et
    al. 2017, arXiv:1705.07761). Samples that belong to no class count too, and it grows with the number of samples.

    Args:
        fake: The samples, with probabilities.

    Raises:
        UserError: If there are no probabilities.
    """
    _check("fake", fake)
    votes = fake.votes.sum(0)
    singles, pairs = (np.ones(np.sum(votes == count)) for count in (1, 2))
    return occupancy(len(votes), int(np.sum(votes == 0)), singles, pairs, fake.count)


def class_kl(real: Summary, fake: Summary) -> Estimate:
    """Returns the KL divergence of the samples' class distribution from the data's, in nats, with its error.

    KL(q || p) = sum_k q_k log(q_k / p_k), where q is the class distribution of the samples and p that of the real
    images, both by the same classifier. A perfect generator scores (K - 1) / 2 (1 / n + 1 / N) on average, for large
    numbers n of samples and N of real images. It is infinite, with error NaN, if a class has samples but no real image.

    error^2 = (sum_k q_k log^2(q_k / p_k) - KL^2) / n - s, and at least s, where s = (sum_k (1 - 1 / n_k) - 1) / (2 n^2)
    over the classes with n_k > 0 samples. The first part is the delta method's variance, of the linear terms. s is the
    variance of the squares, (K - 1) / (2 n^2) for many samples. The first part, evaluated at the samples' own shares,
    contains s twice, so one is subtracted.

    Args:
        real: The data, with probabilities; its error is not counted.
        fake: The samples, with probabilities.

    Raises:
        UserError: If there are no probabilities, or not of the same classes.
    """
    _check("real", real)
    _check("fake", fake)
    p, votes = real.votes.sum(0), fake.votes.sum(0)
    if p.shape != votes.shape:
        raise UserError(f"fake has {len(votes)} classes and real has {len(p)}: summarise both with the same classifier")
    if np.any(votes[p == 0]):
        return Estimate(math.inf, math.nan)
    return _kl(votes, p)


def uniform_kl(fake: Summary) -> Estimate:
    """Returns the KL divergence of the samples' class distribution from the uniform one, in nats, with its error.

    KL(q || u) = sum_k q_k log(K q_k), where q is the class distribution of the samples: 0 if uniform, log K for a
    single class. On stacked digits it is the benchmark's KL, as in the papers named at `covered`.

    Args:
        fake: The samples, with probabilities.

    Raises:
        UserError: If there are no probabilities.
    """
    _check("fake", fake)
    votes = fake.votes.sum(0)
    return _kl(votes, np.ones(len(votes)))


class Perfect(NamedTuple):
    """The average scores of samples whose classes are uniformly distributed.

    Attributes:
        covered: Number of classes covered.
        uniform_kl: KL divergence in nats.
    """

    covered: float
    uniform_kl: float


def perfect(classes: int, count: int) -> Perfect:
    """Returns the average scores of `count` samples of K equally likely classes, with a perfect classifier.

    covered = K (1 - (1 - 1 / K)^n) and uniform_kl = (K - 1) / (2 n), its leading term: at n = 26 K, 0.6 % too low.

    Args:
        classes: K, at least 1.
        count: Number of samples n, at least 1.

    Raises:
        UserError: If there are no classes or no samples.
    """
    if min(classes, count) < 1:
        raise UserError(f"classes={classes}, count={count}: both must be at least 1")
    return Perfect(classes * (1 - (1 - 1 / classes) ** count), (classes - 1) / (2 * count))


def _kl(votes: np.ndarray, reference: np.ndarray) -> Estimate:
    """Returns KL(q || p) of two arrays of counts, normalised, with the error of `class_kl`."""
    met, count = votes > 0, votes.sum()
    q, p = (x[met] / x.sum() for x in (votes, reference))
    logs = np.log(q / p)
    value = np.sum(q * logs)
    squares = max(0.0, np.sum(1 - 1 / votes[met]) - 1) / (2 * count**2)  # 1 less, as shares sum to 1
    linear = (np.sum(q * logs**2) - value**2) / count
    return Estimate(float(value), math.sqrt(max(linear - squares, squares)))


def _check(name: str, summary: Summary) -> None:
    if not summary.votes.shape[1]:
        raise UserError(f"{name} has no probabilities: summarise it with the features of a classifier")
