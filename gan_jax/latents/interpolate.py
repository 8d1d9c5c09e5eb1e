"""Interpolation between latents."""

import jax.numpy as jnp

from gan_jax.types import Array


def linear(start: Array, end: Array, fractions: Array) -> Array:
    """Linear interpolation: (1 - f) start + f end.

    Args:
        start: `[..., size]`.
        end: `[..., size]`.
        fractions: `[n]`, 0 at the start, 1 at the end.

    Returns:
        `[n, ..., size]`.
    """
    f = fractions.reshape(-1, *[1] * start.ndim)
    return (1 - f) * start + f * end


def spherical(start: Array, end: Array, fractions: Array) -> Array:
    """Spherical interpolation, which preserves the typical norm of normal latents (White 2016, arXiv:1609.04468).

    sin((1 - f) w) / sin(w) start + sin(f w) / sin(w) end, w the angle between them; linear where they are parallel.

    Args:
        start: `[..., size]`.
        end: `[..., size]`.
        fractions: `[n]`, 0 at the start, 1 at the end.

    Returns:
        `[n, ..., size]`.
    """
    norms = jnp.linalg.norm(start, axis=-1, keepdims=True) * jnp.linalg.norm(end, axis=-1, keepdims=True)
    cosine = jnp.sum(start * end, axis=-1, keepdims=True) / jnp.maximum(norms, 1e-12)
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    sine = jnp.sin(angle)
    parallel = sine < 1e-4
    safe = jnp.where(parallel, 1.0, sine)
    f = fractions.reshape(-1, *[1] * start.ndim)
    arc = (jnp.sin((1 - f) * angle) * start + jnp.sin(f * angle) * end) / safe
    return jnp.where(parallel, linear(start, end, fractions), arc)
