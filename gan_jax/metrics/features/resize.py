"""Resizing as in published scores, by `jax.image`.

The method changes scores as much as a better generator does (Parmar et al. 2022, arXiv:2104.11222), so each
implementation is reproduced, faults included: `bilinear` and `tensorflow` skip pixels when they shrink, `clean` does
not.
"""

import jax
import jax.numpy as jnp

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
    return jax.image.resize(images, _shape(images, side), "linear", antialias=False)


def tensorflow(images: Array, side: int) -> Array:
    """Resizes as TensorFlow 1 did by default, half a pixel off: `bilinear` with p_i = i size / side."""
    shape = _shape(images, side)
    scale = side / jnp.asarray(images.shape[1:3], jnp.float32)
    # JAX makes pixels black whose place p_i is beyond the last pixel's edge: one pixel more keeps all within
    wider = jnp.pad(images, [(0, 0), (0, 1), (0, 1), (0, 0)], "edge")
    return jax.image.scale_and_translate(wider, shape, (1, 2), scale, (1 - scale) / 2, "linear", antialias=False)


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
    return jnp.clip(jax.image.resize(images, _shape(images, side), "cubic"), -1, 1)


def averaged(images: Array, side: int) -> Array:
    """Averages square blocks of side min(H, W) // `side` pixels, as StyleGAN's code for path lengths does.

    Args:
        images: `[b, H, W, C]`, of any range.
        side: Smallest side of the result; images with a side below 2 `side` are returned as they are.

    Returns:
        Images `[b, H', W', C]`, of the same range, whose smaller side is `side` to 2 `side` - 1.

    Raises:
        UserError: If the blocks do not divide the images.
    """
    b, height, width, channels = images.shape
    block = min(height, width) // side
    if block < 2:
        return images
    if height % block or width % block:
        raise UserError(
            f"images has shape {images.shape}: blocks of {block} pixels do not divide them; give square images "
            f"whose side is a multiple of {side}"
        )
    return images.reshape(b, height // block, block, width // block, block, channels).mean((2, 4))


def _shape(images: Array, side: int) -> tuple[int, ...]:
    if images.ndim != 4 or 0 in images.shape[1:3]:
        raise UserError(f"images has shape {images.shape}: pass [b, H, W, C], one image as images[None]")
    if side < 1:
        raise UserError(f"side={side}: give at least 1")
    return len(images), side, side, images.shape[3]
