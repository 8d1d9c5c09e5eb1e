"""Shared bodies with several heads, and discriminators that see a label, a number or a latent with the example."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks import dcgan
from gan_jax.networks.layers.norm import AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.networks.layers.sides import MAX_WIDENING
from gan_jax.types import Array


class Body(nn.Module):
    """Feature extractor that several heads share: DCGAN's discriminator up to its last map, or two layers for points.

    Attributes:
        width: Channels of the first map; for points, a quarter of each hidden layer's units.
        norm: Normalisation of all maps but the first, and of the hidden layer; points have none.
        hidden: Units of a dense layer after the last map; 0 for none. Points have none.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    width: int = 64
    norm: AnyNorm = "batch"
    hidden: int = 0
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, examples: Array, train: bool) -> Array:
        """Maps `[b, ...]` to features `[b, F]`."""
        x = examples
        if x.ndim == 4:
            x = dcgan.encode(x, self.width, self.norm, train, self.max_widening).reshape(len(x), -1)
            return _hidden(x, self.hidden, self.norm, train) if self.hidden else x
        for _ in range(2):
            x = nn.leaky_relu(nn.Dense(4 * self.width)(x), 0.2)
        return x


class Head(nn.Module):
    """Output head on features: a linear layer, with a hidden layer before it if asked for.

    Attributes:
        outputs: Number of outputs; 0 for one output without an axis, as for logits.
        hidden: Units of the hidden layer; 0 for none.
        norm: Normalisation of the hidden layer.
    """

    outputs: int = 0
    hidden: int = 0
    norm: AnyNorm = "none"

    @nn.compact
    def __call__(self, features: Array, train: bool) -> Array:
        """Maps `[b, F]` to `[b, outputs]`, or to `[b]` for `outputs=0`."""
        x = _hidden(features, self.hidden, self.norm, train) if self.hidden else features
        x = nn.Dense(self.outputs or 1)(x)
        return x if self.outputs else x[:, 0]


class WithLabel(nn.Module):
    """Conditions a discriminator on a label: a one-hot vector appended to the channels of every pixel.

    Attributes:
        network: Discriminator of images with `classes` more channels, or of points with `classes` more coordinates.
        classes: Number of classes.
    """

    network: nn.Module
    classes: int

    @nn.compact
    def __call__(self, examples: Array, labels: Array, train: bool) -> Array:
        """Maps `[b, ..., C]` and labels `[b]` to the network's output for `[b, ..., C + classes]`."""
        codes = jax.nn.one_hot(labels.astype(int), self.classes, dtype=examples.dtype)  # `linen` inits with float zeros
        codes = codes.reshape(len(examples), *[1] * (examples.ndim - 2), self.classes)
        codes = jnp.broadcast_to(codes, (*examples.shape[:-1], self.classes))
        return self.network(jnp.concatenate([examples, codes], axis=-1), train)


class WithLevel(nn.Module):
    """Conditions a discriminator on a number, such as a level of noise: a constant channel of every pixel.

    Attributes:
        network: Discriminator of images with one more channel, or of points with one more coordinate.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, examples: Array, level: Array, train: bool) -> Array:
        """Maps `[b, ..., C]` and numbers `[b]` to the network's output for `[b, ..., C + 1]`."""
        plane = jnp.broadcast_to(level.reshape(-1, *[1] * (examples.ndim - 1)), (*examples.shape[:-1], 1))
        return self.network(jnp.concatenate([examples, plane.astype(examples.dtype)], axis=-1), train)


class WithLatent(nn.Module):
    """Discriminator of pairs of an example and a latent.

    Attributes:
        width: Width of the example's `Body`.
        hidden: Units of the latent's hidden layer, and of the layer that joins both.
        norm: Normalisation of the `Body`.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    width: int = 64
    hidden: int = 256
    norm: AnyNorm = "layer"
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, examples: Array, latents: Array, train: bool) -> Array:
        """Maps `[b, ...]` and `[b, size]` to logits `[b]`."""
        features = Body(self.width, self.norm, max_widening=self.max_widening)(examples, train)
        noticed = nn.leaky_relu(nn.Dense(self.hidden)(latents), 0.2)
        return Head(hidden=self.hidden)(jnp.concatenate([features, noticed], axis=1), train)


def _hidden(x: Array, units: int, norm: AnyNorm, train: bool) -> Array:
    dense = nn.Dense(units, use_bias=keeps_bias(norm), kernel_init=initialiser(norm))
    return nn.leaky_relu(normalise(layer(dense, norm, x, train), norm, train), 0.2)
