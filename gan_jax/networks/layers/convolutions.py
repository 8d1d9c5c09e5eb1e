"""Functions that convolve images with a kernel: plain, transposed, and with resampling."""

from collections.abc import Callable, Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from gan_jax.errors import UserError
from gan_jax.networks.layers import formulations
from gan_jax.networks.layers.bilinear import convolve, input_gradient
from gan_jax.networks.layers.formulations import Pair, Window
from gan_jax.types import Array

Padding = Literal["SAME", "VALID"] | Sequence[Pair]


def conv(
    x: Array, kernel: Array, strides: int | Pair = 1, padding: Padding = "SAME", native: bool = False, groups: int = 1
) -> Array:
    """Convolves images with a kernel, as `lax.conv_general_dilated` does.

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[kh, kw, C / groups, F]`, of the same type.
        strides: Strides along rows and columns.
        padding: "SAME", "VALID", or the zeros around rows and columns: `[(top, bottom), (left, right)]`.
        native: Whether to use JAX's own derivatives, see `layers.conv.native`.
        groups: Number of groups of channels, each convolved separately; it divides C and F.

    Returns:
        Images `[B, H', W', F]`, `H' = (H + top + bottom - kh) // stride + 1`.

    Raises:
        UserError: If the arguments do not fit each other.
    """
    size, strides = _check(x, kernel, groups), pair(strides)
    pads = _pads(padding, lambda p: lax.padtype_to_pads(x.shape[1:3], size, strides, p))
    window = _require_places(Window((x.shape[1], x.shape[2]), size, strides, pads, groups))
    return (formulations.native if native else convolve)(x, kernel, window)


def conv_transpose(
    x: Array, kernel: Array, strides: int | Pair = 1, padding: Padding = "SAME", native: bool = False
) -> Array:
    """Transposed convolution of images with a kernel, as `lax.conv_transpose` does.

    It is the linear transpose of `conv` with the kernel `kernel[::-1, ::-1].swapaxes(2, 3)` and the padding
    `(k - 1 - a, k - 1 - b)` for `(a, b)` here. PyTorch's `padding=1` for a 4x4 kernel at stride 2 is "SAME".

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[kh, kw, C, F]`, of the same type.
        strides: Upsampling factors of rows and columns.
        padding: "SAME" (`H' = H stride`), "VALID", or the zeros around rows and columns after `x` is dilated by
            `strides`: `[(top, bottom), (left, right)]`.
        native: Whether to use JAX's own operator and derivatives, see `layers.conv.native`.

    Returns:
        Images `[B, H', W', F]`, `H' = (H - 1) stride + top + bottom - kh + 2`.

    Raises:
        UserError: If the arguments do not fit each other.
    """
    size, strides = _check(x, kernel), pair(strides)
    pads = _pads(padding, lambda p: [_spread(k, s, p) for k, s in zip(size, strides, strict=True)])
    spread = ((x.shape[1] - 1) * strides[0] + 1, (x.shape[2] - 1) * strides[1] + 1)
    images = _require_places(Window(spread, size, (1, 1), pads)).places
    if native:
        return lax.conv_transpose(x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    (top, bottom), (left, right) = pads
    adjoint = ((size[0] - 1 - top, size[0] - 1 - bottom), (size[1] - 1 - left, size[1] - 1 - right))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return input_gradient(x, flipped, Window(images, size, strides, adjoint))


def upsample_conv(x: Array, kernel: Array, strides: int | Pair, padding: Padding, native: bool = False) -> Array:
    """Nearest-neighbour upsampling by 2 and a convolution, fused into one transposed convolution.

    Its kernel is the given one convolved with a 2x2 box. A 3x3 kernel then takes 16 products instead of 36.

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[kh, kw, C, F]`.
        strides: Must be 1.
        padding: Must be "SAME".
        native: Whether to run the two steps separately, with JAX's own operators.

    Returns:
        Images `[B, 2 H, 2 W, F]`.
    """
    _require_plain(strides, padding)
    if native:
        return conv(jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2), kernel, native=True)
    pads = [((k - 1) // 2 + 1, k // 2 + 1) for k in kernel.shape[:2]]
    return conv_transpose(x, _boxed(kernel), 2, pads)


def conv_mean_pool(x: Array, kernel: Array, strides: int | Pair, padding: Padding, native: bool = False) -> Array:
    """Convolution and 2x2 mean pooling, fused into one convolution at stride 2.

    Takes the arguments of `upsample_conv`; returns images `[B, H // 2, W // 2, F]`.
    """
    _require_plain(strides, padding)
    if native:
        return nn.avg_pool(conv(x, kernel, native=True), (2, 2), (2, 2))
    pads = [((k - 1) // 2, k // 2) for k in kernel.shape[:2]]
    return conv(x, _boxed(kernel) / 4, 2, pads)


def pair(value: int | Pair) -> Pair:
    """Returns two numbers, for rows and columns, from one or two."""
    return (value, value) if isinstance(value, int) else value


def _check(x: Array, kernel: Array, groups: int = 1) -> Pair:
    """Returns the kernel's height and width."""
    if x.ndim != 4:
        raise UserError(f"x has shape {x.shape}: pass images [B, H, W, C], one image as x[None]")
    if x.shape[3] % groups:
        raise UserError(f"groups={groups} does not divide the {x.shape[3]} channels of the images; give a divisor")
    if kernel.ndim != 4 or kernel.shape[2] * groups != x.shape[3] or kernel.shape[3] % groups:
        fitting = f"[kh, kw, {x.shape[3] // groups}, {'features' if groups == 1 else f'a multiple of {groups}'}]"
        raise UserError(f"kernel has shape {kernel.shape}: images {x.shape} need {fitting}")
    return kernel.shape[0], kernel.shape[1]


def _pads(padding: Padding, named: Callable[[str], Sequence[Pair]]) -> tuple[Pair, Pair]:
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        padding = named(padding)
    elif isinstance(padding, str | int) or [len(p) for p in padding] != [2, 2]:
        raise UserError(f"padding is {padding!r}: pass 'SAME', 'VALID' or [(top, bottom), (left, right)]")
    (top, bottom), (left, right) = padding
    return (top, bottom), (left, right)


def _spread(k: int, s: int, padding: str) -> Pair:
    """Returns the zeros before and after a side in `conv_transpose`, as `lax.conv_transpose` defines them."""
    if padding == "VALID":
        return k - 1, max(k, s) - 1
    before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
    return before, k + s - 2 - before


def _require_places(window: Window) -> Window:
    if min(window.places) < 1:
        raise UserError(
            f"kernel of {window.size} does not fit images of {window.images} with padding {window.pads}; add "
            "padding, or use a smaller kernel"
        )
    return window


def _boxed(kernel: Array) -> Array:
    """Convolves a kernel with a 2x2 box; returns `[kh + 1, kw + 1, C, F]`."""
    tall = jnp.pad(kernel, ((0, 1), (0, 0), (0, 0), (0, 0))) + jnp.pad(kernel, ((1, 0), (0, 0), (0, 0), (0, 0)))
    return jnp.pad(tall, ((0, 0), (0, 1), (0, 0), (0, 0))) + jnp.pad(tall, ((0, 0), (1, 0), (0, 0), (0, 0)))


def _require_plain(strides: int | Pair, padding: Padding) -> None:
    if pair(strides) != (1, 1) or padding != "SAME":
        raise UserError(
            f"strides={strides}, padding={padding!r}: a resampling convolution needs strides=1 and padding='SAME'"
        )
