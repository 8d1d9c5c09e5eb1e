"""The U-Net of pix2pix (Isola et al. 2017, arXiv:1611.07004): images to images of the same size."""

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.noise import Dropout
from gan_jax.networks.layers.norm import INIT, AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.networks.layers.sides import MAX_WIDENING, refused, widths
from gan_jax.types import Array

DROPPING = 3  # number of decoder blocks with dropout, from the innermost


class UNet(nn.Module):
    """U-Net: an encoder that halves sides `depth` times, and a decoder with skip connections from its maps.

    The encoder's outermost and innermost maps are not normalised: instance norm would erase the innermost one, of side
    1 at the largest depth (the paper's erratum). Parameters fit images of any side that is a multiple of 2^depth.

    Attributes:
        channels: Channels of the output images.
        width: Channels of the first map; each later map has twice as many, up to `max_widening * width`.
        depth: Number of maps of the encoder, at least 1. The innermost has side 1 at depth 5 for side 32, and at the
            paper's 8 for side 256.
        norm: Normalisation of the other hidden layers.
        dropout: Dropout rate of the first three decoder blocks, in training only. It is the paper's only noise, 0.5
            there, and on when sampling too.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    channels: int
    width: int = 64
    depth: int = 5
    norm: AnyNorm = "instance"
    dropout: float = 0.0
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to `[b, H, W, channels]` in [-1, 1]."""
        if self.depth < 1:
            raise UserError(f"depth={self.depth}: give at least 1")
        require_halvings(images, "depth", self.depth)
        channels = widths(self.width, self.depth, self.max_widening)
        bias = keeps_bias(self.norm)
        x, maps = images, []
        for level, width in enumerate(channels):
            plain = level in (0, self.depth - 1)
            conv = Conv(width, 4, 2, use_bias=plain or bias, kernel_init=initialiser(self.norm))
            x = layer(conv, self.norm, nn.leaky_relu(x, 0.2) if level else x, train)
            x = x if plain else normalise(x, self.norm, train)
            maps.append(x)
        x = maps.pop()
        for block, width in enumerate(reversed(channels[:-1])):
            deconv = ConvTranspose(width, 4, 2, use_bias=bias, kernel_init=initialiser(self.norm, share=4))
            x = normalise(layer(deconv, self.norm, nn.relu(x), train), self.norm, train)
            x = Dropout(self.dropout)(x, train) if block < DROPPING else x
            x = jnp.concatenate([x, maps.pop()], axis=-1)
        return jnp.tanh(ConvTranspose(self.channels, 4, 2, kernel_init=INIT)(nn.relu(x)))


def require_halvings(images: Array, name: str, count: int) -> None:
    """Checks that the sides of images can be halved a number of times.

    Args:
        images: `[b, H, W, C]`.
        name: Name of the network's argument that sets the number.
        count: Number of halvings.

    Raises:
        UserError: If they cannot; it names the largest count for these images, and the nearest sides for this one.
    """
    height, width = images.shape[1:3]
    largest = min((side & -side).bit_length() - 1 for side in (height, width))  # largest power of 2 that divides both
    if count > largest:
        below = min(height, width) // 2**count * 2**count
        rule = f"{name}={count}, but their sides can be halved only {largest} times"
        fitting = [side for side in (below, below + 2**count) if side]
        raise refused(images.shape[1:], rule, fitting, f"{name}={largest}" if largest else "")
