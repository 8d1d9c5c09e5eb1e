"""The Frechet inception distance: how far the features' means and covariances lie apart."""

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.metrics.estimate import Estimate, jackknife
from gan_jax.metrics.summary import Moments, Summary, remove


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
        ValueError: If the shapes do not fit.
    """
    m, a, n, b = (np.asarray(x, np.float64) for x in (mean_a, covariance_a, mean_b, covariance_b))
    size = m.size
    if [x.shape for x in (m, a, n, b)] != [(size,), (size, size)] * 2:
        raise ValueError(
            f"mean_a {m.shape}, covariance_a {a.shape}, mean_b {n.shape}, covariance_b {b.shape}: "
            "they must be [D], [D, D], [D], [D, D]"
        )
    return _distance(m, _factor(a), n, b)


def fid(real: Summary, fake: Summary, few: bool = False) -> Estimate:
    """Returns the Frechet inception distance (Heusel et al. 2017, arXiv:1706.08500).

    It is biased upwards, the more the fewer the samples: for two samples of n of the same Gaussian in D dimensions
    by D (D + 5) / (2 n) or more, as the covariance; compare values of equal numbers of samples only.

    Args:
        real: The data.
        fake: The samples. The error is the jackknife's over its groups, the real images being what they are.
        few: Whether to score fewer images than there are features.

    Raises:
        ValueError: If the two have not the same features, or too few images of either.
    """
    if real.size != fake.size:
        raise ValueError(f"fake has {fake.size} features and real has {real.size}: summarise both by the same ones")
    for name, each in (("real", real), ("fake", fake)):
        if each.count < 2 or (each.count <= real.size and not few):
            raise ValueError(
                f"{name} has {each.count:,} images for {real.size:,} features: their covariance is singular, and FID "
                "tells more of their number than of them; take more samples, or real images of --split train, or pass "
                "few=True"
            )
    data, samples = real.total, fake.total
    factor = _factor(data.covariance)  # once for all groups

    def score(some: Moments) -> float:
        return _distance(data.mean, factor, some.mean, some.covariance)

    return jackknife(score(samples), [score(remove(samples, group)) for group in fake.groups])


def _factor(covariance: np.ndarray) -> np.ndarray:
    """Returns F with F F^T = A, by which F^T B F has the eigenvalues of sqrt(A) B sqrt(A) at half the products."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def _distance(mean: np.ndarray, factor: np.ndarray, other: np.ndarray, covariance: np.ndarray) -> float:
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(factor.T @ covariance @ factor), 0)).sum()
    apart = mean - other
    return max(0.0, float(apart @ apart + np.vdot(factor, factor) + np.trace(covariance) - 2 * shared))
