"""Convolution and its two transposes as JAX primitives.

    y = convolve(x, k)            images and kernel to images
    x = input_gradient(g, k)      the transpose in x
    k = kernel_gradient(x, g)     the transpose in k

The transposes of each are the other two, so the three are closed under differentiation of every order, in forward and
reverse mode. They are primitives because `jax.custom_vjp` has no forward mode. How each is computed, on CPUs and on
other platforms, is in `formulations`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching

from gan_jax.networks.layers.formulations import (
    Window,
    by_group,
    input_gradient_in_blocks,
    kernel_gradient_in_chunks,
    native,
    native_input_gradient,
    native_kernel_gradient,
)
from gan_jax.primitives import primitive
from gan_jax.types import Array


def convolve(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves images `[B, H, W, C]` with a kernel `[kh, kw, C / groups, F]`; returns `[B, *window.places, F]`."""
    return _convolve.bind(x, kernel, window=window)


def input_gradient(g: Array, kernel: Array, window: Window) -> Array:
    """Maps `g` `[B, *window.places, F]` to images `[B, H, W, C]` such that <x, result> = <convolve(x, k), g>."""
    return _input_gradient.bind(g, kernel, window=window)


def kernel_gradient(x: Array, g: Array, window: Window) -> Array:
    """Maps images and `g` to a kernel `[kh, kw, C / groups, F]` such that <k, result> = <convolve(x, k), g>."""
    return _kernel_gradient.bind(x, g, window=window)


def _bilinear(name: str, operator: Callable[..., Array], on_cpu: Callable[..., Array], folds: bool) -> Primitive:
    """Makes a JAX primitive from a bilinear map, with batching but without derivatives.

    Args:
        name: Name in jaxprs.
        operator: `(a, b, window) -> c` for GPUs and TPUs; it defines the map.
        on_cpu: The same map for CPUs, without groups.
        folds: Whether a `vmap` axis can be folded into the batch of the first argument and the result.
    """
    result = primitive(name, operator, by_group(on_cpu))

    def batch(operands: Sequence[Array], axes: Sequence[int | None], *, window: Window) -> tuple[Array, int]:
        first, second = (
            x if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(operands, axes, strict=True)
        )
        if folds and axes[1] is None:
            merged = result.bind(first.reshape(-1, *first.shape[2:]), second, window=window)
            return merged.reshape(*first.shape[:2], *merged.shape[1:]), 0
        leading = [None if axis is None else 0 for axis in axes]

        def in_turn(first: Array, second: Array) -> Array:
            def one(i: Array) -> Array:
                a, b = (x if axis is None else x[i] for x, axis in zip((first, second), leading, strict=True))
                return result.bind(a, b, window=window)

            return lax.map(one, jnp.arange(len(first if axes[1] is None else second)))

        def at_once(first: Array, second: Array) -> Array:
            return jax.vmap(lambda a, b: operator(a, b, window=window), leading)(first, second)

        # one after another on CPUs, where XLA's grouped convolutions are slow
        return lax.platform_dependent(first, second, cpu=in_turn, default=at_once), 0

    batching.primitive_batchers[result] = batch
    return result


_convolve = _bilinear("convolve", native, native, folds=True)
_input_gradient = _bilinear("input_gradient", native_input_gradient, input_gradient_in_blocks, folds=True)
_kernel_gradient = _bilinear("kernel_gradient", native_kernel_gradient, kernel_gradient_in_chunks, folds=False)

# the transpose of each in its first and in its second argument: `(cotangent, first, second) -> argument's cotangent`
ad.defbilinear(
    _convolve,
    lambda ct, x, k, window: input_gradient(ct, k, window),
    lambda ct, x, k, window: kernel_gradient(x, ct, window),
)
ad.defbilinear(
    _input_gradient,
    lambda ct, g, k, window: convolve(ct, k, window),
    lambda ct, g, k, window: kernel_gradient(ct, g, window),
)
ad.defbilinear(
    _kernel_gradient,
    lambda ct, x, g, window: input_gradient(g, ct, window),
    lambda ct, x, g, window: convolve(x, ct, window),
)
