"""Resizing as in published scores, by one matrix product along rows and one along columns.

The method changes scores as much as a better generator does (Parmar et al. 2022, arXiv:2104.11222), so each
implementation is reproduced, faults included: `bilinear` and `tensorflow` skip pixels when they shrink, `clean` does
not.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import UserError
from gan_jax.types import Array


def bilinear(images: Array, side: int) -> Array:
    """Resizes by bilinear interpolation, as PyTorch's `interpolate(mode="bilinear")` does by default.

    y_i = sum_j max(0, 1 - |p_i - j|) x_j, p_i = (i + 1/2) size / side - 1/2 clipped to [0, size - 1]; no antialiasing.

    Args:
        images: `[b, H, W, C]`, of any range.
        side: Height and width of the result, at least 1; the aspect ratio is not kept.

    Returns:
        Images `[b, side, side, C]`, of the same range.

    Raises:
        UserError: If `images` are no images, or `side` is less than 1.
    """
    return _resize(images, side, lambda size: _hat((np.arange(side) + 0.5) * (size / side) - 0.5, size))


def tensorflow(images: Array, side: int) -> Array:
    """Resizes as TensorFlow 1 did by default, half a pixel off: `bilinear` with p_i = i size / side."""
    return _resize(images, side, lambda size: _hat(np.arange(side) * (size / side), size))


def clean(images: Array, side: int) -> Array:
    """Resizes by Pillow's antialiased bicubic filter, as clean-fid does (Parmar et al. 2022, arXiv:2104.11222).

    y_i ~ sum_j k((j - p_i) / s) x_j with weights that sum to 1, p_i as in `bilinear` but not clipped, s = max(size /
    side, 1), k the cubic with a = -1/2. Overshoots are clipped to [-1, 1]; nothing is rounded.

    Args:
        images: `[b, H, W, C]` in [-1, 1].
        side: Height and width of the result, at least 1; the aspect ratio is not kept.

    Returns:
        Images `[b, side, side, C]` in [-1, 1].

    Raises:
        UserError: If `images` are no images, or `side` is less than 1.
    """

    def weights(size: int) -> np.ndarray:
        places = (np.arange(side) + 0.5) * (size / side) - 0.5
        cubic = _cubic((np.arange(size) - places[:, None]) / max(size / side, 1))
        return cubic / cubic.sum(1, keepdims=True)

    return jnp.clip(_resize(images, side, weights), -1, 1)


def _hat(places: np.ndarray, size: int) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(np.clip(places, 0, size - 1)[:, None] - np.arange(size)))


def _cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Evaluates the kernel of cubic convolution (Keys 1981)."""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x**2 + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _resize(images: Array, side: int, weights: Callable[[int], np.ndarray]) -> Array:
    if images.ndim != 4 or 0 in images.shape[1:3]:
        raise UserError(f"images has shape {images.shape}: pass [b, H, W, C], one image as images[None]")
    if side < 1:
        raise UserError(f"side={side}: give at least 1")
    rows, columns = (jnp.asarray(weights(size), images.dtype) for size in images.shape[1:3])
    # TPUs and recent GPUs multiply at 8 to 11 bits unless told otherwise, which would round the images
    return jnp.einsum("ih,bhwc,jw->bijc", rows, images, columns, precision=jax.lax.Precision.HIGHEST)
