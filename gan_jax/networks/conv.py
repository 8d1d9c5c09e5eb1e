"""Convolutions in the formulation that suits the platform; every convolution of every network goes through here.

Two formulations agree to rounding, in derivatives of every order and both modes too:

- `native`: XLA's own operator, right for GPUs and TPUs.
- `matmul`: one matrix product with patches, for CPUs, where XLA's gradient of a convolution with respect to its kernel
  is slow, and another order slower within `lax.scan`. It keeps the patches for the backward pass:
  `(k / stride)^2` times the memory of the input.

`Conv` and `ConvTranspose` take the place of `nn.Conv` and `nn.ConvTranspose` for images `[B, H, W, C]`: their
parameters have the same names, shapes and meaning.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from gan_jax.errors import UserError
from gan_jax.types import Array

Formulation = Literal["native", "matmul"]
Pair = tuple[int, int]
Padding = Literal["SAME", "VALID"] | Sequence[Pair]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv(
    x: Array, kernel: Array, strides: int | Pair = 1, padding: Padding = "SAME", formulation: Formulation | None = None
) -> Array:
    """Convolves images with a kernel, as `lax.conv_general_dilated` does: y = patches(x) kernel.

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[kh, kw, C, F]`, of the same type.
        strides: Of rows and columns.
        padding: "SAME", "VALID", or the zeros around rows and columns: `[(top, bottom), (left, right)]`.
        formulation: "native" or "matmul"; None takes the one that suits JAX's default backend while tracing.

    Returns:
        Images `[B, H', W', F]`, `H' = (H + top + bottom - kh) // stride + 1`.

    Raises:
        UserError: If the arguments do not fit each other.
    """
    size, strides = _check(x, kernel), _pair(strides)
    pads = _pads(padding, lambda p: lax.padtype_to_pads(x.shape[1:3], size, strides, p))
    _outputs((x.shape[1], x.shape[2]), size, strides, pads)
    if _resolve(formulation) == "native":
        return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=_LAYOUT)
    # Not `kernel.reshape(-1, F)`: its gradient would be the product patches^T g, at half the speed of g^T patches.
    rows = kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)
    return lax.dot_general(_patches(x, size, strides, pads), rows, (((3,), (1,)), ((), ())))


def conv_transpose(
    x: Array, kernel: Array, strides: int | Pair = 1, padding: Padding = "SAME", formulation: Formulation | None = None
) -> Array:
    """Convolves images with a kernel at a fractional stride, as `lax.conv_transpose` does: y = patches^T(x kernel).

    It is the linear transpose of `conv` by `kernel[::-1, ::-1].swapaxes(2, 3)` with padding `(k - 1 - a, k - 1 - b)`
    for `(a, b)` here. What PyTorch calls `padding=1` for a 4x4 kernel at stride 2 is "SAME".

    Args:
        x: Images `[B, H, W, C]`.
        kernel: `[kh, kw, C, F]`, of the same type.
        strides: Of rows and columns of the result.
        padding: "SAME" (`H' = H stride`), "VALID", or the zeros around rows and columns once `x` is spread by
            `strides`: `[(top, bottom), (left, right)]`.
        formulation: "native" or "matmul"; None takes the one that suits JAX's default backend while tracing.

    Returns:
        Images `[B, H', W', F]`, `H' = (H - 1) stride + top + bottom - kh + 2`.

    Raises:
        UserError: If the arguments do not fit each other.
    """
    size, strides = _check(x, kernel), _pair(strides)
    pads = _pads(padding, lambda p: [_spread(k, s, p) for k, s in zip(size, strides, strict=True)])
    spread = ((x.shape[1] - 1) * strides[0] + 1, (x.shape[2] - 1) * strides[1] + 1)
    height, width = _outputs(spread, size, (1, 1), pads)
    if _resolve(formulation) == "native":
        return lax.conv_transpose(x, kernel, strides, pads, dimension_numbers=_LAYOUT)
    patches = x @ kernel[::-1, ::-1].transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1)
    adjoint = [(k - 1 - a, k - 1 - b) for k, (a, b) in zip(size, pads, strict=True)]
    image = jax.ShapeDtypeStruct((x.shape[0], height, width, kernel.shape[3]), patches.dtype)
    (y,) = jax.linear_transpose(lambda y: _patches(y, size, strides, adjoint), image)(patches)
    return y


class Conv(nn.Module):
    """Convolves images `[B, H, W, C]`, as `nn.Conv` does with the same parameters.

    Attributes:
        features: Channels of the result.
        kernel_size: Of the window; an integer is a square.
        strides: Of rows and columns.
        padding: As in `conv`.
        use_bias: Whether to add a bias `[features]`.
        kernel_init: Initialises the kernel `[kh, kw, C, features]`.
        dtype: Type to compute in; by default that of input and parameters together.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = None

    operator = staticmethod(conv)

    @nn.compact
    def __call__(self, x: Array, formulation: Formulation | None = None) -> Array:
        """Returns images `[B, H', W', features]`; `formulation` as in `conv`."""
        shape = (*_pair(self.kernel_size), x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = (
            self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32) if self.use_bias else None
        )
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = self.operator(x, kernel, self.strides, self.padding, formulation)
        return y if bias is None else y + bias


