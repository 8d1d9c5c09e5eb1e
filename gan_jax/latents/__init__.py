"""Distributions of latents, their named parts, and interpolation.

A new distribution is a function in `distributions` that returns a `Latent`, which draws example i from key i alone.
Labels and codes are parts of a latent (`joined`, `labelled`); `codes` reads and sets them.
"""

from gan_jax.latents.distributions import (
    BATCH,
    Distribution,
    categorical,
    joined,
    labelled,
    latent,
    normal,
    numbered,
    uniform,
)
from gan_jax.latents.interpolate import linear, spherical

__all__ = [
    "BATCH",
    "Distribution",
    "categorical",
    "joined",
    "labelled",
    "latent",
    "linear",
    "normal",
    "numbered",
    "spherical",
    "uniform",
]
