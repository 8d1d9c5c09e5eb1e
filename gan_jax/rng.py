"""Key discipline: keys are folded by name and by global example index, never split by position.

Adding a consumer of randomness then leaves all others as they were, and the number of devices changes nothing.
"""

import math
import zlib

import jax
import jax.numpy as jnp

from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array


def key(seed: int | Array) -> Array:
    """Makes the key from which all randomness of a seed is derived: Threefry, whatever JAX_DEFAULT_PRNG_IMPL says.

    Args:
        seed: From 0 to 2^32 - 1; it may be traced, and is not checked then.

    Returns:
        A typed key.

    Raises:
        UserError: If the seed is outside that range.
    """
    if isinstance(seed, int):
        require_seed(seed)
    return jax.random.key(seed, impl="threefry2x32")


def require_seed(seed: int) -> None:
    """Checks that a seed fits in 32 bits: JAX would take the last 32 of a longer one, and NumPy takes no negative one.

    Raises:
        UserError: If it is not from 0 to 2^32 - 1.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed {seed}: give a number from 0 to {2**32 - 1}")


def named(key: Array, name: str) -> Array:
    """Derives the key of one purpose.

    Args:
        key: A typed key.
        name: The purpose; equal names give equal keys.

    Returns:
        A typed key.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def numbered(key: Array, numbers: Array | int) -> Array:
    """Derives one key for each number, or for each from 0 to below a count; none depends on the others.

    Args:
        key: A typed key.
        numbers: Integers `[n]`, or n.
    """
    numbers = jnp.arange(numbers) if isinstance(numbers, int) else numbers
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(numbers)


def per_example(key: Array, count: int) -> Array:
    """Derives one key for each example of this device's share of the batch, by its index in the global batch.

    Args:
        key: A typed key, the same on every device.
        count: Number of local examples.

    Returns:
        Typed keys `[count]`.
    """
    return numbered(key, parallel.index() * count + jnp.arange(count))


def each(keys: Array, name: str) -> Array:
    """Derives the keys of one purpose of one key an example, `[n]`."""
    return jax.vmap(lambda key: named(key, name))(keys)


def normal(keys: Array, like: Array) -> Array:
    """Draws standard normal noise of the shape and type of `like`, `[n, ...]`, example i from key i alone."""
    # flat: XLA compiles and runs that several times faster on a CPU
    flat = jax.vmap(lambda key: jax.random.normal(key, (math.prod(like.shape[1:]),), like.dtype))(keys)
    return flat.reshape(like.shape)


def uniform(keys: Array, like: Array) -> Array:
    """Draws uniform noise on [0, 1) of the shape and type of `like`, `[n, ...]`, example i from key i alone."""
    flat = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(like.shape[1:]),), like.dtype))(keys)
    return flat.reshape(like.shape)
