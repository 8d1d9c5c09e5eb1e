"""The progressively grown networks of ProGAN (Karras et al. 2018, arXiv:1710.10196, table 2).

Parameters of all sides exist from the start, and images always have the full side. The running statistic "level" is the
level of detail: at level k networks work at side / 2^k, and between two levels they fade from one to the other.
`methods.progressive_growing` sets it.

As in the authors' TensorFlow code: weights with equalised learning rates, gain sqrt(2) before leaky ReLUs and 1 before
outputs; no tanh; latents normalised by pixel norm.
"""

import math

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.layers.batch import minibatch_deviation
from gan_jax.networks.layers.equalised import EqualisedConv, EqualisedDense, pixel_norm
from gan_jax.networks.layers.sides import MAX_WIDENING, root, widths
from gan_jax.types import Array

LEVEL = "level"  # name of the running statistic
RELU = math.sqrt(2)  # gain before a leaky ReLU, as for He's initialiser


def levels(shape: tuple[int, ...]) -> int:
    """Returns how often images `(H, W, C)` are halved from the full to the smallest side, which is 4, 5, 6 or 7.

    Raises:
        UserError: See `layers.sides.root`.
    """
    return (shape[0] // root(shape)).bit_length() - 1


class _Growing(nn.Module):
    """Base of both networks: their sizes, and the level of detail.

    Attributes:
        shape: `(H, W, C)`; see `levels` for the sides that fit.
        width: Channels of the largest map; doubled in each smaller map.
        max_widening: Cap on the channels of a map, in multiples of `width`.
        stage: Computes only the level of detail `stage` and the fade to the next smaller side, for levels in
            [stage, stage + 1). None computes all, for any level.
    """

    shape: tuple[int, ...]
    width: int = 16
    max_widening: int = MAX_WIDENING
    stage: int | None = None

    def places(self) -> list[tuple[int, int]]:
        """Returns the side and the channels of the map of each level."""
        count = levels(self.shape)
        channels = widths(self.width, count + 1, self.max_widening)
        return [(self.shape[0] >> level, channels[level]) for level in range(count + 1)]

    def level(self) -> Array:
        """Returns the level of detail, a running statistic."""
        return self.variable("batch_stats", LEVEL, lambda: jnp.zeros(())).value


class Generator(_Growing):
    """Growing generator: two 3x3 convolutions at each side, with leaky ReLUs and pixel norm."""

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]`, not bounded."""
        now, places, image = self.level(), self.places(), None
        last, first = len(places) - 1, self.stage or 0
        for level in range(last, first - 1, -1):
            side, channels = places[level]
            if level == last:
                # the gain is that of a 4x4 convolution padded from one position, as in the authors' code
                dense = EqualisedDense(side * side * channels, False, RELU / side, name=f"map{side}_dense")
                x = dense(pixel_norm(latents)).reshape(-1, side, side, channels)
                bias = self.param(f"map{side}_bias", nn.initializers.zeros_init(), (channels,), jnp.float32)
                x = pixel_norm(nn.leaky_relu(x + bias.astype(x.dtype), 0.2))
            else:
                convolution = EqualisedConv(channels, 3, resample="up", gain=RELU, name=f"map{side}_conv0")
                x = pixel_norm(nn.leaky_relu(convolution(x), 0.2))
            x = pixel_norm(nn.leaky_relu(EqualisedConv(channels, 3, gain=RELU, name=f"map{side}_conv1")(x), 0.2))
            if self.stage is None or level <= self.stage + 1:
                larger = EqualisedConv(self.shape[2], 1, name=f"map{side}_image")(x)
                image = larger if image is None else fade(larger, enlarged(image, 1), now - level)
        assert image is not None  # each stage has a level
        return enlarged(image, first)


class Discriminator(_Growing):
    """Growing discriminator: 3x3 convolutions with leaky ReLUs, two at each side, and minibatch standard deviation.

    Attributes:
        group: Examples in a group of the minibatch standard deviation; the whole batch in the paper.
        pool_first: Whether maps are averaged before the activation, as in the authors' TensorFlow code, where the
            second convolution then takes 16 products instead of 36; after it in the paper and its Theano code.
    """

    group: int = 4
    pool_first: bool = True

    @nn.compact
    def __call__(self, images: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` to logits `[b]`."""
        now, places, first = self.level(), self.places(), self.stage or 0

        def activated(x: Array, channels: int, name: str, size: int = 3, down: bool = False) -> Array:
            resample = "down" if down else "none"
            return nn.leaky_relu(EqualisedConv(channels, size, gain=RELU, resample=resample, name=name)(x), 0.2)

        def from_image(level: int) -> Array:
            side, channels = places[level]
            return activated(halved(images, level), channels, f"map{side}_image", 1)

        x = from_image(first)
        for level in range(first, len(places) - 1):
            side, channels = places[level]
            x = activated(x, channels, f"map{side}_conv0")
            x = activated(x, places[level + 1][1], f"map{side}_conv1", down=self.pool_first)
            x = x if self.pool_first else halved(x, 1)
            if self.stage in (None, level):
                x = fade(x, from_image(level + 1), now - level)
        side, channels = places[-1]
        x = activated(minibatch_deviation(x, self.group), channels, f"map{side}_conv")
        units = min(2 * channels, self.max_widening * self.width)
        x = EqualisedDense(units, gain=RELU, name=f"map{side}_dense")(x.reshape(len(x), -1))
        return EqualisedDense(1, name="logit")(nn.leaky_relu(x, 0.2))[:, 0]


def fade(larger: Array, smaller: Array, share: Array) -> Array:
    """Fades between two images or maps: larger + share (smaller - larger), with the share clipped to [0, 1].

    At 0 and 1 the result is one of the two, exactly.
    """
    share = jnp.clip(share, 0, 1)
    mixed = larger + share.astype(larger.dtype) * (smaller - larger)
    return jnp.where(share == 1, smaller, mixed)


def halved(x: Array, times: int) -> Array:
    """Halves the sides of `[..., H, W, C]` `times` times, by averaging 2x2 pixels."""
    *lead, height, width, channels = x.shape
    parts = x.reshape(*lead, height >> times, 1 << times, width >> times, 1 << times, channels)
    return parts.mean((-4, -2)) if times else x


def enlarged(x: Array, times: int) -> Array:
    """Doubles the sides of `[..., H, W, C]` `times` times, by repeating pixels."""
    return jnp.repeat(jnp.repeat(x, 1 << times, axis=-3), 1 << times, axis=-2) if times else x
