"""Summary statistics of a set of images, computed in one pass over their features.

Moments are float64 throughout: float32 would lose the digits that a Frechet distance depends on. They are kept per
group of samples, so that a score can be computed without each group, for a jackknife.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError

CHUNK = 1024  # rows summed at once; fixed, so that the size of batches does not change the result
Batch = tuple[np.ndarray, np.ndarray]  # features [b, D] and probabilities [b, K]


class Moments(NamedTuple):
    """Moments of points.

    Attributes:
        count: Number n of points.
        mean: float64 `[D]`.
        scatter: Sum of the outer products of deviations from the mean, float64 `[D, D]`: (n - 1) times the covariance.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """The unbiased covariance, `[D, D]`: scatter / (n - 1)."""
        return self.scatter / (self.count - 1)


NONE = Moments(0, np.zeros(()), np.zeros(()))  # of no points, in any dimension


def moments(points: ArrayLike) -> Moments:
    """Returns the moments of points `[n, D]`."""
    x = np.array(points, np.float64)
    mean = x.mean(0)
    x -= mean
    return Moments(len(x), mean, x.T @ x)


def merge(a: Moments, b: Moments) -> Moments:
    """Returns the moments of the union of two sets (Chan, Golub & LeVeque 1979, "Updating formulae").

    scatter = scatter_a + scatter_b + d d^T n_a n_b / (n_a + n_b), where d = mean_b - mean_a.
    """
    count, apart = a.count + b.count, b.mean - a.mean
    scatter = np.multiply.outer(apart * (a.count * b.count / count), apart)
    scatter += a.scatter
    scatter += b.scatter
    return Moments(count, a.mean + apart * (b.count / count), scatter)


def remove(whole: Moments, part: Moments) -> Moments:
    """Returns the moments of a set without a part, by merging the part as a negative number of points."""
    return merge(whole, Moments(-part.count, part.mean, -part.scatter))


class Summary(NamedTuple):
    """Statistics of a set of images for scores: G contiguous groups, D features, K classes (0 without a classifier).

    Attributes:
        count: Number n of images.
        groups: Moments of the features of each group; `total` has those of all.
        mass: Sum of the probabilities of each group's images, float64 `[G, K]`.
        certainty: Sum of p log p over each group's images and all classes, in nats, float64 `[G]`; never positive.
        votes: Number of images of each group whose likeliest class is each class, int64 `[G, K]`.
        features: float32 `[n, D]`, or None where they were not kept.
    """

    count: int
    groups: tuple[Moments, ...]
    mass: np.ndarray
    certainty: np.ndarray
    votes: np.ndarray
    features: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Number of features D."""
        return self.groups[0].mean.size

    @property
    def total(self) -> Moments:
        """Moments of all images' features."""
        return functools.reduce(merge, self.groups)


def summarise(stream: Iterable[Batch], count: int, groups: int = 10, keep: bool = False) -> Summary:
    """Computes a `Summary` in one pass; it does not depend on the batches of the stream, bit for bit.

    Group i holds the images from floor(i n / G) up to floor((i + 1) n / G). Errors of scores are valid if groups are
    identically distributed, as for independent samples, but not for images sorted by class.

    Args:
        stream: Features `[b, D]` and probabilities `[b, K]` in batches of any size, as from `features.extractor`.
        count: Number n of images.
        groups: Number G of groups; 1 is enough for real images.
        keep: Whether to keep all features, `n D` float32, for scores that need them at once.

    Raises:
        UserError: If features or probabilities are not finite, if there are not `count` of them, or fewer than groups.
    """
    if not 1 <= groups <= count:
        raise UserError(
            f"count={count}: standard errors are computed from groups={groups} groups of images; give a --count of at "
            f"least {groups}, and at least 1 group"
        )
    edges = [i * count // groups for i in range(groups + 1)]
    chunks = [(i, range(low, high, CHUNK), high) for i, (low, high) in enumerate(itertools.pairwise(edges))]
    places = [(i, slice(start, min(start + CHUNK, high))) for i, starts, high in chunks for start in starts]
    totals: list[tuple] = [(NONE, 0.0, 0.0, 0)] * groups
    features, bad = None, 0
    for (group, rows), (x, p) in zip(places, _cut(iter(stream), [rows for _, rows in places], count), strict=True):
        bad += int(np.sum(~(np.isfinite(x).all(1) & np.isfinite(p).all(1))))
        if bad:
            continue  # only to count them
        before, (mass, certainty, votes) = totals[group], _classes(p)
        totals[group] = (merge(before[0], moments(x)), before[1] + mass, before[2] + certainty, before[3] + votes)
        if keep:
            features = np.empty((count, x.shape[1]), np.float32) if features is None else features
            features[rows] = x
    if bad:
        raise UserError(
            f"stream: features or probabilities of {bad:,} of {count:,} images are not finite, so the score is "
            "undefined; look at the images: the generator may have diverged"
        )
    parts, mass, certainty, votes = zip(*totals, strict=True)
    return Summary(count, parts, np.stack(mass), np.stack(certainty), np.stack(votes), features)


def feature_arrays(real: Summary, fake: Summary) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of two sets, for scores that need them at once.

    Raises:
        UserError: If they were not kept or differ in size.
    """
    x, y = real.features, fake.features
    if x is None or y is None:
        name = "real" if x is None else "fake"
        raise UserError(f"{name} has no features, which this score needs; call summarise(..., keep=True)")
    if real.size != fake.size:
        raise UserError(
            f"fake has {fake.size} features and real has {real.size}: summarise both with the same features"
        )
    return x, y


def _cut(stream: Iterator[Batch], places: list[slice], count: int) -> Iterator[Batch]:
    """Regroups a stream into batches of the sizes of `places`; raises UserError if it does not have `count` images."""
    held, rows = [], 0
    for place in places:
        while rows < place.stop - place.start:
            batch = next(stream, None)
            if batch is None:
                raise UserError(
                    f"count={count:,}: the stream ends after {place.start + rows:,} images; pass more images, or a "
                    "lower count"
                )
            held.append(batch)
            rows += len(batch[0])
        x, p = held[0] if len(held) == 1 else (np.concatenate(parts) for parts in zip(*held, strict=True))
        size = place.stop - place.start
        yield x[:size], p[:size]
        held, rows = [(x[size:], p[size:])], rows - size
    if rows or next(stream, None) is not None:
        raise UserError(f"count={count:,}: the stream has more images than that; pass their number as count")


def _classes(probabilities: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Returns the sums of probabilities `[b, K]` and of p log p, and the votes."""
    p = probabilities.astype(np.float64)
    likeliest = p.argmax(1) if p.shape[1] else np.zeros(0, int)
    certainty = float(np.sum(p * np.log(p, where=p > 0, out=np.zeros_like(p))))
    return p.sum(0), certainty, np.bincount(likeliest, minlength=p.shape[1])
