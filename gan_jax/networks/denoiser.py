"""A fully connected denoiser of discriminator features."""

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.networks import mlp
from gan_jax.networks.wrappers.linen import linen
from gan_jax.types import Array, Network


def network(discriminator: Network, shape: tuple[int, ...], width: int) -> Network:
    """Returns a fully connected denoiser of a discriminator's features, with two hidden layers.

    Args:
        discriminator: A network whose output has "features", `[b, F]`.
        shape: Shape of one example.
        width: Units of each hidden layer.
    """

    def features(key: Array) -> Array:
        return discriminator.apply(*discriminator.init(key), jnp.zeros((1, *shape)), train=False)[0]["features"]

    size = jax.eval_shape(features, rng.key(0)).shape[1]
    return linen(mlp.Generator((size,), (width, width), norm="none", bounded=False), (size,))
