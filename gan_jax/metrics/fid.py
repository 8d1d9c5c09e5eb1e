"""The Frechet inception distance: the distance between Gaussians fitted to real and fake features."""

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, jackknife
from gan_jax.metrics.statistics import Moments, Summary, remove


def frechet_distance(mean_a: ArrayLike, covariance_a: ArrayLike, mean_b: ArrayLike, covariance_b: ArrayLike) -> float:
    """Returns the squared Frechet (2-Wasserstein) distance between two Gaussians.

    |m_a - m_b|^2 + tr A + tr B - 2 tr sqrt(sqrt(A) B sqrt(A)) (Dowson & Landau 1982), in float64 and by symmetric
    eigenproblems, which are stable for singular covariances.

    Args:
        mean_a: `[D]`.
        covariance_a: `[D, D]`, symmetric, positive semidefinite.
        mean_b: `[D]`.
        covariance_b: `[D, D]`, symmetric, positive semidefinite.

    Raises:
        UserError: If the shapes do not fit.
    """
    m, a, n, b = (np.asarray(x, np.float64) for x in (mean_a, covariance_a, mean_b, covariance_b))
    size = m.size
    if [x.shape for x in (m, a, n, b)] != [(size,), (size, size)] * 2:
        raise UserError(
            f"mean_a {m.shape}, covariance_a {a.shape}, mean_b {n.shape}, covariance_b {b.shape}: "
            "they must be [D], [D, D], [D], [D, D]"
        )
    return _distance(m, a, n, b)[0]


def fid(real: Summary, fake: Summary, few: bool = False) -> Estimate:
    """Returns the Frechet inception distance (Heusel et al. 2017, arXiv:1706.08500).

    It is biased upwards, more for fewer samples: between two sets of n samples of N(0, I) in D dimensions it is
    D (D + 5) / (2 n) on average, to first order in 1 / n. Compare only values with equal numbers of samples.

    The error is a jackknife over the groups of samples, with the real images fixed. The effect of removing a group on
    the covariance is linearised (the infinitesimal jackknife of Jaeckel 1972), which takes one eigenproblem instead of
    one per group. For perfect samples and many more real images the derivative almost vanishes and the distance is
    quadratic; the error is then too large, by up to sqrt(2).

    Args:
        real: The data.
        fake: The samples, in groups.
        few: Whether to accept no more images than features.

    Raises:
        UserError: If the two differ in their number of features, or either has too few images.
    """
    if real.size != fake.size:
        raise UserError(
            f"fake has {fake.size} features and real has {real.size}: summarise both with the same features"
        )
    for name, each in (("real", real), ("fake", fake)):
        if each.count < 2 or (each.count <= real.size and not few):
            raise UserError(
                f"{name} has {each.count:,} images for {real.size:,} features: the covariance is singular, and the "
                "FID depends mostly on the number of images; give more samples, or real images of --split train, or "
                "accept this with --few (few=True)"
            )
    data, samples = real.total, fake.total
    value, slope = _distance(data.mean, data.covariance, samples.mean, samples.covariance)

    def without(group: Moments) -> float:
        rest = remove(samples, group)
        means = np.sum((rest.mean - data.mean) ** 2) - np.sum((samples.mean - data.mean) ** 2)
        return float(value + means + np.vdot(slope, rest.covariance - samples.covariance))

    enough = all(samples.count - group.count > 1 for group in fake.groups)
    return jackknife(value, [without(group) for group in fake.groups if enough])


def _distance(m: np.ndarray, a: np.ndarray, n: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the distance and its derivative by `b`, I - F M^(-1/2) F^T, where A = F F^T and M = F^T B F."""
    values, vectors = np.linalg.eigh(a)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    squares, turn = np.linalg.eigh(factor.T @ b @ factor)  # the eigenvalues of sqrt(A) B sqrt(A)
    shared = np.sqrt(np.maximum(squares, 0))
    apart, axes = m - n, factor @ turn
    value = max(0.0, float(apart @ apart + np.trace(a) + np.trace(b) - 2 * shared.sum()))
    # smaller values are rounding errors, in directions where A or B has no variance
    sure = shared > shared.max() * np.sqrt(len(a) * np.finfo(float).eps)
    slope = (axes * np.divide(-1, shared, where=sure, out=np.zeros_like(shared))) @ axes.T
    slope.flat[:: len(a) + 1] += 1
    return value, slope
