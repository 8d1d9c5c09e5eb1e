"""The Frechet inception distance: how far the features' means and covariances lie apart."""

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, jackknife
from gan_jax.metrics.statistics import Moments, Summary, remove


def frechet_distance(mean_a: ArrayLike, covariance_a: ArrayLike, mean_b: ArrayLike, covariance_b: ArrayLike) -> float:
    """Returns the squared Frechet (2-Wasserstein) distance between two Gaussians.

    |m_a - m_b|^2 + tr A + tr B - 2 tr sqrt(sqrt(A) B sqrt(A)), in float64 and by symmetric eigenproblems alone, which
    covariances that are singular do not upset (Dowson & Landau 1982).

    Args:
        mean_a: `[D]`.
        covariance_a: Symmetric, positive semidefinite, `[D, D]`.
        mean_b: `[D]`.
        covariance_b: As the other.

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

    It is biased upwards, the more the fewer the samples: between two samples of n of N(0, I) in D dimensions it is
    D (D + 5) / (2 n) on average, to first order in 1 / n. Compare values of equal numbers of samples only.

    Its error is the jackknife's over the groups of samples, the real images being what they are. What a group's removal
    does to the covariance is carried over by the derivative (the infinitesimal jackknife of Jaeckel 1972), which costs
    one eigenproblem in place of one a group. For perfect samples and many more real images the derivative almost
    vanishes and the distance is quadratic; the error is then too large, by up to sqrt(2).

    Args:
        real: The data.
        fake: The samples, in groups.
        few: Whether to score fewer images than there are features.

    Raises:
        UserError: If the two have not the same features, or too few images of either.
    """
    if real.size != fake.size:
        raise UserError(f"fake has {fake.size} features and real has {real.size}: summarise both by the same ones")
    for name, each in (("real", real), ("fake", fake)):
        if each.count < 2 or (each.count <= real.size and not few):
            raise UserError(
                f"{name} has {each.count:,} images for {real.size:,} features: their covariance is singular, and FID "
                "tells more of their number than of them; give more samples, or real images of --split train, or "
                "accept it by --few (few=True)"
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
    # the rest is rounding: directions in which one of the two has no extent, and which share nothing to be lost
    sure = shared > shared.max() * np.sqrt(len(a) * np.finfo(float).eps)
    slope = (axes * np.divide(-1, shared, where=sure, out=np.zeros_like(shared))) @ axes.T
    slope.flat[:: len(a) + 1] += 1
    return value, slope
