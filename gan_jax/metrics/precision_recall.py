"""Scores by nearest neighbours of features: fidelity and diversity separately, and copying of training images.

All but `copying` use balls around each image of a set, with the distance to its k-th nearest neighbour in the same set
as radius. The balls of the real images estimate the support of the data, those of the samples that of the generator.
Balls are open, as in the code of Naeem et al., so a set of distinct points scores exactly 1 in all four against itself.

Errors are over fresh samples, with the real images fixed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, average, occupancy, split
from gan_jax.metrics.nearest_neighbours import inside, nearest
from gan_jax.metrics.statistics import Summary, feature_arrays

SPLITS = 10  # random splits of the samples into halves, for the error of recall


class Overlap(NamedTuple):
    """Overlap of samples y_1 .. y_M and real images x_1 .. x_N.

    B_k(x) is the ball around x whose radius is the distance to x's k-th nearest neighbour in its set.

    Attributes:
        precision: Fraction of samples in the support of the data, mean_j [y_j is in some B_k(x_i)], in [0, 1]
            (Kynkaanniemi et al. 2019, arXiv:1904.06991); its error is that of the mean over samples.
        recall: Fraction of real images in the support of the samples, mean_i [x_i is in some B_k(y_j)], in [0, 1]; its
            error is `estimate.split` over ten splits, NaN for fewer than 2 (k + 1) samples. The error is too large
            where most samples of a mode have k neighbours in it, but not among half of the samples. The recall itself
            is too high where a few stray samples have large balls, which contain much of the data.
        density: Density of the data at the samples, mean_j #{i: y_j is in B_k(x_i)} / k (Naeem et al. 2020,
            arXiv:2002.09797): at least 0, 1 on average for a perfect generator, and above 1 for one that stays where
            the data is densest; its error is that of the mean over samples.
        coverage: Fraction of real images with a sample nearby, mean_i [some y_j is in B_k(x_i)], in [0, 1], also by
            Naeem et al., see `perfect_coverage`; its error is `estimate.occupancy`, with the balls as cells.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def overlap(real: Summary, fake: Summary, k: int = 3, k_density: int = 5) -> Overlap:
    """Returns precision, recall, density and coverage, which share their searches.

    Errors cost less than the scores: distances are computed once, except from real images whose balls contain one or
    two samples. For recall, a longer list of each sample's neighbours gives its radii within halves, and each distance
    between a real image and a sample is compared with 21 radii instead of one.

    Args:
        real: The data, with features kept.
        fake: The samples, with features kept.
        k: Neighbour that sets the radii for precision and recall.
        k_density: Neighbour that sets the radii for density and coverage.

    Raises:
        UserError: If features were not kept or differ in size, or a set has k images or fewer.
    """
    x, y = feature_arrays(real, fake)
    in_real, held = inside(y, x, radii(x, k, k_density))
    in_fake = inside(x, y, _with_halves(y, k))[0] > 0
    recall, *halves = in_fake.mean(0)
    singles, pairs = (_sharing(x, y, held[:, 1], count) for count in (1, 2))
    covered = occupancy(len(x), int(np.sum(held[:, 1] == 0)), singles, pairs, len(y))
    return Overlap(
        precision=average(in_real[:, 0] > 0),
        recall=split(recall, halves[::2], halves[1::2]),
        density=average(in_real[:, 1] / k_density),
        coverage=Estimate(covered.value / len(x), covered.error / len(x)),
    )


def perfect_coverage(reals: int, samples: int, k: int = 5) -> float:
    """Returns the average coverage of samples of the data distribution, for any distribution without ties.

    1 - prod_{j=1..k} (N - j) / (N + M - j), for N real images and M samples: a ball is empty if the k nearest of the
    other N + M - 1 points are all real.
    """
    j = np.arange(1, k + 1)
    return float(1 - np.prod((reals - j) / (reals + samples - j)))


def copying(train_features: ArrayLike, test_features: ArrayLike, fake_features: ArrayLike) -> Estimate:
    """Returns the probability that a sample is nearer to the training images than a held-out real image is.

    P(d(sample) < d(held out)) + P(equal) / 2, where d is the distance to the nearest training image: the Mann-Whitney
    statistic, as in Meehan et al. 2020 (arXiv:2004.05675). 1/2 is ideal; near 1 samples are copies, near 0 they are far
    from the data. A generator that copies some images and misses others may also score 1/2.

    Args:
        train_features: Features of the generator's training images, `[t, D]`.
        test_features: Features of held-out real images, `[n, D]`.
        fake_features: Features of samples, `[m, D]`.

    Returns:
        The probability, in [0, 1]; its error is that of the mean over samples, with all real images fixed.

    Raises:
        UserError: If the shapes do not fit.
    """
    test, fake = (nearest(x, train_features, 1)[0][:, 0] for x in (test_features, fake_features))
    return average(_share_below(-test, -fake))


def radii(features: np.ndarray, *ks: int) -> np.ndarray:
    """Returns the distances of points `[n, D]` to their k-th nearest neighbours in the same set, one column per k."""
    _has(features, *ks)
    return nearest(features, features, max(ks), exclude_self=True)[0][:, [k - 1 for k in ks]]


def _has(features: np.ndarray, *ks: int) -> None:
    if min(ks) < 1 or len(features) <= max(ks):
        raise UserError(
            f"k={max(ks)}: each of {len(features)} images has {len(features) - 1} neighbours; use k from 1 to that "
            "number"
        )


def _with_halves(features: np.ndarray, k: int) -> np.ndarray:
    """Returns k-th neighbour distances of points `[n, D]`: in the whole set, then in both halves of S random splits.

    The result is `[n, 1 + 2 S]`. The radius is 0 in a half without the point. Fewer than 2 (k + 1) points are not
    split.
    """
    count = len(features)
    _has(features, k)
    # this many neighbours include k of the point's own half, except in one case in millions: then the last is used
    distances, indices = nearest(features, features, min(count - 1, 10 * k + 20), exclude_self=True)
    columns, draws = [distances[:, k - 1]], np.random.default_rng(0)
    for _ in range(SPLITS if count >= 2 * (k + 1) else 0):
        first = draws.permutation(count) < count // 2
        before = np.cumsum(first[indices] == first[:, None], axis=1) < k
        radius = distances[np.arange(count), np.minimum(before.sum(1), distances.shape[1] - 1)]
        columns += [np.where(first, radius, 0), np.where(first, 0, radius)]
    return np.stack(columns, 1)


def _sharing(x: np.ndarray, y: np.ndarray, held: np.ndarray, count: int) -> np.ndarray:
    """Groups the balls about x that contain exactly `count` points of y by these points; returns the group sizes."""
    rows = x[held == count]
    if not len(rows):
        return np.zeros(0, int)
    return np.unique(np.sort(nearest(rows, y, count)[1], 1), axis=0, return_counts=True)[1]


def _share_below(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Returns the fraction of values below each limit; equal values count half."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, limits, "left") + np.searchsorted(ordered, limits, "right")) / (2 * len(values))
