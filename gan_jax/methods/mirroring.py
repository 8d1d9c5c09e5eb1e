"""Mirroring: random horizontal flips of real images, for data whose mirror images are just as real."""

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.types import Array, Batch, Metrics, System, TrainState


def mirrored(system: System) -> System:
    """Returns a system that flips each real image horizontally with probability 1/2 before each update.

    In distribution this is training on the images and their mirror images, as with `--mirror` in the code of
    StyleGAN2-ADA and R3GAN. Unlike an augmentation before the discriminator it leaves samples as they are, so that the
    generator learns both orientations.

    Args:
        system: A system for images.
    """

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        images, flip_key = batch["image"], rng.named(key, "mirror")
        stacked = images if system.batches > 1 else images[None]  # [batches, b, H, W, C]
        keys = [rng.per_example(jax.random.fold_in(flip_key, i), stacked.shape[1]) for i in range(len(stacked))]
        flips = jax.vmap(jax.random.bernoulli)(jnp.concatenate(keys)).reshape(*images.shape[:-3], 1, 1, 1)
        return system.update(state, batch | {"image": jnp.where(flips, images[..., ::-1, :], images)}, key)

    return system._replace(update=update)
