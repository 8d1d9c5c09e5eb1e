"""Scores by nearest neighbours among features: fidelity and diversity told apart, and copies of the training images.

All but `copying` rest on balls: about each image of a set, as far as its k-th nearest in the same set. The balls of the
real images make up where the data lies, those of the samples what the generator makes. They are open, as in the code of
Naeem et al., so that a set of distinct points scores exactly 1 in all four against itself.

Errors are those of fresh samples, the real images being what they are.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, average, occupancy, split
from gan_jax.metrics.nearest_neighbours import inside, nearest
from gan_jax.metrics.statistics import Summary, kept

SPLITS = 10  # random splits of the samples into halves, for the error of recall


class Overlap(NamedTuple):
    """How samples y_1 .. y_M and real images x_1 .. x_N overlap; B_k(x) is the ball out to x's k-th nearest of its set.

    Attributes:
        precision: Share of samples that lie where the data does, mean_j [y_j is in some B_k(x_i)], in [0, 1]
            (Kynkaanniemi et al. 2019, arXiv:1904.06991); the error is of the mean over samples.
        recall: Share of real images that lie where samples do, mean_i [x_i is in some B_k(y_j)], in [0, 1]; the error
            is that of `estimate.split`, by ten splits, NaN for fewer than 2 (k + 1) samples. The error is too large
            where a mode holds so few samples that most have k neighbours in it, but not among half of them. The recall
            itself is too high where a few stray samples have large balls, which hold much of the data.
        density: How densely the data lies where samples do, mean_j #{i: y_j is in B_k(x_i)} / k (Naeem et al. 2020,
            arXiv:2002.09797): at least 0, 1 on average for the best of generators, and above for one that keeps to
            where the data is densest; the error is of the mean over samples.
        coverage: Share of real images that have a sample nearby, mean_i [some y_j is in B_k(x_i)], in [0, 1], by Naeem
            et al. too, see `perfect_coverage`; the error is that of `estimate.occupancy`, the balls being the cells.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def overlap(real: Summary, fake: Summary, k: int = 3, k_density: int = 5) -> Overlap:
    """Returns all four scores, which share their searches.

    Errors cost less than the scores: distances are computed once, except those from real images whose balls hold one
    sample or two. For recall, a longer list of each sample's neighbours gives its radii within halves, and each
    distance between a real image and a sample is compared with 21 radii in place of one.

    Args:
        real: The data, with features kept.
        fake: The samples, with features kept.
        k: Of precision and recall.
        k_density: Of density and coverage.

    Raises:
        UserError: If features were not kept, or are not of the same size, or are of k images or fewer.
    """
    x, y = kept(real, fake)
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
    """Returns the coverage that samples of the data itself have on average, whatever the data, if it has no ties.

    1 - prod_{j=1..k} (N - j) / (N + M - j), for N real images and M samples: a ball is empty if the k nearest of the
    other N + M - 1 points are all real.
    """
    j = np.arange(1, k + 1)
    return float(1 - np.prod((reals - j) / (reals + samples - j)))


def copying(train_features: ArrayLike, test_features: ArrayLike, fake_features: ArrayLike) -> Estimate:
    """Returns how likely a sample lies nearer to the training images than a real image held out does.

    P(d(sample) < d(held out)) + P(equal) / 2, where d is the distance to the nearest training image: the statistic of
    Mann and Whitney, as Meehan et al. 2020 (arXiv:2004.05675) use it. 1/2 is ideal, near 1 samples are copies, near 0
    they lie off the data. A generator may copy some images and miss others, and score 1/2 all the same.

    Args:
        train_features: Of the images that the generator was trained on, `[t, D]`.
        test_features: Of real images held out, `[n, D]`.
        fake_features: Of samples, `[m, D]`.

    Returns:
        The probability, in [0, 1]; its error is of the mean over samples, all real images being what they are.

    Raises:
        UserError: If the shapes do not fit.
    """
    test, fake = (nearest(x, train_features, 1)[0][:, 0] for x in (test_features, fake_features))
    return average(_share_below(-test, -fake))


def radii(features: np.ndarray, *ks: int) -> np.ndarray:
    """Returns the distances of points `[n, D]` to their k-th nearest of the same set, one column a k."""
    _has(features, *ks)
    return nearest(features, features, max(ks), exclude_self=True)[0][:, [k - 1 for k in ks]]


def _has(features: np.ndarray, *ks: int) -> None:
    if min(ks) < 1 or len(features) <= max(ks):
        raise UserError(f"k={max(ks)}: {len(features)} images have from 1 to {len(features) - 1} neighbours each")


def _with_halves(features: np.ndarray, k: int) -> np.ndarray:
    """Returns radii of balls about points `[n, D]`, `[n, 1 + 2 S]`: among all, then within halves of S random splits.

    In a half that a point does not belong to, its radius is 0. Fewer than 2 (k + 1) points are not split.
    """
    count = len(features)
    _has(features, k)
    # so many neighbours include k of the point's own half; in one case in millions they do not: then the last is taken
    distances, found = nearest(features, features, min(count - 1, 10 * k + 20), exclude_self=True)
    columns, draws = [distances[:, k - 1]], np.random.default_rng(0)
    for _ in range(SPLITS if count >= 2 * (k + 1) else 0):
        first = draws.permutation(count) < count // 2
        before = np.cumsum(first[found] == first[:, None], axis=1) < k
        own = distances[np.arange(count), np.minimum(before.sum(1), distances.shape[1] - 1)]
        columns += [np.where(first, own, 0), np.where(first, 0, own)]
    return np.stack(columns, 1)


def _sharing(x: np.ndarray, y: np.ndarray, held: np.ndarray, count: int) -> np.ndarray:
    """Returns, for each set of `count` of y that some balls about x hold and no others, the number of these balls."""
    rows = x[held == count]
    if not len(rows):
        return np.zeros(0, int)
    return np.unique(np.sort(nearest(rows, y, count)[1], 1), axis=0, return_counts=True)[1]


def _share_below(values: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Returns which share of the values lies below each limit, equal ones counting half."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, limits, "left") + np.searchsorted(ordered, limits, "right")) / (2 * len(values))
