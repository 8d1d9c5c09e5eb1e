"""Convolutional autoencoders as discriminators: an example's logit is minus its reconstruction error.

`mlp.Autoencoder` is the fully connected one.
"""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks import dcgan
from gan_jax.networks.layers.conv import Conv, Resample
from gan_jax.networks.layers.norm import AnyNorm
from gan_jax.networks.layers.sides import MAX_WIDENING, map_sides
from gan_jax.numerics import safe_root
from gan_jax.types import Array

SMALLEST = 8  # largest side of the smallest maps of BEGAN's networks


class Autoencoder(nn.Module):
    """An autoencoder: DCGAN's discriminator as encoder, a dense code, and DCGAN's generator as decoder.

    The logits are minus `norm_of_error`, for `losses.energy` and `losses.began`; the features are the codes, for
    `terms.pull_away`.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of the largest hidden maps.
        code: Size of the code.
        order: Order of the norm: 2 as in EBGAN (Zhao et al. 2017, arXiv:1609.03126), or 1 as in BEGAN.
        norm: Normalisation of the hidden layers.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    shape: tuple[int, ...]
    width: int = 64
    code: int = 64
    order: Literal[1, 2] = 2
    norm: AnyNorm = "none"
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, H, W, C]` to {"logits": `[b]`, "features": `[b, code]`}."""
        encoded = dcgan.encode(images, self.width, self.norm, train, self.max_widening)
        code = nn.Dense(self.code)(encoded.reshape(len(images), -1))
        # no tanh: it would soon saturate, without gradient, at most pixels of a digit
        decoder = dcgan.Generator(self.shape, self.width, self.norm, bounded=False, max_widening=self.max_widening)
        decoded = decoder(code, train)
        return {"logits": -norm_of_error(images, decoded, self.order), "features": code}


class UpsamplingDecoder(nn.Module):
    """BEGAN's generator, and the decoder of its discriminator (Berthelot et al. 2017, arXiv:1703.10717).

    A dense layer makes a map of side 5 to 8. Each side has two 3x3 convolutions with ELU; nearest-neighbour upsampling
    doubles it. A last convolution makes the image, without tanh. There is no normalisation.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of every hidden map, 64 or 128 in the paper.
    """

    shape: tuple[int, ...]
    width: int = 64

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]`, unbounded."""
        first, *sides = map_sides(self.shape, SMALLEST)
        x = nn.Dense(first * first * self.width)(latents).reshape(-1, first, first, self.width)
        x = _twice(x, self.width)
        for _ in sides:
            x = _twice(x, self.width, "up")
        return Conv(self.shape[2], 3)(x)


class UpsamplingAutoencoder(nn.Module):
    """BEGAN's discriminator (Berthelot et al. 2017, arXiv:1703.10717): an encoder and a decoder.

    The encoder has two 3x3 convolutions with ELU at each side, with k * `width` channels at the k-th side, up to
    `max_widening * width`, and a 3x3 convolution at stride 2 between sides. The logits are minus the mean absolute
    error, for `losses.began`; the features are the codes. The paper's optional skip connections are left out.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit.
        width: Channels of the largest maps.
        code: Size of the code.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    shape: tuple[int, ...]
    width: int = 64
    code: int = 64
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, H, W, C]` to {"logits": `[b]`, "features": `[b, code]`}."""
        x = nn.elu(Conv(self.width, 3)(images))
        for depth in range(len(map_sides(self.shape, SMALLEST))):
            x = x if depth == 0 else Conv(x.shape[-1], 3, 2)(x)
            x = _twice(x, self.width * min(depth + 1, self.max_widening))
        code = nn.Dense(self.code)(x.reshape(len(images), -1))
        decoded = UpsamplingDecoder(self.shape, self.width)(code, train)
        return {"logits": -norm_of_error(images, decoded, order=1), "features": code}


def norm_of_error(examples: Array, decoded: Array, order: Literal[1, 2] = 2) -> Array:
    """Returns the norm of each reconstruction error, `[b]`, scaled to be independent of an example's size.

    (mean |x - decoded|^order)^(1 / order) over the n entries of an example: the norm times n^(-1 / order).

    Args:
        examples: `[b, ...]`.
        decoded: Reconstructions, of the same shape.
        order: 2, the root of the mean square, as in EBGAN; or 1, the mean absolute error, as in BEGAN.
    """
    errors = jnp.abs(decoded - examples).reshape(len(examples), -1)
    return jnp.mean(errors, axis=1) if order == 1 else safe_root(jnp.mean(errors**2, axis=1))


def _twice(x: Array, width: int, resample: Resample = "none") -> Array:
    x = nn.elu(Conv(width, 3, resample=resample)(x))
    return nn.elu(Conv(width, 3)(x))
