"""Numerical functions shared by losses, penalties and terms."""

import jax.numpy as jnp

from gan_jax.types import Array


def average(values: Array) -> Array:
    """Averages over all axes but the first.

    Args:
        values: `[B, ...]`.

    Returns:
        `[B]`.
    """
    return jnp.mean(values.reshape(values.shape[0], -1), axis=1)


def safe_root(squared: Array) -> Array:
    """Returns sqrt(max(squared, 1e-20)): at 0 its derivatives are 0, not NaN, and so are those of its square."""
    return jnp.sqrt(jnp.maximum(squared, 1e-20))
