"""Sliced Wasserstein distance of image patches, at each level of a Laplacian pyramid; it needs no network."""

import numpy as np
from numpy.typing import ArrayLike

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate

PATCH = 7  # side of a patch, in pixels
SMALLEST = 16  # side of the smallest images of the pyramid
PATCHES, DIRECTIONS = 128, 512  # as in the authors' code: of each image, and in all
AT_ONCE = 8  # directions projected at once, which bounds the memory


def sliced_wasserstein(
    real: ArrayLike, fake: ArrayLike, patches: int = PATCHES, directions: int = DIRECTIONS
) -> Estimate:
    """Returns the mean of `by_side` over all sides; its standard error is unknown, NaN."""
    return Estimate(float(np.mean(list(by_side(real, fake, patches, directions).values()))), np.nan)


def by_side(real: ArrayLike, fake: ArrayLike, patches: int = PATCHES, directions: int = DIRECTIONS) -> dict[int, float]:
    """Returns the sliced Wasserstein distance at each side of the images' Laplacian pyramids, times 1,000.

    Karras et al. 2018 (arXiv:1710.10196), section 5: 7x7 patches at random places of each level, with each channel
    scaled to mean 0 and standard deviation 1 over its set; then the mean distance between sorted projections onto
    random directions. Large sides measure fine detail, small sides composition. Distances are biased upwards, less so
    for more images. This follows the authors' code, with two differences: patches of both sets are at the same places,
    so that the distance of a set from itself is 0; and the pyramid ends at the first side that is odd or below 32.

    Args:
        real: Images `[n, H, W, C]`, of any range.
        fake: Images `[m, H, W, C]`. If n and m differ, the larger set is reduced to random images of it, as many as
            the smaller has.
        patches: Patches of each image.
        directions: Random directions.

    Returns:
        Side -> distance.

    Raises:
        UserError: If the images are too small, or differ in shape.
    """
    x, y = np.asarray(real, np.float32), np.asarray(fake, np.float32)
    if x.shape[1:] != y.shape[1:] or x.ndim != 4 or min(x.shape[1:3]) < SMALLEST:
        raise UserError(
            f"sliced_wasserstein: real {x.shape} and fake {y.shape} must be images of one shape, of at least "
            f"{SMALLEST}x{SMALLEST} pixels"
        )
    count = min(len(x), len(y))
    x, y = (z if len(z) == count else z[np.random.default_rng(0).permutation(len(z))[:count]] for z in (x, y))
    distances = {}
    for level, (a, b) in enumerate(zip(pyramid(x), pyramid(y), strict=True)):
        draws = np.random.default_rng(level)
        places = [draws.integers(0, side - PATCH + 1, (count, patches)) for side in a.shape[1:3]]
        projected = draws.standard_normal((PATCH * PATCH * a.shape[3], directions))
        distances[a.shape[1]] = 1000 * distance(_descriptors(a, *places), _descriptors(b, *places), projected)
    return distances


def distance(a: np.ndarray, b: np.ndarray, directions: np.ndarray) -> float:
    """Returns the mean over directions of the 1-Wasserstein distance of points `[n, D]` projected onto them.

    Args:
        a: Points `[n, D]`.
        b: As many points, `[n, D]`.
        directions: `[D, K]`; they are scaled to norm 1.
    """
    units = (directions / np.linalg.norm(directions, axis=0)).astype(a.dtype)
    means = []
    for start in range(0, units.shape[1], AT_ONCE):
        part = units[:, start : start + AT_ONCE].T
        first, second = (np.sort(part @ z.T, axis=1) for z in (a, b))
        means.append(np.abs(first - second).mean(1, dtype=np.float64))
    return float(np.mean(np.concatenate(means)))


def pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Returns the Laplacian pyramid of images `[n, H, W, C]` (Burt and Adelson 1983), largest first.

    Each level is the image less the next smaller image, enlarged; the last is an image. Sides are halved while they are
    even and at least 32.
    """
    levels = [images]
    while min(levels[-1].shape[1:3]) // 2 >= SMALLEST and not any(side % 2 for side in levels[-1].shape[1:3]):
        smaller = _blurred(levels[-1])[:, ::2, ::2]
        spread = np.zeros_like(levels[-1])
        spread[:, ::2, ::2] = smaller
        levels[-1] = levels[-1] - 4 * _blurred(spread)
        levels.append(smaller)
    return levels


def _blurred(images: np.ndarray) -> np.ndarray:
    """Convolves with the binomial filter [1, 4, 6, 4, 1] / 16 along rows and columns, mirrored at the borders."""
    for axis in (1, 2):
        widths = [(2, 2) if each == axis else (0, 0) for each in range(4)]
        padded, side = np.pad(images, widths, "reflect"), images.shape[axis]
        shifted = (padded[:, k : k + side] if axis == 1 else padded[:, :, k : k + side] for k in range(5))
        images = sum((w / 16 * x for w, x in zip((1, 4, 6, 4, 1), shifted, strict=True)), np.zeros_like(images))
    return images


def _descriptors(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns patches `[n * patches, 49 C]` at the given upper left corners, each channel standardised."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), (1, 2))  # [n, h, w, C, 7, 7]
    patches = windows[np.arange(len(images))[:, None], rows, columns]
    patches = patches - patches.mean((0, 1, 3, 4), keepdims=True, dtype=np.float64).astype(np.float32)
    scale = patches.std((0, 1, 3, 4), keepdims=True, dtype=np.float64).astype(np.float32)
    patches /= np.maximum(scale, 1e-12)  # a channel may be constant
    return patches.reshape(-1, patches[0, 0].size)
