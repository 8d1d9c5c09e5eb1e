"""Scores of samples of a mixture in the plane: how many modes they cover, how precisely and how evenly.

The protocol is that of Srivastava et al. 2017, "VEEGAN" (arXiv:1705.07761), which scores 2,500 samples and averages
over five runs. The reverse KL is from Lin et al. 2018, "PacGAN" (arXiv:1712.04086), which counts only points within 3
standard deviations of a mode; here all points count.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import xlogy

from gan_jax.data.sources.toys import Mixture
from gan_jax.errors import UserError
from gan_jax.types import Array

REACH = 3.0  # distance from the nearest centre of a high-quality sample, at most, in standard deviations


class Modes(NamedTuple):
    """How samples cover a mixture.

    Attributes:
        covered: Number of modes that have high-quality samples, in [0, K].
        high_quality: Fraction of samples within 3 standard deviations of their nearest centre, in [0, 1].
        reverse_kl: KL divergence of the samples' distribution over their nearest modes from the uniform one, in nats,
            in [0, log K].
    """

    covered: Array | float
    high_quality: Array | float
    reverse_kl: Array | float


def modes(points: Array, mixture: Mixture, least: int = 1) -> Modes:
    """Scores samples of a mixture; a pure function that can be compiled and mapped.

    reverse_kl = sum_k q_k log(K q_k), where q_k is the fraction of samples nearest to mode k, of any quality: it
    measures balance, and high_quality measures precision. A single mode gives log K, as do samples that are all not
    finite, so averages stay finite.

    Args:
        points: Samples, `[N, 2]`; those that are not finite are of low quality.
        mixture: The target mixture, of K modes.
        least: High-quality samples needed for a mode to be covered. The literature's 1 also counts modes with stray
            samples, more of them for larger N.

    Raises:
        UserError: If `least` is less than 1.
    """
    if least < 1:
        raise UserError(f"least={least}: a mode is covered by at least 1 sample; use 1 or more")
    centers = jnp.asarray(mixture.centers)
    squares = jnp.sum((points[:, None] - centers) ** 2, axis=-1)  # not expanded: that would cancel near centres
    distance, nearest = jnp.min(squares, axis=1), jnp.argmin(squares, axis=1)
    near = distance <= (REACH * mixture.std) ** 2
    good, counts = (jnp.zeros(len(centers), jnp.int32).at[nearest].add(x) for x in (near, jnp.isfinite(distance)))
    total = jnp.sum(counts)
    ratios = len(centers) * counts / jnp.maximum(total, 1)  # K q, exactly 1 where shares are equal
    kl = jnp.where(total > 0, jnp.mean(xlogy(ratios, ratios)), math.log(len(centers)))
    return Modes(jnp.sum(good >= least), jnp.mean(near), kl)


def perfect(mixture: Mixture, count: int) -> Modes:
    """Returns the average scores of `count` samples of the mixture itself, if its modes are well separated.

    With p = 1 - exp(-9/2) = 0.98889: covered = K (1 - (1 - p / K)^N), high_quality = p, and
    reverse_kl = (K - 1) / (2 N), its leading term for large N.

    Args:
        mixture: A mixture of K modes.
        count: Number of samples N, at least 1.

    Raises:
        UserError: If there are no samples.
    """
    if count < 1:
        raise UserError(f"count={count}: scores need samples; use 1 or more")
    size, share = len(mixture.centers), -math.expm1(-(REACH**2) / 2)
    return Modes(size * (1 - (1 - share / size) ** count), share, (size - 1) / (2 * count))
