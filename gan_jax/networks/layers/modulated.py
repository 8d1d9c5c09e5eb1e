"""Modulated convolution of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, section 2.2)."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gan_jax.networks.layers import fir
from gan_jax.networks.layers.convolutions import conv
from gan_jax.networks.layers.equalised import EqualisedConv
from gan_jax.types import Array


class ModulatedConv(EqualisedConv):
    """Convolution without bias, whose kernel is scaled for each example by its styles and then normalised.

    Example i is convolved with w_i = s_i[c] w[k, c, f], or, demodulated, w_i / sqrt(sum over k, c of w_i^2 + 1e-8).
    This is computed in an equivalent form: the input's channels are scaled by s_i, all examples share one convolution,
    and the output's channels are divided. The official code also divides float16 weights and styles by their maximum,
    against overflow; bfloat16 has the range of float32 and needs no such step.

    Attributes:
        demodulate: Whether to normalise.
        upsample: Whether to double the sides first, by `fir.upsample_conv`; for 3x3 kernels.
    """

    demodulate: bool = True
    upsample: bool = False

    @nn.compact
    def __call__(self, x: Array, styles: Array, native: bool = False) -> Array:
        """Maps images `[b, H, W, C]` and styles `[b, C]` to `[b, H', W', features]`; `native` as in `conv`."""
        assert isinstance(self.kernel_size, int)
        kernel = self.weights((self.kernel_size, self.kernel_size, x.shape[-1], self.features))
        dtype = self.dtype or jnp.promote_types(x.dtype, kernel.dtype)
        scaled = x.astype(dtype) * styles.astype(dtype)[:, None, None]
        operator = fir.upsample_conv if self.upsample else conv
        y = operator(scaled, kernel.astype(dtype), native=native)
        if not self.demodulate:
            return y
        squares = jnp.square(styles) @ jnp.sum(jnp.square(kernel), axis=(0, 1))
        return y * lax.rsqrt(squares + 1e-8).astype(dtype)[:, None, None]
