"""Augmentations of the discriminator's images, real and fake alike: `(images, keys, state) -> images`.

A new augmentation is a function in `augmentations` that returns an `Augment`. It must be differentiable, and change
image i by key i alone, so that the number of devices changes nothing. ADA's single transforms are in `ada_transforms`.
"""

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
