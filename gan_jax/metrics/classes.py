"""How samples spread over the classes of a labelled data set, a classifier telling which each is of."""

import math
from typing import NamedTuple

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, jackknife
from gan_jax.metrics.summary import Summary


def covered(fake: Summary, least: int = 1) -> Estimate:
    """Returns how many classes samples reach, in [0, K], with the jackknife's error over groups.

    On the stacked digits of 1,000 classes it is the number of modes (Metz et al. 2017, arXiv:1611.02163; Srivastava et
    al. 2017, arXiv:1705.07761). It counts classes into which a classifier puts what is of none, and grows with the
    number of samples.

    Args:
        fake: The samples, with probabilities.
        least: Samples that make a class covered.

    Raises:
        UserError: If there are no probabilities, or if `least` is less than 1.
    """
    if least < 1:
        raise UserError(f"least={least}: a class is covered by at least 1 sample; use 1 or more")
    _check("fake", fake)
    votes = fake.votes.sum(0)
    return jackknife(np.sum(votes >= least), np.sum(votes - fake.votes >= least, axis=1))


def class_kl(real: Summary, fake: Summary) -> Estimate:
    """Returns how unlike the data's the samples' shares of the classes are, in nats, with the jackknife's error.

    KL(q || p) = sum_k q_k log(q_k / p_k), where q are the shares of the samples' votes and p those of the real images'
    by the same classifier. The best of generators gets (K - 1) / 2 (1 / n + 1 / N) on average, for n samples and N real
    images that are many. It is infinite, and of no error, if samples are of a class of which there is no real image.

    Args:
        real: The data, with probabilities, taken as it is.
        fake: The samples, with probabilities; the error is over its groups.

    Raises:
        UserError: If there are no probabilities, or not of the same classes.
    """
    _check("real", real)
    _check("fake", fake)
    p, votes = real.votes.sum(0), fake.votes.sum(0)
    if p.shape != votes.shape:
        raise UserError(f"fake has {len(votes)} classes and real has {len(p)}: summarise both by the same classifier")
    if np.any(votes[p == 0]):
        return Estimate(math.inf, math.nan)
    return jackknife(_kl(votes, p), [_kl(votes - group, p) for group in fake.votes])


def uniform_kl(fake: Summary) -> Estimate:
    """Returns how unlike equal shares the samples' shares of the classes are, in nats, with the jackknife's error.

    KL(q || u) = sum_k q_k log(K q_k), where q are the shares of the samples' votes: 0 for equal shares, log K for one
    class alone. On stacked digits it is the benchmark's KL, as of the papers named at `covered`.

    Args:
        fake: The samples, with probabilities; the error is over its groups.

    Raises:
        UserError: If there are no probabilities.
    """
    _check("fake", fake)
    votes = fake.votes.sum(0)
    equal = np.ones(len(votes))
    return jackknife(_kl(votes, equal), [_kl(votes - group, equal) for group in fake.votes])


class Perfect(NamedTuple):
    """What samples get on average that are of each class alike.

    Attributes:
        covered: Number of classes.
        uniform_kl: In nats.
    """

    covered: float
    uniform_kl: float


def perfect(classes: int, count: int) -> Perfect:
    """Returns what `count` samples of K equally likely classes get on average, told apart without error.

    covered = K (1 - (1 - 1 / K)^n) and uniform_kl = (K - 1) / (2 n), its leading term: at n = 26 K, 0.6 % too low.

    Args:
        classes: K, at least 1.
        count: Number of samples n, at least 1.

    Raises:
        UserError: If there are no classes or no samples.
    """
    if min(classes, count) < 1:
        raise UserError(f"classes={classes}, count={count}: there is at least 1 of each")
    return Perfect(classes * (1 - (1 - 1 / classes) ** count), (classes - 1) / (2 * count))


def _kl(votes: np.ndarray, reference: np.ndarray) -> float:
    q, p = (x[votes > 0] / max(x.sum(), 1) for x in (votes, reference))
    return float(np.sum(q * np.log(q / p)))


def _check(name: str, summary: Summary) -> None:
    if not summary.votes.shape[1]:
        raise UserError(f"{name} has no probabilities: summarise it by features of a classifier")
