"""Equalised learning rates and pixel norm, of progressive GANs and StyleGAN (Karras et al. 2018, arXiv:1710.10196).

Parameters start as N(0, 1) and are multiplied by gain / sqrt(fan-in) each time they are used. Adam's steps do not
depend on the scale of gradients, so all layers learn at the same speed relative to their weights. Outputs have variance
gain^2 for inputs of variance 1.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from gan_jax.networks.layers.conv import Conv
from gan_jax.types import Array


class EqualisedDense(nn.Module):
    """Dense layer with an equalised learning rate; parameters "kernel" `[inputs, features]` and "bias" `[features]`.

    Attributes:
        features: Output features.
        use_bias: Whether to add a bias.
        gain: Standard deviation of the output for inputs of variance 1: sqrt(2) before a ReLU in ProGAN, 1 in
            StyleGAN2, which multiplies after the activation instead.
        rate: Learning rate relative to other layers: parameters are divided by it at the start and multiplied in use,
            as in the mapping network of StyleGAN.
        bias: Initial value of the bias, in use.
    """

    features: int
    use_bias: bool = True
    gain: float = 1.0
    rate: float = 1.0
    bias: float = 0.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[..., inputs]` to `[..., features]`."""
        initial = nn.initializers.normal(1 / self.rate)
        kernel = self.param("kernel", initial, (x.shape[-1], self.features), jnp.float32)
        kernel = kernel * (self.gain * self.rate / math.sqrt(x.shape[-1]))
        x, kernel = promote_dtype(x, kernel)
        y = x @ kernel
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.constant(self.bias / self.rate), (self.features,), jnp.float32)
        return y + (bias * self.rate).astype(y.dtype)


class EqualisedConv(Conv):
    """`Conv` with an equalised learning rate.

    Attributes:
        gain: As in `EqualisedDense`.
    """

    gain: float = 1.0

    def weights(self, shape: tuple[int, ...]) -> Array:
        """Returns N(0, 1) parameters times gain / sqrt(kh kw C)."""
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape, jnp.float32)
        return kernel * (self.gain / math.sqrt(math.prod(shape[:-1])))


def pixel_norm(x: Array, epsilon: float = 1e-8) -> Array:
    """Pixel norm: divides by the root mean square over features, x / sqrt(mean x^2 + epsilon).

    Args:
        x: `[..., features]`.
        epsilon: Added to the mean square; 1e-8 in the paper and in StyleGAN2.
    """
    return x * lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + epsilon)
