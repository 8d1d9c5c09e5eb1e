"""Mixtures of Gaussians in the plane, whose modes can be counted."""

from typing import NamedTuple

import numpy as np

from gan_jax.data.source import Dataset, dataset

SIZES = {"train": 50_000, "test": 10_000}


class Mixture(NamedTuple):
    """Equally likely round Gaussians.

    Attributes:
        centers: float32 `[modes, 2]`.
        std: Standard deviation of each, in each direction.
    """

    centers: np.ndarray
    std: float


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Mixture:
    """Places modes evenly on a circle, as in Metz et al. 2017, "Unrolled GANs" (arXiv:1611.02163)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture((radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> Mixture:
    """Places modes on a square lattice about 0, as in Srivastava et al. 2017, "VEEGAN" (arXiv:1705.07761)."""
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture(np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2).astype(np.float32), std)


MIXTURES = {"ring": ring, "grid": grid}


def draw(mixture: Mixture, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws points of a mixture.

    Args:
        mixture: Where from.
        count: How many.
        seed: Equal seeds give equal points.

    Returns:
        Points, float32 `[count, 2]`, and the mode of each, `[count]`.
    """
    random = np.random.RandomState(seed)  # its streams are frozen; those of numpy.random.Generator may change
    mode = random.randint(len(mixture.centers), size=count)
    return (mixture.centers[mode] + mixture.std * random.randn(count, 2)).astype(np.float32), mode


def load(name: str, split: str = "train") -> Dataset:
    """Draws the data set "ring" or "grid".

    Args:
        name: Of the mixture.
        split: "train" (50,000 points) or "test" (10,000 others).

    Returns:
        Points under the key `image`, float32 `[N, 2]`, in plane coordinates, unscaled; and their modes as labels.

    Raises:
        ValueError: If there is no such mixture or split.
    """
    if name not in MIXTURES:
        raise ValueError(f"mixture {name!r} is unknown; use {' or '.join(MIXTURES)}")
    if split not in SIZES:
        raise ValueError(f"split={split!r}: {name} has the splits {' and '.join(SIZES)}; use one of them")
    mixture = MIXTURES[name]()
    points, mode = draw(mixture, SIZES[split], seed=list(SIZES).index(split))
    return dataset(name, split, points, mode, len(mixture.centers))
