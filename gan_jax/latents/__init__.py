"""Distributions of latents, their named codes, and paths between latents."""

from gan_jax.latents.distributions import (
    BATCH,
    Distribution,
    categorical,
    joined,
    labelled,
    latent,
    normal,
    numbered,
    source,
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
    "source",
    "spherical",
    "uniform",
]
