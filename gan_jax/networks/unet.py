"""The U-Net of pix2pix (Isola et al. 2017, arXiv:1611.07004), from images to images of the same size."""

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.noise import Dropout
from gan_jax.networks.layers.norm import INIT, AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.types import Array

DROPPING = 3  # so many of the decoder's blocks drop activations, from the innermost


class UNet(nn.Module):
    """Halves the sides of images `depth` times and doubles them again, each map of the decoder beside its like.

    The outermost and innermost maps of the encoder are not normalised: of the latter, of side 1 at the largest depth,
    instance norm would leave nothing (the paper's erratum). Parameters fit images of any size that the depth divides.

    Attributes:
        channels: Of the images that it makes.
        width: Channels of the first map; each further one has twice as many, up to 8 times.
        depth: How many maps the encoder has, at least 1: 5 for images of side 32 is what the paper's 8 is for 256.
        norm: Normalisation of the other hidden layers.
        dropout: Rate at which the first blocks of the decoder drop activations while training: the paper's noise, with
            0.5, which the paper keeps when it samples.
    """

    channels: int
    width: int = 64
    depth: int = 5
    norm: AnyNorm = "instance"
    dropout: float = 0.0

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to `[b, H, W, channels]` in [-1, 1]."""
        if self.depth < 1:
            raise UserError(f"depth={self.depth}: a U-Net has at least one map; give depth=1 or more")
        require_halvings(images, "depth", self.depth)
        widths = [self.width * min(2**level, 8) for level in range(self.depth)]
        bias = keeps_bias(self.norm)
        x, maps = images, []
        for level, width in enumerate(widths):
            plain = level in (0, self.depth - 1)
            conv = Conv(width, 4, 2, use_bias=plain or bias, kernel_init=initialiser(self.norm))
            x = layer(conv, self.norm, nn.leaky_relu(x, 0.2) if level else x, train)
            x = x if plain else normalise(x, self.norm, train)
            maps.append(x)
        x = maps.pop()
        for block, width in enumerate(reversed(widths[:-1])):
            deconv = ConvTranspose(width, 4, 2, use_bias=bias, kernel_init=initialiser(self.norm, share=4))
            x = normalise(layer(deconv, self.norm, nn.relu(x), train), self.norm, train)
            x = Dropout(self.dropout)(x, train) if block < DROPPING else x
            x = jnp.concatenate([x, maps.pop()], axis=-1)
        return jnp.tanh(ConvTranspose(self.channels, 4, 2, kernel_init=INIT)(nn.relu(x)))


def require_halvings(images: Array, name: str, count: int) -> None:
    """Refuses images whose sides cannot be halved so often.

    Args:
        images: `[b, H, W, C]`.
        name: Of the network's argument.
        count: Its value.

    Raises:
        UserError: Naming the largest value for these images, and the nearest larger resolution for this one.
    """
    height, width = images.shape[1:3]
    largest = min((side & -side).bit_length() - 1 for side in (height, width))  # a power of 2 divides both
    if count > largest:
        side = -(-max(height, width) // 2**count) * 2**count
        fewer = f"{name}={largest} or " if largest else ""
        raise UserError(
            f"{name}={count}: images of {height}x{width} can be halved {largest} times; "
            f"give {fewer}another --resolution, such as {side}"
        )
