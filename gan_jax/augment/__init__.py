"""Augmentations of the discriminator's images, both real and fake: `(images, keys, state) -> images`.

A new augmentation is a function in `augmentations` that returns an `Augment`. It must be differentiable, and image i
must depend on key i alone, so that results do not depend on the number of devices. ADA's single transforms are in
`ada_transforms`.
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
