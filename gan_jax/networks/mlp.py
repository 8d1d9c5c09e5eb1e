"""Fully connected networks."""

import math
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.autoencoder import norm_of_error
from gan_jax.networks.layers.batch import Minibatch, minibatch_layer
from gan_jax.networks.layers.norm import AnyNorm, layer, normalise
from gan_jax.types import Array


class Generator(nn.Module):
    """Fully connected generator of images or points.

    Attributes:
        shape: The shape of one example.
        features: Widths of the hidden layers.
        norm: Normalisation of the hidden layers.
        momentum: Weight of the old value in batch norm's running moments.
        bounded: Whether a tanh bounds the output to [-1, 1], the range of images.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (256, 512, 1024)
    norm: AnyNorm = "batch"
    momentum: float = 0.8
    bounded: bool = True

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, *shape]`."""
        x = latents
        for width in self.features:
            x = layer(nn.Dense(width), self.norm, x, train)
            # after the activation, as in the tutorials' Keras model
            x = normalise(nn.leaky_relu(x, 0.2), self.norm, train, self.momentum)
        x = nn.Dense(math.prod(self.shape))(x)
        return (jnp.tanh(x) if self.bounded else x).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """Fully connected discriminator of images or points.

    Attributes:
        features: Widths of the hidden layers.
        norm: Normalisation of all hidden layers but the first.
        minibatch: Minibatch statistics appended before the last layer, see `minibatch_layer`.
        with_features: Whether to return `{"logits", "features"}` rather than logits alone; the features are the last
            hidden layer.
    """

    features: tuple[int, ...] = (512, 256)
    norm: AnyNorm = "none"
    minibatch: Minibatch = "none"
    with_features: bool = False

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array | dict[str, Array]:
        """Maps `[b, ...]` to logits `[b]`, and features `[b, F]` if `with_features`."""
        x = examples.reshape(len(examples), -1)
        for depth, width in enumerate(self.features):
            x = layer(nn.Dense(width), self.norm, x, train)
            x = nn.leaky_relu(x if depth == 0 else normalise(x, self.norm, train), 0.2)
        logits = layer(nn.Dense(1), self.norm, minibatch_layer(x, self.minibatch), train)[:, 0]
        return {"logits": logits, "features": x} if self.with_features else logits


class Autoencoder(nn.Module):
    """Fully connected autoencoder as a discriminator; the reconstruction error is its energy.

    From EBGAN (Zhao et al. 2017, arXiv:1609.03126). The logits are minus `norm_of_error`, for `losses.energy` and
    `losses.began`; the features are the codes, for `terms.pull_away`.

    Attributes:
        features: Widths of the encoder's hidden layers; the decoder's are in reverse order.
        code: Size of the code.
        order: Order of the norm: 2 as in EBGAN, or 1 as in BEGAN.
    """

    features: tuple[int, ...] = (256, 128)
    code: int = 32
    order: Literal[1, 2] = 2

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, ...]` to {"logits": `[b]`, "features": `[b, code]`}."""
        flat = x = examples.reshape(len(examples), -1)
        for width in self.features:
            x = nn.leaky_relu(nn.Dense(width)(x), 0.2)
        x = code = nn.Dense(self.code)(x)
        for width in reversed(self.features):
            x = nn.leaky_relu(nn.Dense(width)(x), 0.2)
        decoded = nn.Dense(flat.shape[1])(x)
        return {"logits": -norm_of_error(flat, decoded, self.order), "features": code}
