"""A number and how far chance may have moved it.

Errors of scores are over fresh samples of the same generator. The real images and the network that judges them are
fixed, as they are when scores of one protocol are compared.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError


class Estimate(NamedTuple):
    """A score.

    Attributes:
        value: The score.
        error: Its standard error: one standard deviation of the values that other samples of the same number would
            have. NaN where it cannot be estimated.
    """

    value: float
    error: float


def average(values: ArrayLike) -> Estimate:
    """Returns the mean of independent values `[n]`, and its error std / sqrt(n), NaN for a single one.

    Raises:
        UserError: If there are none.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise UserError(f"values has shape {x.shape}: pass [n] of at least one value")
    return Estimate(float(x.mean()), float(x.std(ddof=1) / math.sqrt(x.size)) if x.size > 1 else math.nan)


def jackknife(value: float, without: Sequence[float]) -> Estimate:
    """Returns a score with the error that its values without each of G equal groups of samples tell.

    error^2 = (G - 1) / G sum_g (without_g - mean)^2 (Tukey 1958). It is never too small on average, but for terms of
    higher order in 1 / n (Efron & Stein 1981); it is NaN for a single group.

    Args:
        value: Of all samples.
        without: Of all samples but those of one group, `[G]`.
    """
    x, groups = np.asarray(without, np.float64), len(without)
    return Estimate(float(value), float(x.std() * math.sqrt(groups - 1)) if groups > 1 else math.nan)


def split(value: float, first: ArrayLike, second: ArrayLike) -> Estimate:
    """Returns a score, with an error estimated from its values on disjoint halves of the samples.

    error^2 = mean_s (first_s - second_s)^2 / 4 over splits s. The halves are independent, so (first - second)^2 / 2 is
    unbiased for the variance of half as many samples, whatever the score; that of all is taken to be half of it. This
    is for scores whose error a jackknife or a bootstrap misjudges, as they rest on few neighbours of each sample.

    Args:
        value: The score of all samples.
        first: That of one half of the samples, for each split, `[S]`.
        second: That of the other half, `[S]`.
    """
    apart = np.subtract(first, second, dtype=np.float64)
    return Estimate(float(value), float(np.sqrt(np.mean(apart * apart)) / 2) if apart.size else math.nan)


def occupancy(cells: int, empty: int, singles: ArrayLike, pairs: ArrayLike, samples: int) -> Estimate:
    """Returns how many of some fixed cells, which may overlap, hold at least one of n independent samples.

    For a number of samples that is Poisson, the variance is E[Q_1 - Q_2 + Q_3 - ...], where Q_r is the sum, over all
    sets of r samples, of the squared number of cells that hold these and no others. (That is Good and Toulmin's series
    of 1956 if the cells are disjoint: the number of cells that a second set of samples would find anew.) The later
    terms are mostly noise, so the series is summed as Q_1^2 / (Q_1 + Q_2), the fraction with the same first two terms.
    A fixed number of samples takes off (number of cells with one sample)^2 / n. A jackknife has Q_1 alone, which is
    too large wherever most cells hold several samples.

    Args:
        cells: Number of cells.
        empty: How many of them hold no sample.
        singles: For each sample that is alone in some cells, the number of these cells.
        pairs: For each two samples that are alone together in some cells, the number of these cells.
        samples: n, at least 1.
    """
    first, second = (float(np.sum(np.square(x, dtype=np.float64))) for x in (singles, pairs))
    series = first * first / (first + second) if first else 0.0
    return Estimate(float(cells - empty), math.sqrt(max(0.0, series - float(np.sum(singles)) ** 2 / samples)))
