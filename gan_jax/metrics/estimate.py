"""A number and how far chance may have moved it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError


class Estimate(NamedTuple):
    """A score.

    Attributes:
        value: What was found.
        error: Its standard error: how far the values of other samples of the same size would spread, one standard
            deviation. NaN where it cannot be told.
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
