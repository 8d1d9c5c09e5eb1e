"""Augmentations of the discriminator's images, both real and fake: `(images, keys, state) -> images`.

A new augmentation is a function in `augmentations` that returns an `Augment`. It must be differentiable, and image i
must depend on key i alone, so that results do not depend on the number of devices. ADA's single transforms are in
`ada_transforms`, its anti-aliased warp in `affine_warp`, and the forward diffusion of Diffusion-GAN in
`forward_diffusion`.
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
from gan_jax.augment.forward_diffusion import diffusion

__all__ = [
    "ada",
    "chain",
    "color",
    "cutout",
    "diff_augment",
    "diffusion",
    "flip_and_translate",
    "instance_noise",
    "translation",
]
