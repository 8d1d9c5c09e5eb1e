"""Affine warps of images without aliasing, as in the official code of ADA (Karras et al. 2020, arXiv:2006.06676).

The code is github.com/NVlabs/stylegan2-ada-pytorch, training/augment.py. An image is extended by reflection, doubled in
resolution with the low-pass filter of the sym6 wavelet, sampled bilinearly at that resolution, and halved with the same
filter.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from gan_jax.primitives import primitive
from gan_jax.types import Array

SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
TAPS = tuple(tap / sum(SYM6) for tap in SYM6)
REACH = len(TAPS) // 4  # pixels of the image that the filter, at twice the resolution, covers to each side


def warp(image: Array, inverse: Array) -> Array:
    """Warps an image by an affine map; the identity leaves it unchanged, to the bit.

    x'[q] = x[M q + t], q measured from the image's centre. Translations by whole pixels are exact. Flips and turns
    change single pixels by a few percent, as the filter is not symmetric; so does the official code.

    Beyond its edges the image is reflected once about its outermost pixels, and is zero beyond the reflection. The
    official code extends the image only as far as its batch needs, and at most as far as here.

    Args:
        image: `[H, W, C]`.
        inverse: M and t side by side, `[2, 3]`: from rows and columns of the result to those of the image, in pixels.

    Returns:
        `[H, W, C]`.
    """
    sides = image.shape[:2]
    extended = jnp.pad(image, [(side - 1, side - 1) for side in sides] + [(0, 0)], "reflect")
    doubled = double(double(jnp.pad(extended, [(REACH, REACH), (REACH, REACH), (0, 0)]), 0), 1)
    # positions in the result: every half pixel, with REACH pixels more on each side, as `halve` needs
    y, x = (np.arange(-2 * REACH, 2 * (side + REACH)) / 2 - (side - 1) / 2 for side in sides)
    places = (m * y[:, None] + n * x + t for m, n, t in inverse)
    # the extended image begins 3 (side - 1) / 2 pixels before the centre
    rows, columns = (2 * place + 3 * (side - 1) for place, side in zip(places, sides, strict=True))
    warped = halve(halve(sample(doubled, rows, columns), 0), 1)
    return jnp.where(jnp.all(inverse == jnp.eye(2, 3)), image, warped)


def double(x: Array, axis: int) -> Array:
    """Doubles the resolution along an axis, and crops the part that belongs to the REACH pixels at either end.

    Inserts a zero after each pixel, and convolves with twice the filter.
    """
    return _double.bind(x, axis=axis)


def halve(x: Array, axis: int) -> Array:
    """Halves the resolution along an axis, and crops REACH pixels of the result at either end; undoes `double`.

    Correlates with the filter from pixel 1 on, and keeps every second pixel.
    """
    return _halve.bind(x, axis=axis)


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
    top, left = jnp.floor(rows), jnp.floor(columns)
    padded = jnp.pad(image, [(1, 2), (1, 2), (0, 0)])

    @jax.vmap
    @jax.vmap
    def windows(row: Array, column: Array) -> Array:  # one gather, whose transpose adds whole windows
        return lax.dynamic_slice(padded, (row, column, 0), (2, 2, channels))

    corners = windows(top.astype(int) + 1, left.astype(int) + 1)
    down, along = (jnp.stack([1 - share, share], -1) for share in (rows - top, columns - left))
    return jnp.sum(corners * (down[..., None] * along[..., None, :])[..., None], (2, 3))


def _doubled(x: Array, *, axis: int) -> Array:
    side, taps = x.shape[axis] - 2 * REACH, [2 * tap for tap in TAPS]
    # at pixels 2 i and 2 i + 1 of the result, the taps that do not meet zeros
    even, odd = _correlated(x, taps[::-2], axis, 0, side), _correlated(x, taps[-2::-2], axis, 1, side)
    return jnp.stack([even, odd], axis + 1).reshape(*x.shape[:axis], 2 * side, *x.shape[axis + 1 :])


def _halved(x: Array, *, axis: int) -> Array:
    return _correlated(x, TAPS, axis, 1, x.shape[axis] // 2 - 2 * REACH, stride=2)


def _correlated(x: Array, taps: Sequence[float], axis: int, start: int, count: int, stride: int = 1) -> Array:
    """Returns sum_k taps[k] x[start + k + stride i] along an axis, for i = 0, ..., count - 1."""
    reach = stride * (count - 1) + 1
    parts = (tap * lax.slice_in_dim(x, start + k, start + k + reach, stride, axis) for k, tap in enumerate(taps))
    return functools.reduce(jnp.add, parts)


def _surrounded(x: Array, axis: int, zeros: int) -> Array:
    return jnp.pad(x, [(zeros, zeros) if i == axis else (0, 0) for i in range(x.ndim)])


def _linear(name: str, function: Callable[..., Array], transpose: Callable[[Array, int], Array]) -> Primitive:
    """Makes a primitive of a linear map along an axis; JAX's own transpose would take several times as much memory."""
    result = primitive(name, function)

    def batch(operands: Any, axes: Any, *, axis: int) -> tuple[Array, int]:
        return result.bind(jnp.moveaxis(operands[0], axes[0], 0), axis=axis + 1), 0

    ad.deflinear2(result, lambda ct, x, *, axis: [transpose(ct, axis)])
    batching.primitive_batchers[result] = batch
    return result


# apart from the crops, halving is half the transpose of doubling
_double = _linear("double", _doubled, lambda ct, axis: 2 * halve(_surrounded(ct, axis, 4 * REACH), axis))
_halve = _linear("halve", _halved, lambda ct, axis: double(_surrounded(ct, axis, 2 * REACH), axis) / 2)
