"""Numerical helpers that losses, penalties and terms share."""

import jax.numpy as jnp

from gan_jax.types import Array


def average(values: Array) -> Array:
    """Averages all but the first axis.

    Args:
        values: `[B, ...]`.

    Returns:
        `[B]`.
    """
    return jnp.mean(values.reshape(values.shape[0], -1), axis=1)


def safe_root(squared: Array) -> Array:
    """Returns the square root, with derivative 0 instead of NaN at 0; all derivatives of its square are 0 there too."""
    return jnp.sqrt(jnp.maximum(squared, 1e-20))
