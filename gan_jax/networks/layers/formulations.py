"""Formulations of a convolution and its two transposes: those of XLA, and faster ones for CPUs.

The maps are those of `bilinear`. On GPUs and TPUs all three are XLA's convolution and its transposes. On CPUs, inside a
loop, XLA runs these transposes up to 30 times slower than the convolution. There

- `convolve` is XLA's convolution;
- `input_gradient` is XLA's convolution at stride 1 with the flipped kernel: it computes each block of `strides` pixels
  at once, as channels. If the stride does not divide the kernel, this would multiply by zeros; then it is one matrix
  product and a sum of overlapping windows;
- `kernel_gradient` is a sum of matrix products with the patches of a few images at a time, which fit in the cache;
- a grouped convolution, which XLA runs up to 4 times slower than its groups one by one, is computed group by group.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.types import Array

Pair = tuple[int, int]

PATCHES = 2**22  # bytes of patches at a time: fits in the caches of two cores
UNROLLED = 8  # groups of a convolution that are unrolled on CPUs; more are a loop, slower but quick to compile
_LAYOUT = ("NHWC", "HWIO", "NHWC")


class Window(NamedTuple):
    """Static geometry of a convolution.

    Attributes:
        images: Height and width of the images.
        size: Height and width of the kernel.
        strides: Strides along rows and columns.
        pads: Zeros around rows and columns, `((top, bottom), (left, right))`; negative values crop.
        groups: Number of groups of channels; the outputs of a group depend on its inputs alone.
    """

    images: Pair
    size: Pair
    strides: Pair
    pads: tuple[Pair, Pair]
    groups: int = 1

    @property
    def places(self) -> Pair:
        """Height and width of the convolution's output."""
        rows, columns = (
            (n + a + b - k) // s + 1
            for n, k, s, (a, b) in zip(self.images, self.size, self.strides, self.pads, strict=True)
        )
        return rows, columns

    @property
    def blocks(self) -> Pair:
        """Height and width of the kernel in blocks of `strides` pixels, rounded up."""
        return -(-self.size[0] // self.strides[0]), -(-self.size[1] // self.strides[1])


def native(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves images with a kernel by XLA's operator, with JAX's derivatives."""
    return lax.conv_general_dilated(
        x, kernel, window.strides, window.pads, dimension_numbers=_LAYOUT, feature_group_count=window.groups
    )


def native_input_gradient(g: Array, kernel: Array, window: Window) -> Array:
    """Computes `bilinear.input_gradient` as XLA's transpose in the images."""
    image = jax.ShapeDtypeStruct((g.shape[0], *window.images, kernel.shape[2] * window.groups), g.dtype)
    return jax.linear_transpose(lambda x: native(x, kernel, window), image)(g)[0]


def native_kernel_gradient(x: Array, g: Array, window: Window) -> Array:
    """Computes `bilinear.kernel_gradient` as XLA's transpose in the kernel."""
    kernel = jax.ShapeDtypeStruct((*window.size, x.shape[3] // window.groups, g.shape[3]), g.dtype)
    return jax.linear_transpose(lambda k: native(x, k, window), kernel)(g)[0]


def input_gradient_in_blocks(g: Array, kernel: Array, window: Window) -> Array:
    """Computes `bilinear.input_gradient` by a convolution at stride 1, which returns blocks of `strides` pixels."""
    (kh, kw), (sh, sw), (down, along), channels = window.size, window.strides, window.blocks, kernel.shape[2]
    if kh % sh or kw % sw:
        patches = lax.dot_general(g, kernel.reshape(-1, kernel.shape[3]), (((3,), (1,)), ((), ())))
        image = jax.ShapeDtypeStruct((g.shape[0], *window.images, channels), patches.dtype)
        return jax.linear_transpose(lambda x: _patches(x, window), image)(patches)[0]
    # [down, along, F, sh * sw * C]: the contribution of a value of g to each block, from the last block to the first
    blocks = kernel.reshape(down, sh, along, sw, channels, -1).transpose(0, 2, 5, 1, 3, 4)
    blocks = blocks.reshape(down, along, kernel.shape[3], sh * sw * channels)[::-1, ::-1]
    pads = [(down - 1, down - 1), (along - 1, along - 1)]
    y = lax.conv_general_dilated(g, blocks, (1, 1), pads, dimension_numbers=_LAYOUT)
    batch, rows, columns, _ = y.shape
    y = y.reshape(batch, rows, columns, sh, sw, channels).swapaxes(2, 3).reshape(batch, rows * sh, columns * sw, -1)
    (height, width), ((top, _), (left, _)) = window.images, window.pads
    crops = [(0, 0, 0), (-top, height + top - rows * sh, 0), (-left, width + left - columns * sw, 0), (0, 0, 0)]
    return lax.pad(y, jnp.zeros((), y.dtype), crops)


def kernel_gradient_in_chunks(x: Array, g: Array, window: Window) -> Array:
    """Computes `bilinear.kernel_gradient` by matrix products with the patches of a few images at a time."""
    batch, features, row = len(x), g.shape[3], math.prod(window.size) * x.shape[3]
    chunk = min(batch, max(1, PATCHES // (math.prod(window.places) * row * x.dtype.itemsize)))

    def product(first: Any, count: int) -> Array:
        patches = _patches(lax.dynamic_slice_in_dim(x, first, count), window).reshape(-1, row)
        slopes = lax.dynamic_slice_in_dim(g, first, count).reshape(-1, features)
        return lax.dot_general(slopes, patches, (((0,), (0,)), ((), ())))  # patches^T slopes runs at half the speed

    whole, rest = divmod(batch, chunk)
    total = product(0, chunk)
    if whole > 1:
        total = lax.fori_loop(1, whole, lambda i, total: total + product(i * chunk, chunk), total)
    if rest:
        total += product(whole * chunk, rest)
    # without the barrier XLA would restore patches^T slopes
    return lax.optimization_barrier(total).T.reshape(*window.size, x.shape[3], features)


def by_group(on_cpu: Callable[..., Array]) -> Callable[..., Array]:
    """Extends a map without groups to groups; in all three maps they divide the last axis of every array."""

    def grouped(a: Array, b: Array, window: Window) -> Array:
        groups, alone = window.groups, window._replace(groups=1)
        if groups == 1:
            return on_cpu(a, b, window)
        if groups <= UNROLLED:
            pairs = zip(jnp.split(a, groups, -1), jnp.split(b, groups, -1), strict=True)
            return jnp.concatenate([on_cpu(*pair, alone) for pair in pairs], axis=-1)
        a, b = (jnp.moveaxis(x.reshape(*x.shape[:-1], groups, -1), -2, 0) for x in (a, b))
        outputs = jnp.moveaxis(lax.map(lambda pair: on_cpu(*pair, alone), (a, b)), 0, -2)
        return outputs.reshape(*outputs.shape[:-2], -1)

    return grouped


def _patches(x: Array, window: Window) -> Array:
    """Extracts the windows of images `[B, H, W, C]` as `[B, *places, kh * kw * C]`, by slicing alone."""
    (kh, kw), (sh, sw), (batch, height, width, channels) = window.size, window.strides, x.shape
    # counted in blocks of `strides` pixels, a window is a few neighbouring blocks, so all slices have stride 1
    (rows, columns), (down, along), ((top, _), (left, _)) = window.places, window.blocks, window.pads
    bottom = (rows + down - 1) * sh - height - top
    right = (columns + along - 1) * sw - width - left
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)])
    x = x.reshape(batch, rows + down - 1, sh, columns + along - 1, sw * channels)
    parts = [
        x[:, i // sh : i // sh + rows, i % sh, j : j + columns, : (kw - j * sw) * channels]
        for i in range(kh)
        for j in range(along)
    ]
    return jnp.concatenate(parts, axis=-1)
