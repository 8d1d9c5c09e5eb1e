"""Styles of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): mapping network, style mixing and truncation."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gan_jax import rng
from gan_jax.devices import parallel
from gan_jax.networks.layers.equalised import EqualisedDense, pixel_norm
from gan_jax.networks.layers.noise import example_keys
from gan_jax.networks.stylegan2.maps import full
from gan_jax.types import Array


class Mapping(nn.Module):
    """Mapping network from latents, labels or both to styles; its layers have a hundredth of the learning rate.

    Attributes:
        width: Dimensions of the output, of every layer, and of the label's embedding.
        depth: Number of layers.
    """

    width: int
    depth: int

    @nn.compact
    def __call__(self, latents: Array | None, labels: Array | None) -> Array:
        """Maps latents `[b, size]` and one-hot labels `[b, classes]`, either of them None, to `[b, width]`."""
        parts = [] if latents is None else [pixel_norm(latents)]
        if labels is not None:
            parts.append(pixel_norm(EqualisedDense(self.width, name="embed")(labels)))
        x = jnp.concatenate(parts, axis=1)
        for i in range(self.depth):
            x = math.sqrt(2) * nn.leaky_relu(EqualisedDense(self.width, rate=0.01, name=f"layer_{i}")(x), 0.2)
        return x


def mix(styles: Array, others: Array, crossover: Array) -> Array:
    """Mixes styles: layers before the crossover keep theirs, the rest take the others.

    Args:
        styles: `[b, layers, width]`.
        others: Likewise.
        crossover: First layer that takes the other styles, i32[b]; 0 takes all of them, and `layers` none.
    """
    return jnp.where((jnp.arange(styles.shape[1]) < crossover[:, None])[..., None], styles, others)


class Styles(nn.Module):
    """Styles of every layer from latents: the mapping network, its mean output, style mixing and truncation.

    The mean is a running average over training with decay 0.995, as in the official code. In training, style mixing
    gives a random layer, and all that follow it, the styles of a second latent. Each example draws its own crossover;
    the official code draws one per batch.

    Attributes:
        layers: Number of layers that take a style.
        width: Dimensions of a style.
        depth: Layers of the mapping network.
        classes: Number of classes, whose one-hot label is the last part of a latent; 0 for none.
        mixing: Probability of style mixing.
        psi: Truncation in evaluation: styles are mean + psi (w - mean).
        cutoff: Number of layers that are truncated; None for all.
    """

    layers: int
    width: int
    depth: int
    classes: int = 0
    mixing: float = 0.9
    psi: float = 1.0
    cutoff: int | None = None

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps latents `[b, size + classes]` to styles `[b, layers, width]`."""
        latents = full(latents)
        z, labels = latents, None
        if self.classes:
            z, labels = latents[:, : -self.classes], latents[:, -self.classes :]
        mapping = Mapping(self.width, self.depth, name="mapping")
        mean = self.variable("batch_stats", "mean", lambda: jnp.zeros(self.width, jnp.float32))
        w = mapping(z, labels)
        if train and not self.is_initializing():
            now = parallel.pmean(jnp.mean(lax.stop_gradient(w), axis=0))
            mean.value = (0.995 * mean.value + 0.005 * now).astype(mean.value.dtype)
        styles = jnp.repeat(w[:, None], self.layers, axis=1)
        if train and self.mixing:
            keys = example_keys(self, len(z))
            other = mapping(rng.normal(rng.each(keys, "other"), z), labels)
            styles = mix(styles, other[:, None], jax.vmap(self._crossover)(rng.each(keys, "crossover")))
        if not train and self.psi != 1:
            truncated = jnp.arange(self.layers) < (self.layers if self.cutoff is None else self.cutoff)
            styles += jnp.where(truncated, 1 - self.psi, 0.0)[:, None] * (mean.value - styles)
        return styles

    def _crossover(self, key: Array) -> Array:
        mixes = jax.random.bernoulli(rng.named(key, "mixes"), self.mixing)
        return jnp.where(mixes, jax.random.randint(rng.named(key, "layer"), (), 1, self.layers), self.layers)
