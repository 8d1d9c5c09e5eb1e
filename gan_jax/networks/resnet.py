"""The residual networks of WGAN-GP and SNGAN, for square images; the papers' are for side 32.

WGAN-GP: Gulrajani et al. 2017, arXiv:1704.00028, appendix F. SNGAN: Miyato et al. 2018, arXiv:1802.05957, table 4.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv, Resample
from gan_jax.networks.layers.norm import AnyNorm, layer, normalise
from gan_jax.networks.layers.residual import residual
from gan_jax.networks.layers.sides import root
from gan_jax.types import Array

LAST = 8  # the discriminator halves maps while they are larger than this
PLAIN = 2  # number of its blocks after that


class Generator(nn.Module):
    """Residual generator: projects latents to a map and upsamples it by residual blocks of constant width.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of every map: 128 in WGAN-GP, 256 in SNGAN.
        norm: Normalisation of the blocks.
    """

    shape: tuple[int, ...]
    width: int = 128
    norm: AnyNorm = "batch"

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]` in [-1, 1]."""
        side = root(self.shape)
        x = layer(nn.Dense(side * side * self.width), self.norm, latents, train).reshape(-1, side, side, self.width)
        while x.shape[1] < self.shape[0]:
            x = _block(x, self.width, self.norm, train, "up")
        x = nn.relu(normalise(x, self.norm, train))
        return jnp.tanh(Conv(self.shape[2], 3)(x))


class Discriminator(nn.Module):
    """Residual discriminator: downsamples by residual blocks of constant width, pools, then one dense layer to a logit.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of every map: 128 in both papers.
        norm: "none" as in WGAN-GP, or "spectral" as in SNGAN; "layer" normalises within the blocks.
        pool: Global pooling before the last layer: "mean" as in WGAN-GP, "sum" as in SNGAN.
        with_features: Whether to return `{"logits", "features"}`; the features are the last layer's input.
    """

    shape: tuple[int, ...]
    width: int = 128
    norm: AnyNorm = "none"
    pool: Literal["mean", "sum"] = "mean"
    with_features: bool = False

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array | dict[str, Array]:
        """Maps `[b, H, W, C]` to logits `[b]`, and features `[b, width]` if `with_features`."""
        root(self.shape)  # refuses other sides
        if images.shape[1:] != self.shape:
            raise UserError(f"images have shape {images.shape[1:]}, but this discriminator was built for {self.shape}")
        x = _block(images, self.width, self.norm, train, "down", first=True)
        while x.shape[1] > LAST:
            x = _block(x, self.width, self.norm, train, "down")
        for _ in range(PLAIN):
            x = _block(x, self.width, self.norm, train, "none")
        pool = {"mean": jnp.mean, "sum": jnp.sum}[self.pool]
        x = pool(nn.relu(x), axis=(1, 2))
        logits = layer(nn.Dense(1), self.norm, x, train)[:, 0]
        return {"logits": logits, "features": x} if self.with_features else logits


def _block(x: Array, width: int, norm: AnyNorm, train: bool, resample: Resample, first: bool = False) -> Array:
    def convolve(x: Array, width: int, size: int, resample: Resample) -> Array:
        scale = 2.0 if size == 3 else 1.0  # He after a ReLU, Glorot for the shortcut
        init = nn.initializers.variance_scaling(scale, "fan_avg", "uniform")
        return layer(Conv(width, size, kernel_init=init, resample=resample), norm, x, train)

    return residual(x, width, convolve, lambda x: normalise(x, norm, train), resample, first)
