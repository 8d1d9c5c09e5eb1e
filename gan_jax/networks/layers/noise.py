"""Noise inside layers, drawn by one key an example, so that the number of devices does not change it."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array


def dropout(x: Array, rate: float, keys: Array) -> Array:
    """Drops each activation with a probability, and scales up the others (Hinton et al. 2012, arXiv:1207.0580).

    y = x m / (1 - rate), m ~ Bernoulli(1 - rate): y is x on average.

    Args:
        x: Activations `[b, ...]`.
        rate: The probability, in [0, 1).
        keys: One an example, `[b]`.

    Returns:
        `[b, ...]`, of the same type.

    Raises:
        UserError: If the rate is outside [0, 1).
    """
    if not 0 <= rate < 1:
        raise UserError(f"rate={rate}: activations are dropped with a probability in [0, 1); 0 drops none")
    size = math.prod(x.shape[1:])  # flat, as in `rng.normal`
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (size,)))(keys)
    return jnp.where(kept.reshape(x.shape), x / (1 - rate), 0)


class Dropout(nn.Module):
    """Drops activations while training, as `dropout` does, by the network's noise.

    Attributes:
        rate: The probability with which each is dropped, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, ...]` to `[b, ...]`; the identity unless training."""
        if not train or self.rate == 0:
            return x
        return dropout(x, self.rate, _keys(self, len(x)))


class GaussianNoise(nn.Module):
    """Adds normal noise while training, by the network's noise.

    Attributes:
        deviation: Its, at least 0.
    """

    deviation: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, ...]` to the same."""
        return x + self.deviation * rng.normal(_keys(self, len(x)), x) if train and self.deviation else x


def _keys(module: nn.Module, count: int) -> Array:
    """Returns a key for each example, of the network's noise."""
    if not module.has_rng("noise"):
        raise UserError(f"key=None: {type(module).__name__} draws noise while training; give `apply` a key")
    return rng.per_example(module.make_rng("noise"), count)