class ConvTranspose(Conv):
    """Convolves images at a fractional stride, as `nn.ConvTranspose` does; `padding` as in `conv_transpose`."""

    operator = staticmethod(conv_transpose)


@contextmanager
def forced(formulation: Formulation) -> Iterator[None]:
    """Makes every `Conv` and `ConvTranspose` applied inside use one formulation: for tests and benchmarks.

    It acts while a network is applied or traced, so enter it inside a function to be compiled:

        def apply(variables, x):
            with forced("native"):
                return network.apply(variables, x)
    """

    def call(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, Conv) and context.method_name == "__call__":
            kwargs = {**kwargs, "formulation": formulation}
        return method(*args, **kwargs)

    with nn.intercept_methods(call):
        yield


def _patches(x: Array, size: Pair, strides: Pair, pads: Sequence[Pair]) -> Array:
    """Lays out the windows of images `[B, H, W, C]` as `[B, H', W', kh * kw * C]`, by slices alone."""
    (kh, kw), (sh, sw), (batch, height, width, channels) = size, strides, x.shape
    rows, columns = _outputs((height, width), size, strides, pads)
    # In blocks of `strides` pixels a window is its first block and a few neighbours: all slices have stride 1.
    down, along = -(-kh // sh), -(-kw // sw)
    (top, _), (left, _) = pads
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


def _resolve(formulation: Formulation | None) -> Formulation:
    if formulation is None:
        return "matmul" if jax.default_backend() == "cpu" else "native"
    if formulation not in get_args(Formulation):
        raise UserError(f"formulation is {formulation!r}: pass 'native', 'matmul' or None")
    return formulation


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def _check(x: Array, kernel: Array) -> Pair:
    """Returns the kernel's height and width."""
    if x.ndim != 4:
        raise UserError(f"x has shape {x.shape}: pass images [B, H, W, C], one image as x[None]")
    if kernel.ndim != 4 or kernel.shape[2] != x.shape[3]:
        raise UserError(f"kernel has shape {kernel.shape}: images {x.shape} need [kh, kw, {x.shape[3]}, features]")
    return kernel.shape[0], kernel.shape[1]


def _pads(padding: Padding, named: Callable[[str], Sequence[Pair]]) -> Sequence[Pair]:
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return named(padding)
    if isinstance(padding, str | int) or [len(p) for p in padding] != [2, 2]:
        raise UserError(f"padding is {padding!r}: pass 'SAME', 'VALID' or [(top, bottom), (left, right)]")
    return [(a, b) for a, b in padding]


def _spread(k: int, s: int, padding: str) -> Pair:
    """Returns the zeros around a side in `conv_transpose`, as `lax.conv_transpose` defines them."""
    if padding == "VALID":
        return k - 1, max(k, s) - 1
    before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)
    return before, k + s - 2 - before


def _outputs(images: Pair, size: Pair, strides: Pair, pads: Sequence[Pair]) -> Pair:
    rows, columns = ((n + a + b - k) // s + 1 for n, k, s, (a, b) in zip(images, size, strides, pads, strict=True))
    if min(rows, columns) < 1:
        raise UserError(f"kernel of {size} does not fit images of {images} with padding {pads}: pad more or shrink it")
    return rows, columns
