"""Points in the plane: mixtures of Gaussians, to count modes, and noisy curves, to measure distances."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data import kinds
from gan_jax.data.dataset import Dataset, dataset
from gan_jax.data.reading.images import LIMIT
from gan_jax.errors import UserError

SIZES = {"train": 50_000, "test": 10_000}


class Mixture(NamedTuple):
    """A uniform mixture of isotropic Gaussians.

    Attributes:
        centers: Means, float32 `[modes, 2]`.
        std: Standard deviation of every Gaussian, in each direction.
    """

    centers: np.ndarray
    std: float


class Curves(NamedTuple):
    """A uniform mixture of curves, each uniform in arc length, with isotropic Gaussian noise.

    Attributes:
        paths: float32 `[arms, vertices, 2]`: the vertices of each polyline, in order.
        std: Standard deviation of the noise, in each direction.
    """

    paths: np.ndarray
    std: float


class Nearest(NamedTuple):
    """The nearest point on any curve to each of N points.

    Attributes:
        distance: Distance to it, `[N]`.
        arm: Index of its curve, `[N]`.
        place: Arc length before it as a fraction of the curve's length, `[N]` in [0, 1].
    """

    distance: np.ndarray
    arm: np.ndarray
    place: np.ndarray


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Mixture:
    """Places modes evenly on a circle, as in Metz et al. 2017, "Unrolled GANs" (arXiv:1611.02163)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture((radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Places modes on a square lattice about 0, as in Srivastava et al. 2017, "VEEGAN" (arXiv:1705.07761)."""
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2).astype(np.float32), std)


def spiral(arms: int = 2, radius: float = 2.0, std: float = 0.05) -> Curves:
    """Winds arms around each other, 1.5 turns each: r = radius angle / (3.5 pi) for angles in [pi/2, 7 pi/2]."""
    turns = 2 * np.pi * np.arange(arms) / arms
    return Curves(np.stack([_archimedes(np.pi / 2, 7 * np.pi / 2, radius, turn) for turn in turns]), std)


def swiss_roll(radius: float = 2.0, std: float = 0.05) -> Curves:
    """Rolls one curve up, 1.5 turns: r = radius angle / (4.5 pi) for angles in [3 pi/2, 9 pi/2]."""
    return Curves(_archimedes(3 * np.pi / 2, 9 * np.pi / 2, radius)[None], std)


def moons(radius: float = 4 / 3, std: float = 0.05) -> Curves:
    """Interlocks two half circles, the second the first rotated by 180 degrees about the origin."""
    angle = np.linspace(0, np.pi, 257)
    upper = radius * np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    return Curves(np.stack([upper, -upper]).astype(np.float32), std)


MIXTURES = {"ring": ring, "grid": grid}
CURVES = {"spiral": spiral, "swiss_roll": swiss_roll, "moons": moons}
NAMES = (*MIXTURES, *CURVES)


def _require_count(count: int) -> None:
    if count * 2 * 8 > LIMIT:
        raise UserError(
            f"count={count:,}: drawing the points takes {count * 16 / 2**30:.1f} GiB, more than the limit of "
            f"{LIMIT / 2**30:.0f} GiB; draw fewer"
        )


def draw(mixture: Mixture, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws points of a mixture.

    Args:
        mixture: The mixture.
        count: Number of points.
        seed: Equal seeds give equal points.

    Returns:
        Points, float32 `[count, 2]`, and the mode of each, `[count]`.
    """
    _require_count(count)
    random = np.random.RandomState(seed)  # its streams are fixed; those of numpy.random.Generator may change
    mode = random.randint(len(mixture.centers), size=count)
    return (mixture.centers[mode] + mixture.std * random.randn(count, 2)).astype(np.float32), mode


def trace(curves: Curves, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws points on curves, uniform in arc length, and adds Gaussian noise.

    Args:
        curves: The curves.
        count: Number of points.
        seed: Equal seeds give equal points.

    Returns:
        Points, float32 `[count, 2]`, and the curve of each, `[count]`.
    """
    _require_count(count)
    random = np.random.RandomState(seed)
    arm, place = random.randint(len(curves.paths), size=count), random.rand(count)
    points = curves.std * random.randn(count, 2)
    for i, path in enumerate(curves.paths):
        shares = _shares(path)
        points[arm == i] += np.stack([np.interp(place[arm == i], shares, line) for line in path.T], 1)
    return points.astype(np.float32), arm


def nearest(points: ArrayLike, curves: Curves) -> Nearest:
    """Finds the nearest point on any curve to each of points `[N, 2]`, in O(N) time and memory per vertex.

    A fraction of about erf(3 / sqrt(2)) = 0.9973 of the points of `trace` lies within 3 std of a curve. Their places
    are nearly uniform in [0, 1]; the ends, past which noise may carry points, deviate on a length of about std.
    """
    points = np.asarray(points, np.float64)
    results = []
    for path in curves.paths.astype(np.float64):
        starts, steps = path[:-1], np.diff(path, axis=0)
        squares = (steps**2).sum(1)
        along = np.clip((points @ steps.T - (starts * steps).sum(1)) / squares, 0, 1)  # [N, lines]
        distances = np.hypot(*(points.T[:, :, None] - starts.T[:, None] - along * steps.T[:, None]))
        line = distances.argmin(1)
        along, distance = (np.take_along_axis(x, line[:, None], 1)[:, 0] for x in (along, distances))
        shares = _shares(path)
        results.append((distance, shares[line] + along * np.diff(shares)[line]))
    distances, places = np.moveaxis(np.array(results), 1, 0)  # [arms, N] each
    arm = distances.argmin(0)
    return Nearest(distances.min(0), arm, np.take_along_axis(places, arm[None], 0)[0])


def load(name: str, split: str = "train") -> Dataset:
    """Draws a data set of points.

    Args:
        name: "ring" or "grid", mixtures labelled by mode; "spiral" or "moons", two curves each, labelled by curve; or
            "swiss_roll", one curve without labels.
        split: "train" (50,000 points) or "test" (10,000 others).

    Returns:
        Points under the key `image`, float32 `[N, 2]`, unscaled plane coordinates; and labels, if any.

    Raises:
        UserError: If there is no such set or split.
    """
    if name not in NAMES:
        raise UserError(f"name={name!r}: there is no such set of points; use one of {', '.join(NAMES)}")
    if split not in SIZES:
        raise UserError(f"split={split!r}: {name} has the splits {' and '.join(SIZES)}; use one of them")
    seed = list(SIZES).index(split)
    if name in MIXTURES:
        mixture = MIXTURES[name]()
        return dataset(name, split, *draw(mixture, SIZES[split], seed), classes=len(mixture.centers), kind=kinds.points)
    curves = CURVES[name]()
    points, arm = trace(curves, SIZES[split], seed)
    return dataset(name, split, points, arm if len(curves.paths) > 1 else None, len(curves.paths), kind=kinds.points)


def _archimedes(start: float, end: float, radius: float, turn: float = 0.0) -> np.ndarray:
    angle = np.linspace(start, end, 257)  # a chord leaves the curve by less than 1e-2 std
    return (radius * (angle / end) * np.stack([np.cos(angle + turn), np.sin(angle + turn)])).T.astype(np.float32)


def _shares(path: np.ndarray) -> np.ndarray:
    lengths = np.append(0, np.cumsum(np.hypot(*np.diff(path.astype(np.float64), axis=0).T)))
    return lengths / lengths[-1]
