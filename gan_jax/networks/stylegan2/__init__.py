"""StyleGAN2's networks (Karras et al. 2020, arXiv:1912.04958), in the form of stylegan2-ada-pytorch.

Latents become styles (`styles`), which modulate each convolution of the synthesis network (`synthesis`). Images are
squares whose side is 4, 5, 6 or 7 times a power of 2; in the papers it is a power of 2. All layers have equalised
learning rates, and all activations are leaky ReLUs times sqrt(2), clipped at +-256 after convolutions (`maps`).

`dtype` is the data type of computation at the 4 highest resolutions; by default that of the parameters. As in Karras et
al. 2020 (arXiv:2006.06676), the mapping network, the smaller maps, the sum of the images and the discriminator's last
layers stay in float32. Do not wrap such a network by `networks.mixed`, which would round all parameters.
"""

from gan_jax.networks.stylegan2.discriminator import Discriminator, HalvingBlock
from gan_jax.networks.stylegan2.maps import count, sides
from gan_jax.networks.stylegan2.styles import Mapping, Styles, mix
from gan_jax.networks.stylegan2.synthesis import Block, Generator, Layer, Synthesis, ToImage

__all__ = [
    "Block",
    "Discriminator",
    "Generator",
    "HalvingBlock",
    "Layer",
    "Mapping",
    "Styles",
    "Synthesis",
    "ToImage",
    "count",
    "mix",
    "sides",
]
