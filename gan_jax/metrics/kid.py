"""The kernel inception distance: an unbiased distance between distributions of features."""

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate
from gan_jax.metrics.statistics import Summary, feature_arrays


def kid(real: Summary, fake: Summary, block: int | None = None) -> Estimate:
    """Returns the kernel inception distance (Binkowski et al. 2018, arXiv:1801.01401).

    The mean over blocks of MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j), where
    k(x, y) = (x . y / D + 1)^3. It is unbiased: for perfect samples it is 0 on average, and often negative.

    The paper's code draws 100 overlapping blocks of 1,000, whose values are correlated, so their spread understates the
    error. Here blocks are disjoint; the expectation is the same for any block size. Blocks are random, as data sets may
    be sorted by class, with a fixed seed.

    The error is over fresh samples. The spread of the blocks' values would include that of real images, so each block
    of real images is also compared with the next block of samples: error^2 = mean_b (MMD^2(x_b, y_b) -
    MMD^2(x_b, y_{b+1}))^2 / (2 B), for B blocks in a circle. It takes a fourth kernel per block; the score takes three.

    Args:
        real: The data, with features kept.
        fake: The samples, with features kept.
        block: Images of each set in a block, at least 2; by default 1,000, or a tenth of the smaller set if that is
            less. With a single block the error is NaN.

    Raises:
        UserError: If features were not kept or differ in size, or if the block does not fit.
    """
    x, y = feature_arrays(real, fake)
    smaller = min(len(x), len(y))
    block = max(2, min(1000, smaller // 10)) if block is None else block
    if not 2 <= block <= smaller:
        raise UserError(f"block={block}: real has {len(x)} images and fake {len(y)}; pass a number from 2 to {smaller}")
    draws = np.random.default_rng(0)
    orders = [draws.permutation(len(features))[: smaller // block * block].reshape(-1, block) for features in (x, y)]
    of_x, of_y = ([_within(features[i]) for i in order] for features, order in zip((x, y), orders, strict=True))
    crossed, crossed_next = (
        [2 * _cubic(x[i], y[j]).mean() for i, j in zip(orders[0], np.roll(orders[1], -step, axis=0), strict=True)]
        for step in (0, 1)
    )
    of_samples = np.subtract(of_y, crossed)  # the part of each value that depends on the samples
    apart = of_samples - (np.roll(of_y, -1) - crossed_next)
    error = np.sqrt(np.mean(apart * apart) / (2 * len(apart))) if len(apart) > 1 else np.nan
    return Estimate(float(np.mean(of_x + of_samples)), float(error))


def _within(x: np.ndarray) -> float:
    """Returns mean_{i != j} k(x_i, x_j) of a block `[n, D]`."""
    kernel = _cubic(x, x)
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the kernel matrix of two blocks, in float64, as MMD^2 is a small difference of large means."""
    base = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1
    return base * base * base  # base**3 is ten times slower
