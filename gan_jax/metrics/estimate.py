"""Scores with standard errors, and estimators of these errors.

Errors are over fresh samples of the same generator. The real images and the feature network are fixed, as when scores
of one protocol are compared.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError


class Estimate(NamedTuple):
    """A score with its standard error.

    Attributes:
        value: The score.
        error: Standard deviation of the score over fresh sets of as many samples. NaN where it cannot be estimated.
    """

    value: float
    error: float


def average(values: ArrayLike) -> Estimate:
    """Returns the mean of independent values `[n]` with its error std / sqrt(n), NaN for a single value.

    Raises:
        UserError: If there are none.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not x.size:
        raise UserError(f"values has shape {x.shape}: pass [n] with at least one value")
    return Estimate(float(x.mean()), float(x.std(ddof=1) / math.sqrt(x.size)) if x.size > 1 else math.nan)


def jackknife(value: float, without: Sequence[float]) -> Estimate:
    """Returns a score with its jackknife error over G equal groups of samples.

    error^2 = (G - 1) / G sum_g (without_g - mean)^2 (Tukey 1958). On average it is not too small, up to terms of higher
    order in 1 / n (Efron & Stein 1981). It is NaN for a single group.

    Args:
        value: The score of all samples.
        without: The scores of all samples except one group, `[G]`.
    """
    x, groups = np.asarray(without, np.float64), len(without)
    return Estimate(float(value), float(x.std() * math.sqrt(groups - 1)) if groups > 1 else math.nan)


def split(value: float, first: ArrayLike, second: ArrayLike) -> Estimate:
    """Returns a score, with an error estimated from its values on disjoint halves of the samples.

    error^2 = mean_s (first_s - second_s)^2 / 4 over splits s. The halves are independent, so (first - second)^2 / 2 is
    unbiased for the variance with half as many samples, for any score; the variance with all samples is taken to be
    half of that. Use it for scores that depend on few neighbours of each sample, where jackknife and bootstrap fail.

    Args:
        value: The score of all samples.
        first: The score of one half of the samples, for each split, `[S]`.
        second: The score of the other half, `[S]`.
    """
    apart = np.subtract(first, second, dtype=np.float64)
    return Estimate(float(value), float(np.sqrt(np.mean(apart * apart)) / 2) if apart.size else math.nan)


def occupancy(cells: int, empty: int, singles: ArrayLike, pairs: ArrayLike, samples: int) -> Estimate:
    """Returns the number of cells, fixed and possibly overlapping, with at least one of n independent samples.

    For a Poisson number of samples the variance is E[Q_1 - Q_2 + Q_3 - ...], where Q_r is the sum, over all sets of r
    samples, of the squared number of cells that hold exactly these samples. (For disjoint cells it is Good and
    Toulmin's series of 1956: the number of cells newly found by a second set of samples.) Later terms are mostly noise,
    so the series is summed as Q_1^2 / (Q_1 + Q_2), the fraction with the same first two terms. A fixed number of
    samples subtracts (number of cells with one sample)^2 / n. A jackknife uses Q_1 alone, which is too large where most
    cells hold several samples.

    Args:
        cells: Number of cells.
        empty: Number of cells without a sample.
        singles: For each sample that is alone in some cells, the number of these cells.
        pairs: For each two samples that are alone together in some cells, the number of these cells.
        samples: n, at least 1.
    """
    first, second = (float(np.sum(np.square(x, dtype=np.float64))) for x in (singles, pairs))
    series = first * first / (first + second) if first else 0.0
    return Estimate(
        float(cells - empty), math.sqrt(max(0.0, series - float(np.sum(np.asarray(singles))) ** 2 / samples))
    )
