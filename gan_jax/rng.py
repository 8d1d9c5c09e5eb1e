"""Key discipline: keys are folded by name and by global example index, never split by position.

Adding a consumer of randomness then leaves all others as they were, and the number of devices changes nothing.
"""

import zlib

import jax
import jax.numpy as jnp

from gan_jax import parallel
from gan_jax.types import Array


def named(key: Array, name: str) -> Array:
    """Derives the key of one purpose.

    Args:
        key: A typed key.
        name: The purpose; equal names give equal keys.

    Returns:
        A typed key.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def per_example(key: Array, count: int) -> Array:
    """Derives one key for each example of this device's share of the batch, by its index in the global batch.

    Args:
        key: A typed key, the same on every device.
        count: Number of local examples.

    Returns:
        Typed keys `[count]`.
    """
    index = parallel.index() * count + jnp.arange(count)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
