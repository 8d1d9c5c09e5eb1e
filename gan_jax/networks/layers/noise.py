"""Noise layers: dropout and Gaussian noise, drawn with one key per example, independent of the number of devices."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array


def dropout(x: Array, rate: float, keys: Array) -> Array:
    """Dropout: zeroes each activation at random and scales up the others (Hinton et al. 2012, arXiv:1207.0580).

    y = x m / (1 - rate), m ~ Bernoulli(1 - rate), so E[y] = x.

    Args:
        x: Activations `[b, ...]`.
        rate: Probability of dropping an activation, in [0, 1).
        keys: One key per example, `[b]`.

    Returns:
        `[b, ...]`, of the same type.

    Raises:
        UserError: If the rate is outside [0, 1).
    """
    if not 0 <= rate < 1:
        raise UserError(f"rate={rate}: the dropout probability must lie in [0, 1); 0 drops nothing")
    size = math.prod(x.shape[1:])  # drawn flat, as in `rng.normal`
    mask = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (size,)))(keys)
    return jnp.where(mask.reshape(x.shape), x / (1 - rate), 0)


class Dropout(nn.Module):
    """Dropout layer, active in training only; its randomness is the network's "noise" key.

    Attributes:
        rate: Probability of dropping an activation, in [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, ...]` to the same shape; the identity unless training."""
        if not train or self.rate == 0:
            return x
        return dropout(x, self.rate, example_keys(self, len(x)))


class GaussianNoise(nn.Module):
    """Adds Gaussian noise, in training only; its randomness is the network's "noise" key.

    Attributes:
        deviation: Standard deviation of the noise, at least 0.
    """

    deviation: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, ...]` to the same shape; the identity unless training."""
        return x + self.deviation * rng.normal(example_keys(self, len(x)), x) if train and self.deviation else x


def example_keys(module: nn.Module, count: int) -> Array:
    """Returns one key per example, from the network's "noise" key; for layers that draw noise in training."""
    if not module.has_rng("noise"):
        raise UserError(f"key=None: {type(module).__name__} draws noise while training; give `apply` a key")
    return rng.per_example(module.make_rng("noise"), count)
