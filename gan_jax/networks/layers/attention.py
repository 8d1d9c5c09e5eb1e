"""Self-attention over the positions of a map (Zhang et al. 2019, SAGAN, arXiv:1805.08318)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.norm import Norm, layer
from gan_jax.types import Array


class SelfAttention(nn.Module):
    """Self-attention layer, as in the authors' code and in BigGAN.

    x + gamma W_o (softmax(Q K^T) V), with Q = x W_q of C / 8 channels, K = pool(x W_k) of C / 8 and V = pool(x W_v) of
    C / 2; pool is 2x2 max pooling, W are 1x1 convolutions without bias, and gamma starts at 0. The pooling, which is
    not in the paper's formula, cuts the memory of the attention weights to a quarter.

    Attributes:
        norm: "spectral" normalises the convolutions, as in both papers.
        kernel_init: Initialises them.
    """

    norm: Norm = "spectral"
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to the same shape."""
        batch, height, width, channels = x.shape

        def convolve(x: Array, features: int) -> Array:
            return layer(Conv(features, 1, use_bias=False, kernel_init=self.kernel_init), self.norm, x, train)

        def pooled(x: Array) -> Array:
            return nn.max_pool(x, (2, 2), (2, 2)).reshape(batch, -1, x.shape[-1])

        query = convolve(x, max(1, channels // 8)).reshape(batch, height * width, -1)
        key, value = pooled(convolve(x, max(1, channels // 8))), pooled(convolve(x, max(1, channels // 2)))
        scores = jnp.einsum("bqc,bkc->bqk", query, key)
        weights = jax.nn.softmax(scores.astype(jnp.promote_types(x.dtype, jnp.float32))).astype(x.dtype)
        attended = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(batch, height, width, -1)
        gamma = self.param("gamma", nn.initializers.zeros_init(), (), jnp.float32)
        return x + gamma.astype(x.dtype) * convolve(attended, channels)
