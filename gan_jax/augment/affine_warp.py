"""Affine warps of images without aliasing, as in the official code of ADA (Karras et al. 2020, arXiv:2006.06676).

The code is github.com/NVlabs/stylegan2-ada-pytorch, training/augment.py.
An image is extended by reflection, interpolated to twice its resolution with the low-pass filter of the sym6 wavelet,
sampled bilinearly at that resolution, and reduced with the same filter.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax.types import Array

SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = tuple(tap / sum(SYM6) for tap in SYM6)
REACH = len(TAPS) // 4  # pixels of the image that the filter reaches to each side at twice the resolution


def warp(image: Array, inverse: Array) -> Array:
    """Warps an image by an affine map; the identity leaves it unchanged, to the bit.

    x'[q] = x[M q + t], q measured from the image's centre. Whole-pixel translations are exact. Flips and turns are not:
    as the filter is not symmetric, they also smooth the image slightly, as in the official code.

    Beyond its edges the image is reflected once about its outermost pixels, and is zero beyond the reflection. The
    official code reflects only as many pixels as its batch needs, at most as many as here.

    Args:
        image: `[H, W, C]`.
        inverse: M and t side by side, `[2, 3]`: from the result's rows and columns to the image's, in pixels.

    Returns:
        `[H, W, C]`.
    """
    sides = image.shape[:2]
    extended = jnp.pad(image, [(side - 1, side - 1) for side in sides] + [(0, 0)], "reflect")
    doubled = double(double(extended, 0), 1)
    # the filter that halves needs REACH pixels around the result
    y, x = (np.arange(-2 * REACH, 2 * (side + REACH)) / 2 - (side - 1) / 2 for side in sides)
    places = (m * y[:, None] + n * x + t for m, n, t in inverse)
    # the first pixel of the extended image is 3 (side - 1) / 2 pixels before the centre
    rows, columns = (2 * place + 3 * (side - 1) for place, side in zip(places, sides, strict=True))
    warped = halve(halve(sample(doubled, rows, columns), 0), 1)
    return jnp.where(jnp.all(inverse == jnp.eye(2, 3)), image, warped)


def double(x: Array, axis: int) -> Array:
    """Doubles the resolution along an axis: inserts a zero after each pixel, and convolves with twice the filter."""
    side = x.shape[axis]
    x = jnp.pad(x, [(REACH, REACH) if i == axis else (0, 0) for i in range(x.ndim)])
    parts = [lax.slice_in_dim(x, start, start + side, axis=axis) for start in range(2 * REACH + 1)]
    # the filter meets zeros at every second tap
    even = sum(2 * tap * part for tap, part in zip(TAPS[::-2], parts[:-1], strict=True))
    odd = sum(2 * tap * part for tap, part in zip(TAPS[-2::-2], parts[1:], strict=True))
    return jnp.stack([even, odd], axis + 1).reshape(*x.shape[:axis], 2 * side, *x.shape[axis + 1 :])


def halve(x: Array, axis: int) -> Array:
    """Halves the resolution along an axis and crops REACH pixels at both ends; undoes `double`, as wavelets do."""
    side = x.shape[axis] // 2 - 2 * REACH
    return sum(tap * lax.slice_in_dim(x, k + 1, k + 2 * side, 2, axis) for k, tap in enumerate(TAPS))


def sample(image: Array, rows: Array, columns: Array) -> Array:
    """Samples an image bilinearly; it is zero beyond its edges.

    Args:
        image: `[H, W, C]`.
        rows: Rows at which to sample, in pixels from the first, `[h, w]`.
        columns: Columns, likewise.

    Returns:
        `[h, w, C]`.
    """
    height, width, channels = image.shape
    rows, columns = jnp.clip(rows, -1, height), jnp.clip(columns, -1, width)
    first, left = jnp.floor(rows), jnp.floor(columns)
    down, along = (rows - first)[..., None, None], (columns - left)[..., None]
    padded = jnp.pad(image, [(1, 2), (1, 2), (0, 0)])

    @jax.vmap
    @jax.vmap
    def windows(row: Array, column: Array) -> Array:  # one gather, whose transpose adds whole windows
        return lax.dynamic_slice(padded, (row, column, 0), (2, 2, channels))

    corners = windows(first.astype(int) + 1, left.astype(int) + 1)
    edges = corners[:, :, 0] + down * (corners[:, :, 1] - corners[:, :, 0])
    return edges[:, :, 0] + along * (edges[:, :, 1] - edges[:, :, 0])
