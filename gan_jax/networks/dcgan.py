"""The convolutional networks of DCGAN (Radford et al. 2016, arXiv:1511.06434), for square images."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.batch import Minibatch, minibatch_layer
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.norm import INIT, AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.networks.layers.sides import MAX_WIDENING, map_sides, widths
from gan_jax.types import Array


class Generator(nn.Module):
    """Generator: projects latents to a map of side 4, 5 or 6 and upsamples it to the size of the images.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of the last hidden map; each earlier map has twice as many, up to `max_widening * width`.
        norm: Normalisation of all layers but the last.
        bounded: Whether a tanh bounds the output to [-1, 1], the range of images.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    shape: tuple[int, ...]
    width: int = 64
    norm: AnyNorm = "batch"
    bounded: bool = True
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]`."""
        first, *sides = map_sides(self.shape)
        width, *later = reversed(widths(self.width, len(sides), self.max_widening))
        bias = keeps_bias(self.norm)
        dense = nn.Dense(first * first * width, use_bias=bias, kernel_init=initialiser(self.norm))
        x = layer(dense, self.norm, latents, train)
        x = x.reshape(-1, first, first, width)
        for side, width in zip(sides[:-1], later, strict=True):
            x = nn.relu(normalise(x, self.norm, train))
            # at stride 2 each output sees a quarter of the window
            deconv = ConvTranspose(width, **_window(side), use_bias=bias, kernel_init=initialiser(self.norm, 4))
            x = layer(deconv, self.norm, x, train)
        x = nn.relu(normalise(x, self.norm, train))
        x = ConvTranspose(self.shape[2], **_window(sides[-1]), kernel_init=INIT)(x)
        return jnp.tanh(x) if self.bounded else x


class Discriminator(nn.Module):
    """Discriminator: downsamples images to a map of side 4, 5 or 6, then one dense layer to a logit.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of the first map; each later map has twice as many, up to `max_widening * width`.
        norm: Normalisation of all layers but the first.
        minibatch: Minibatch statistics appended before the last layer, see `minibatch_layer`.
        with_features: Whether to return `{"logits", "features"}` rather than logits alone; the features are the last
            hidden layer, flattened.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    shape: tuple[int, ...]
    width: int = 64
    norm: AnyNorm = "batch"
    minibatch: Minibatch = "none"
    with_features: bool = False
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array | dict[str, Array]:
        """Maps `[b, H, W, C]` to logits `[b]`, and features `[b, F]` if `with_features`."""
        if images.shape[1:] != self.shape:
            raise UserError(f"images have shape {images.shape[1:]}, but this discriminator was built for {self.shape}")
        x = encode(images, self.width, self.norm, train, self.max_widening)
        judged = minibatch_layer(x, self.minibatch).reshape(len(x), -1)
        logits = layer(nn.Dense(1, kernel_init=INIT), self.norm, judged, train)[:, 0]
        return {"logits": logits, "features": x.reshape(len(x), -1)} if self.with_features else logits


def encode(images: Array, width: int, norm: AnyNorm, train: bool, max_widening: int = MAX_WIDENING) -> Array:
    """Downsamples images to a map of side 4, 5 or 6; call it inside `nn.compact`.

    Args:
        images: `[b, H, W, C]`; see `layers.sides` for the sides that fit.
        width: Channels of the first map; each later map has twice as many, up to `max_widening * width`.
        norm: Normalisation of all layers but the first.
        train: Whether to use and update batch statistics.
        max_widening: Cap on the channels of a map, in multiples of `width`.

    Returns:
        `[b, h, h, F]`, h the smallest of `map_sides`.
    """
    x, sides = images, map_sides(images.shape[1:])[1:]
    for depth, (side, channels) in enumerate(
        zip(reversed(sides), widths(width, len(sides), max_widening), strict=True)
    ):
        bias = depth == 0 or keeps_bias(norm)
        conv = Conv(channels, **_window(side), use_bias=bias, kernel_init=initialiser(norm))
        x = layer(conv, norm, x, train)
        x = nn.leaky_relu(x if depth == 0 else normalise(x, norm, train), 0.2)
    return x


def _window(side: int) -> dict[str, Any]:
    """Returns the convolution between maps of `side` and of half: a 4x4 window, or 3x3 where `side` is odd."""
    size = 3 if side % 2 else 4
    padding = ((1, 1), (1, 1)) if size == 3 else "SAME"
    return {"kernel_size": (size, size), "strides": (2, 2), "padding": padding}
