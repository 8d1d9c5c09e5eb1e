"""Augmentations of the images that the discriminator sees: `(images, keys, state) -> images`."""

from gan_jax.augment.augmentations import (
    ada,
    chain,
    color,
    cutout,
    diff_augment,
    flip_and_translate,
    instance_noise,
    translation,
)

__all__ = [
    "ada",
    "chain",
    "color",
    "cutout",
    "diff_augment",
    "flip_and_translate",
    "instance_noise",
    "translation",
]
