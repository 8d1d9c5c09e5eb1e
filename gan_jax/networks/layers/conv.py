"""Convolution layers; every convolution of every network goes through here.

`Conv` and `ConvTranspose` replace `nn.Conv` and `nn.ConvTranspose` for images `[B, H, W, C]`. Their parameters have the
same names, shapes and meaning; they are faster on CPUs, see `formulations`. The functions behind them are in
`convolutions`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from gan_jax.errors import UserError
from gan_jax.networks.layers.convolutions import Padding, conv, conv_mean_pool, conv_transpose, pair, upsample_conv
from gan_jax.networks.layers.formulations import Pair
from gan_jax.types import Array

Resample = Literal["up", "down", "none"]


class Conv(nn.Module):
    """Convolution layer for images `[B, H, W, C]` with the parameters of `nn.Conv`, and optional resampling.

    Attributes:
        features: Output channels.
        kernel_size: Height and width of the kernel; an integer means a square.
        strides: Strides along rows and columns.
        padding: As in `conv`.
        use_bias: Whether to add a bias `[features]`.
        kernel_init: Initialises the kernel `[kh, kw, C / groups, features]`.
        dtype: Type to compute in; by default the promoted type of input and parameters.
        resample: "up" doubles the sides before the convolution, see `upsample_conv`; "down" halves them after it, see
            `conv_mean_pool`.
        groups: As in `conv`; above 1 only without resampling.
    """

    features: int
    kernel_size: int | Pair
    strides: int | Pair = 1
    padding: Padding = "SAME"
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = None
    resample: Resample = "none"
    groups: int = 1

    operator = staticmethod(conv)

    @nn.compact
    def __call__(self, x: Array, native: bool = False) -> Array:
        """Returns images `[B, H', W', features]`; `native` as in `conv`."""
        kernel = self.weights((*pair(self.kernel_size), x.shape[-1] // self.groups, self.features))
        bias = (
            self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32) if self.use_bias else None
        )
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        operator = {"none": self.operator, "up": upsample_conv, "down": conv_mean_pool}[self.resample]
        if self.groups > 1:
            if operator is not conv:
                raise UserError(f"groups={self.groups}: only a plain convolution has groups; give 1")
            operator = partial(conv, groups=self.groups)
        y = operator(x, kernel, self.strides, self.padding, native)
        return y if bias is None else y + bias

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Returns the kernel `[kh, kw, C / groups, features]`; subclasses scale it."""
        return self.param("kernel", self.kernel_init, shape, jnp.float32)


class ConvTranspose(Conv):
    """Transposed convolution layer with the parameters of `nn.ConvTranspose`; `padding` as in `conv_transpose`."""

    operator = staticmethod(conv_transpose)


@contextmanager
def native() -> Iterator[None]:
    """Context in which every `Conv` and `ConvTranspose` uses JAX's own operator and derivatives.

    For benchmarks and tests. It acts while a network is traced, so enter it inside the function to be compiled:

        def apply(variables, x):
            with native():
                return network.apply(variables, x)
    """

    def call(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, Conv) and context.method_name == "__call__":
            kwargs = {**kwargs, "native": True}
        return method(*args, **kwargs)

    with nn.intercept_methods(call):
        yield
