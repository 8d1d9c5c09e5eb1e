"""The convolutional networks of DCGAN (Radford et al. 2016, arXiv:1511.06434), sized by the images."""

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.conv import Conv, ConvTranspose
from gan_jax.networks.norm import Norm, layer, normalise
from gan_jax.types import Array

INIT = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """Projects latents to a small map and doubles its sides until it has the images' size.

    Attributes:
        shape: `(H, W, C)`; H = W, one of 28, 32, 64.
        width: Channels before the last layer; each layer below has twice as many.
    """

    shape: tuple[int, ...]
    width: int = 64

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]` in [-1, 1]."""
        side, doublings = _layers(self.shape)
        widths = [self.width * 2**i for i in reversed(range(doublings))]
        x = nn.Dense(side * side * widths[0], use_bias=False, kernel_init=INIT)(latents)
        x = x.reshape(-1, side, side, widths[0])
        for width in widths[1:]:
            x = nn.relu(normalise(x, "batch", train))
            x = ConvTranspose(width, (4, 4), (2, 2), use_bias=False, kernel_init=INIT)(x)
        x = nn.relu(normalise(x, "batch", train))
        return jnp.tanh(ConvTranspose(self.shape[2], (4, 4), (2, 2), kernel_init=INIT)(x))


class Discriminator(nn.Module):
    """Halves the sides of images down to a small map, and scores it.

    Attributes:
        shape: `(H, W, C)`; H = W, one of 28, 32, 64.
        width: Channels of the first layer; each further one has twice as many.
        norm: Normalisation of all layers but the first.
    """

    shape: tuple[int, ...]
    width: int = 64
    norm: Norm = "batch"

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to logits `[b]`."""
        if images.shape[1:] != self.shape:
            raise ValueError(f"images are {images.shape[1:]}, and this discriminator was built for shape={self.shape}")
        x = images
        for depth in range(_layers(self.shape)[1]):
            bias = depth == 0 or self.norm != "batch"  # batch norm would take it away again
            x = layer(Conv(self.width * 2**depth, (4, 4), (2, 2), use_bias=bias, kernel_init=INIT), self.norm, x, train)
            x = nn.leaky_relu(x if depth == 0 else normalise(x, self.norm, train), 0.2)
        return layer(nn.Dense(1, kernel_init=INIT), self.norm, x.reshape(len(x), -1), train)[:, 0]


def _layers(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the side of the smallest map, and how often it is doubled."""
    sizes = {28: (7, 2), 32: (4, 3), 64: (4, 4)}
    if len(shape) != 3 or shape[0] != shape[1] or shape[0] not in sizes:
        raise ValueError(
            f"shape={tuple(shape)}: DCGAN makes square images of side 28, 32 or 64; resize the data (--resolution 32)"
        )
    return sizes[shape[0]]
