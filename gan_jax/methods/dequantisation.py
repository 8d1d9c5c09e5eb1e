"""Dequantisation: uniform noise that makes the grey levels of real images continuous, like those of samples."""

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.methods.binary_pixels import uniforms
from gan_jax.types import Array, Batch, Metrics, System, TrainState


def dequantised(system: System) -> System:
    """Returns a system that dequantises real images before each update.

    x <- (127.5 x + u) / 128, u uniform on [-1/2, 1/2), so grey level g of 0 to 255 becomes uniform on
    [(g - 128) / 128, (g - 127) / 128), as in the authors' code of WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028) and
    SNGAN (Miyato et al. 2018, arXiv:1802.05957).

    Args:
        system: A system for images in [-1, 1].
    """

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        images, noise_key = batch["image"], rng.named(key, "dequantise")
        stacked = images if system.batches > 1 else images[None]  # [batches, b, H, W, C]
        keys = [rng.per_example(jax.random.fold_in(noise_key, i), stacked.shape[1]) for i in range(len(stacked))]
        noise = uniforms(jnp.concatenate(keys), images.shape[-3:]).reshape(images.shape) - 0.5
        spread = ((127.5 * images + noise) / 128).astype(images.dtype)
        return system.update(state, batch | {"image": spread}, key)

    return system._replace(update=update)
