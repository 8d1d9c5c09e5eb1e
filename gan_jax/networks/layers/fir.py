"""FIR resampling of StyleGAN2: images are doubled, halved and smoothed by the filter [1, 3, 3, 1] / 8 along each side.

Each is a case of one linear map along both sides: insert up - 1 zeros after each pixel, add `pads` zeros around,
correlate with the filter, keep every down-th pixel. Its transpose is another case, with `up` and `down` exchanged, so
the JAX primitive below is closed under differentiation of every order. On GPUs and TPUs it is one depthwise convolution
of XLA; on CPUs, where these are slow, sums of shifted images, first along rows and then along columns.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, batching

from gan_jax.errors import UserError
from gan_jax.networks.layers.convolutions import conv_transpose
from gan_jax.networks.layers.formulations import Pair
from gan_jax.primitives import primitive
from gan_jax.types import Array

TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)


def double(x: Array) -> Array:
    """Doubles the sides of images `[B, H, W, C]`: FIR interpolation that keeps the values of flat images."""
    return resample(x, up=2, pads=(2, 1), gain=4.0)


def halve(x: Array) -> Array:
    """Halves the sides of images `[B, H, W, C]`, which must be even, after smoothing them."""
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise UserError(f"x has shape {x.shape}: only images of even sides can be halved")
    return resample(x, down=2, pads=(1, 1))


def smooth(x: Array, pads: Pair, gain: float = 1.0) -> Array:
    """Filters images `[B, H, W, C]`; the sides grow by the sum of `pads`, less 3."""
    return resample(x, pads=pads, gain=gain)


def upsample_conv(x: Array, kernel: Array, native: bool = False) -> Array:
    """Doubles the sides of images and convolves them: a transposed convolution at stride 2, then the filter.

    It equals `double` followed by a convolution with the kernel, except at the edges, as nothing is cropped in between;
    it takes a quarter of the multiplications.

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[3, 3, C, F]`.
        native: As in `conv_transpose`.

    Returns:
        Images `[B, 2 H, 2 W, F]`.
    """
    return smooth(conv_transpose(x, kernel, 2, "VALID", native), pads=(1, 1), gain=4.0)


def resample(x: Array, up: int = 1, down: int = 1, pads: Pair = (0, 0), gain: float = 1.0) -> Array:
    """Inserts zeros, pads, filters and decimates images, as StyleGAN2's `upfirdn2d` does.

    Args:
        x: Images `[B, H, W, C]`.
        up: Factor by which zeros, inserted after each pixel, enlarge the sides.
        down: Every down-th pixel is kept.
        pads: Zeros before and after, the same for rows and columns, each 0 to 3; negative numbers crop.
        gain: Factor of the result.

    Returns:
        Images `[B, H', W', C]`, H' = (H up + pads - 4) // down + 1.

    Raises:
        UserError: If both factors are above 1.
    """
    if up > 1 and down > 1:
        raise UserError(f"up={up}, down={down}: give one of them, and 1 for the other")
    return _fir.bind(x, up=up, down=down, pads=(pads, pads), gain=gain)


def _native(x: Array, *, up: int, down: int, pads: tuple[Pair, Pair], gain: float) -> Array:
    taps = np.array(TAPS)
    kernel = np.broadcast_to(gain * np.outer(taps, taps)[:, :, None, None], (4, 4, 1, x.shape[3]))
    around = [(before, after + up - 1) for before, after in pads]  # XLA inserts no zeros after the last pixel
    return lax.conv_general_dilated(
        x,
        jnp.asarray(kernel, x.dtype),
        (down, down),
        around,
        lhs_dilation=(up, up),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3],
    )


def _shifted(x: Array, *, up: int, down: int, pads: tuple[Pair, Pair], gain: float) -> Array:
    for axis in (1, 2):
        x = _along(x, axis, up, down, pads[axis - 1], gain**0.5)
    return x


def _along(x: Array, axis: int, up: int, down: int, pads: Pair, gain: float) -> Array:
    """Resamples one side: every up-th pixel of the result, from each phase on, is a sum of shifted pixels."""
    (before, after), size = pads, x.shape[axis]
    length = (size * up + before + after - 4) // down + 1
    count = -(-length // up)  # pixels of each phase
    # tap k of pixel up i + p meets pixel (up i + p + k - before) / up, if it is no inserted zero; with down, up is 1
    meets = ((phase, k, phase + k - before) for phase in range(up) for k in range(len(TAPS)))
    starts = {(phase, k): place // up for phase, k, place in meets if place % up == 0}
    low, reach = min(starts.values()), (count - 1) * down + 1
    around = [(0, 0, 0)] * x.ndim
    around[axis] = (-low, max(starts.values()) + reach - size, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), around)
    parts = [jnp.zeros((), x.dtype)] * up
    for (phase, k), start in starts.items():
        parts[phase] += gain * TAPS[k] * lax.slice_in_dim(x, start - low, start - low + reach, down, axis)
    joined = jnp.stack(parts, axis + 1)
    joined = joined.reshape(*joined.shape[:axis], up * count, *joined.shape[axis + 2 :])
    return lax.slice_in_dim(joined, 0, length, axis=axis)


_fir = primitive("fir", _native, _shifted)


def _transpose(ct: Array, x: Any, *, up: int, down: int, pads: tuple[Pair, Pair], gain: float) -> list[Array]:
    # y_j = sum_k f_k z_(down j + k - before), z_(up i) = x_i, so x_i takes f_(up i - down j + before) of y_j
    back = tuple(
        (3 - before, x.aval.shape[axis] * up - ct.shape[axis] * down + before - up + 1)
        for axis, (before, _) in zip((1, 2), pads, strict=True)
    )
    return [_fir.bind(ct, up=down, down=up, pads=back, gain=gain)]


def _batch(operands: Any, axes: Any, **settings: Any) -> tuple[Array, int]:
    x = jnp.moveaxis(operands[0], axes[0], 0)
    merged = _fir.bind(x.reshape(-1, *x.shape[2:]), **settings)
    return merged.reshape(*x.shape[:2], *merged.shape[1:]), 0


ad.deflinear2(_fir, _transpose)
batching.primitive_batchers[_fir] = _batch
