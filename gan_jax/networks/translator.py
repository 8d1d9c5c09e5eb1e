"""CycleGAN's residual translator: images to images of the same size.

Johnson et al. 2016, arXiv:1603.08155; Zhu et al. 2017, arXiv:1703.10593, appendix 7.2.
"""

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.norm import INIT, AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.networks.layers.sides import MAX_WIDENING, widths
from gan_jax.networks.unet import require_halvings
from gan_jax.types import Array


class Translator(nn.Module):
    """Image translator: downsampling convolutions, residual blocks, upsampling convolutions.

    Convolutions of stride 1 use reflection padding, so that borders leave no artefacts.

    Attributes:
        channels: Channels of the output images.
        width: Channels of the first map; each halving doubles them, up to `max_widening * width`.
        blocks: Number of residual blocks: 6 in the paper for sides of 128, 9 for 256.
        norm: Normalisation of all layers but the last.
        downs: Number of halvings; the sides of images must be multiples of 2^downs.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    channels: int
    width: int = 64
    blocks: int = 6
    norm: AnyNorm = "instance"
    downs: int = 2
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to `[b, H, W, channels]` in [-1, 1]."""
        require_halvings(images, "downs", self.downs)
        bias = keeps_bias(self.norm)

        def normalised(module: nn.Module, x: Array) -> Array:
            return normalise(layer(module, self.norm, x, train), self.norm, train)

        def keep(x: Array, width: int, size: int) -> Array:
            conv = Conv(width, size, padding="VALID", use_bias=bias, kernel_init=initialiser(self.norm))
            return normalised(conv, _reflected(x, size // 2))

        def halve(x: Array, width: int) -> Array:
            padding = ((1, 1), (1, 1))
            conv = Conv(width, 3, 2, padding, use_bias=bias, kernel_init=initialiser(self.norm))
            return normalised(conv, x)

        def double(x: Array, width: int) -> Array:
            deconv = ConvTranspose(width, 3, 2, use_bias=bias, kernel_init=initialiser(self.norm, share=4))
            return normalised(deconv, x)

        channels = widths(self.width, self.downs + 1, self.max_widening)
        x = nn.relu(keep(images, channels[0], 7))
        for width in channels[1:]:
            x = nn.relu(halve(x, width))
        for _ in range(self.blocks):
            x = x + keep(nn.relu(keep(x, channels[-1], 3)), channels[-1], 3)
        for width in reversed(channels[:-1]):
            x = nn.relu(double(x, width))
        return jnp.tanh(Conv(self.channels, 7, padding="VALID", kernel_init=INIT)(_reflected(x, 3)))


def _reflected(x: Array, width: int) -> Array:
    return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)), mode="reflect")
