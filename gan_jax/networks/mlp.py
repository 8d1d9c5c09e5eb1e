"""Fully connected networks."""

import math

import jax
from flax import linen as nn

from gan_jax.networks.norm import Norm, layer, normalise
from gan_jax.types import Array


class Generator(nn.Module):
    """Maps latents to images or points through hidden layers.

    Attributes:
        shape: The shape of one example.
        features: Widths of the hidden layers.
        norm: Normalisation of the hidden layers.
        momentum: The weight of the old value in batch norm's running moments.
        bounded: Whether the output passes tanh, as images in [-1, 1] do.
    """

    shape: tuple[int, ...]
    features: tuple[int, ...] = (256, 512, 1024)
    norm: Norm = "batch"
    momentum: float = 0.8
    bounded: bool = True

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, *shape]`."""
        x = latents
        for width in self.features:
            x = layer(nn.Dense(width), self.norm, x, train)
            # after the activation, as the tutorials' Keras model has it
            x = normalise(nn.leaky_relu(x, 0.2), self.norm, train, self.momentum)
        x = nn.Dense(math.prod(self.shape))(x)
        return (jax.numpy.tanh(x) if self.bounded else x).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """Maps images or points to logits through hidden layers.

    Attributes:
        features: Widths of the hidden layers.
        norm: Normalisation of the hidden layers but the first.
    """

    features: tuple[int, ...] = (512, 256)
    norm: Norm = "none"

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array:
        """Maps `[b, ...]` to `[b]`."""
        x = examples.reshape(len(examples), -1)
        for depth, width in enumerate(self.features):
            x = layer(nn.Dense(width), self.norm, x, train)
            x = nn.leaky_relu(x if depth == 0 else normalise(x, self.norm, train), 0.2)
        return layer(nn.Dense(1), self.norm, x, train)[:, 0]
