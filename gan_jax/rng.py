"""Random keys, derived by name and by global example index, never by splitting.

Adding a consumer of randomness then changes no other, and results do not depend on the number of devices.
"""

import math
import zlib

import jax
import jax.numpy as jnp

from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array


def key(seed: int | Array) -> Array:
    """Returns the root key of a seed: always Threefry, whatever JAX_DEFAULT_PRNG_IMPL says.

    Args:
        seed: From 0 to 2^32 - 1; a traced seed is not checked.

    Returns:
        A typed key.

    Raises:
        UserError: If the seed is outside that range.
    """
    if isinstance(seed, int):
        require_seed(seed)
    return jax.random.key(seed, impl="threefry2x32")


def require_seed(seed: int) -> None:
    """Checks that a seed fits in 32 bits: JAX would truncate a longer one, and NumPy refuses negative ones.

    Raises:
        UserError: If it is not from 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a number from 0 to {2**32 - 1}")


def named(key: Array, name: str) -> Array:
    """Derives a key by name.

    Args:
        key: A typed key.
        name: What the key is for; equal names give equal keys.

    Returns:
        A typed key.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def numbered(key: Array, numbers: Array | int) -> Array:
    """Derives keys by number; each depends on its own number alone.

    Args:
        key: A typed key.
        numbers: Integers `[n]`; or n, for 0 to n - 1.

    Returns:
        Typed keys `[n]`.
    """
    numbers = jnp.arange(numbers) if isinstance(numbers, int) else numbers
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)


def per_example(key: Array, count: int) -> Array:
    """Derives a key for each example on this device, by the example's index in the global batch.

    Args:
        key: A typed key, the same on every device.
        count: Number of examples on this device.

    Returns:
        Typed keys `[count]`.
    """
    return numbered(key, parallel.index() * count + jnp.arange(count))


def each(keys: Array, name: str) -> Array:
    """Derives a key by name from each of `[n]` keys."""
    return jax.vmap(lambda key: named(key, name))(keys)


def normal(keys: Array, like: Array) -> Array:
    """Draws standard normal noise of the shape and type of `like`, `[n, ...]`, example i from key i alone."""
    # drawn flat, which XLA compiles and runs several times faster on CPUs
    flat = jax.vmap(lambda key: jax.random.normal(key, (math.prod(like.shape[1:]),), like.dtype))(keys)
    return flat.reshape(like.shape)


def uniform(keys: Array, like: Array) -> Array:
    """Draws uniform noise on [0, 1) of the shape and type of `like`, `[n, ...]`, example i from key i alone."""
    flat = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(like.shape[1:]),), like.dtype))(keys)
    return flat.reshape(like.shape)
