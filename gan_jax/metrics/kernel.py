"""The kernel inception distance: an unbiased distance between distributions of features."""

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, average
from gan_jax.metrics.summary import Summary, kept


def kid(real: Summary, fake: Summary, block: int | None = None) -> Estimate:
    """Returns the kernel inception distance (Binkowski et al. 2018, arXiv:1801.01401).

    The mean over blocks of MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j), where
    k(x, y) = (x . y / D + 1)^3. It is unbiased: on samples of the data it is 0 on average, so half the time negative.

    The paper's code draws 100 blocks of 1,000, of which any two may share images, so that the spread of their values
    tells less than their number promises. Here blocks are disjoint, each image in one at most: the expectation is the
    same, whatever the block, and std / sqrt(blocks) is an honest error. Which images make a block is drawn once and
    for all, as data sets may be sorted by class.

    Args:
        real: The data, with features kept.
        fake: The samples, with features kept.
        block: Images of each in a block, at least 2; by default 1,000, or a tenth of the smaller set if that is less.
            One of all images leaves no error.

    Raises:
        UserError: If features were not kept, or are not of the same size, or if the block does not fit.
    """
    x, y = kept(real, fake)
    smaller = min(len(x), len(y))
    block = max(2, min(1000, smaller // 10)) if block is None else block
    if not 2 <= block <= smaller:
        raise UserError(f"block={block}: real has {len(x)} images and fake {len(y)}; pass 2 to {smaller}")
    draws = np.random.default_rng(0)
    orders = [draws.permutation(len(features))[: smaller // block * block].reshape(-1, block) for features in (x, y)]
    return average([_squared(x[i], y[j]) for i, j in zip(*orders, strict=True)])


def _squared(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the unbiased MMD^2 of two blocks `[n, D]`, in float64: it is a small difference of large means."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    within = sum((kernel.sum() - np.trace(kernel)) for kernel in (_cubic(x, x), _cubic(y, y))) / (len(x) * (len(x) - 1))
    return float(within - 2 * _cubic(x, y).mean())


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # a power of floats is ten times as slow
