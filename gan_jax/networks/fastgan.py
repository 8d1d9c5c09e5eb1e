"""The networks of FastGAN (Liu et al. 2021, arXiv:2101.04775), for few images: skip-layer excitation, reconstruction.

Blocks, widths and noise are those of the authors' code (models.py of github.com/odegeasslbc/FastGAN-pytorch, whose
files are gone; read in the copy HCA97/FastGAN-pytorch). That code has a second output of the generator and a second
branch of the discriminator at 128 pixels, which are not in the paper and are left out here. It draws the scales of
batch norms from N(1, 0.02^2), and has a tanh only for images of side 1024; here scales start at 1, and there is always
a tanh. Its maps begin at side 4; here, for images of side m * 2^k, they begin at side m, with the same widths. Smaller
images have fewer maps.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gan_jax import rng
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.norm import INIT, layer, normalise
from gan_jax.networks.layers.sides import root
from gan_jax.types import Array

WIDTHS = (16, 8, 4, 2, 2, 1, 0.5, 0.25, 0.125)
"""Channels of the generator's maps, from the smallest side up, in multiples of the width."""
LEAST = 16  # least side of images: the discriminator needs a map before the last, to reconstruct a quarter from
SKIP = 4  # each map of the generator excites that of 2^SKIP times its side; in small images the first excites the last
D_SKIP = 3  # each map of the discriminator excites that of its side / 2^D_SKIP, if any
D_SIDE = 256  # maps of the discriminator are at most this large: larger images are halved by the first layers
RECONSTRUCTED = 4  # a decoder doubles its maps at most this often: from 8 to 128 pixels


class Generator(nn.Module):
    """Generator: nearest-neighbour upsampling, gated linear units, noise, and skip-layer excitation.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit, at least 16.
        width: Channels of the map of side 128: 64 in the code. See `WIDTHS`.
    """

    shape: tuple[int, ...]
    width: int = 64

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]` in [-1, 1]."""
        first = root(self.shape, LEAST)
        channels = int(WIDTHS[0] * self.width)
        window = [(first - 1, first - 1)] * 2
        start = ConvTranspose(2 * channels, first, 1, window, use_bias=False, kernel_init=INIT)
        x = layer(start, "spectral", latents[:, None, None], train)
        maps = [gated(normalise(x, "batch", train))]
        while maps[-1].shape[1] < self.shape[0]:
            number = len(maps)
            channels = max(1, int(WIDTHS[number] * self.width))
            x = _up(maps[-1], channels, train)
            if number % 2:  # every second block, from the first on, has a second convolution, and noise
                x = Noise()(x, train)
                x = gated(normalise(x, "batch", train))
                x = Noise()(_convolved(x, 2 * channels, 3, train), train)
            x = gated(normalise(x, "batch", train))
            if (source := _excited_by(number, len(maps), 2 * maps[-1].shape[1] == self.shape[0])) is not None:
                x = x * Excitation(channels, first)(maps[source], train)
            maps.append(x)
        return jnp.tanh(_convolved(maps[-1], self.shape[2], 3, train))


class Discriminator(nn.Module):
    """Discriminator: halving blocks, excitation, and decoders that reconstruct its input from its maps.

    One decoder reconstructs the whole image from the last map, another a random quarter of the image from the same
    quarter of the map before; both at reduced size. In training the quarter is drawn for each image by the "noise" key;
    otherwise it is the first.

    Attributes:
        shape: `(H, W, C)`; see `layers.sides` for the sides that fit, at least 16.
        width: An eighth of the last map's channels: 64 in the code. Each map has half as many as the next smaller one.
    """

    shape: tuple[int, ...]
    width: int = 64

    @nn.compact
    def __call__(self, images: Array, train: bool) -> dict[str, Array]:
        """Maps `[b, H, W, C]` to logits `[b, h, w]`, and the mean absolute error of reconstruction `[b]`."""
        last = 2 * root(self.shape, LEAST)
        x, channels = images, _reversed_widths(min(self.shape[0], D_SIDE), last, self.width)
        while x.shape[1] > D_SIDE:
            x = nn.leaky_relu(_convolved(x, channels[0], 4, train, stride=2), 0.2)
        if x is images:
            x = nn.leaky_relu(_convolved(x, channels[0], 3, train), 0.2)
        maps = [x]
        for features in channels[1:]:
            x = Down(features)(maps[-1], train)
            if len(maps) >= D_SKIP:
                x = x * Excitation(features, root(self.shape))(maps[-D_SKIP], train)
            maps.append(x)
        y = nn.leaky_relu(normalise(_convolved(x, 16 * self.width, 1, train), "batch", train), 0.2)
        head = Conv(1, 4, 1, "VALID", use_bias=False, kernel_init=INIT)
        logits = layer(head, "spectral", y, train)[..., 0]
        corner = self._corners(len(images), train)
        part, of_map = (_quarter(each, corner) for each in (images, maps[-2]))
        error = sum(
            _error(Decoder(self.shape[2], self.width / 2, target.shape[1])(code, train), target)
            for code, target in ((maps[-1], images), (of_map, part))
        )
        return {"logits": logits, "reconstruction": jnp.asarray(error)}

    def _corners(self, count: int, train: bool) -> Array:
        if not (train and self.has_rng("noise")):
            return jnp.zeros(count, jnp.int32)
        keys = rng.per_example(self.make_rng("noise"), count)
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, 4))(keys)


class Excitation(nn.Module):
    """Skip-layer excitation: gates for a map's channels, computed from another map x: sigmoid(1x1(swish(mxm(pool x)))).

    Attributes:
        features: Channels of the map to excite.
        side: m, the side to which the other map is pooled: 4 in the paper.
    """

    features: int
    side: int = 4

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, h, w, C]` to gates `[b, 1, 1, features]`."""
        pooled = _pooled(x, x.shape[1] // self.side)
        across = Conv(self.features, self.side, 1, "VALID", use_bias=False, kernel_init=INIT)
        y = nn.swish(layer(across, "spectral", pooled, train))
        return nn.sigmoid(_convolved(y, self.features, 1, train))


class Down(nn.Module):
    """Halving block: the mean of two branches, 4x4 then 3x3 convolutions, and pooling then 1x1; all with batch norm.

    Attributes:
        features: Output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, h, w, C]` to `[b, h / 2, w / 2, features]`."""

        def activated(x: Array) -> Array:
            return nn.leaky_relu(normalise(x, "batch", train), 0.2)

        y = activated(_convolved(x, self.features, 4, train, stride=2))
        y = activated(_convolved(y, self.features, 3, train))
        return (y + activated(_convolved(_pooled(x, 2), self.features, 1, train))) / 2


class Decoder(nn.Module):
    """Decoder of the discriminator's maps: doubles the side at most `RECONSTRUCTED` times, up to that of the target.

    Attributes:
        channels: Channels of the images.
        width: Channels of the last map: 32 in the code.
        side: Side of the target.
    """

    channels: int
    width: float
    side: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, h, w, C]` to images `[b, H, W, channels]` in [-1, 1]."""
        for factor in (4, 2, 2, 1)[:RECONSTRUCTED]:
            if x.shape[1] < self.side:
                x = gated(normalise(_up(x, max(1, int(factor * self.width)), train), "batch", train))
        return jnp.tanh(_convolved(x, self.channels, 3, train))


class Noise(nn.Module):
    """Adds normal noise, one value per pixel, times a learnt strength that is 0 at first; none outside training."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps `[b, h, w, C]` to the same shape."""
        strength = self.param("strength", nn.initializers.zeros_init(), (), jnp.float32)
        if not train:
            return x
        keys = rng.per_example(self.make_rng("noise"), len(x))
        return x + (strength * rng.normal(keys, x[..., :1])).astype(x.dtype)


def gated(x: Array) -> Array:
    """Gated linear unit: the first half of the channels times the sigmoid of the second (arXiv:1612.08083)."""
    value, gate = jnp.split(x, 2, axis=-1)
    return value * nn.sigmoid(gate)


def _up(x: Array, channels: int, train: bool) -> Array:
    conv = Conv(2 * channels, 3, use_bias=False, kernel_init=INIT, resample="up")
    return layer(conv, "spectral", x, train)


def _convolved(x: Array, features: int, size: int, train: bool, stride: int = 1) -> Array:
    return layer(Conv(features, size, stride, use_bias=False, kernel_init=INIT), "spectral", x, train)


def _excited_by(number: int, maps: int, final: bool) -> int | None:
    """Returns the number of the map that excites map `number`, None if none does."""
    if number >= SKIP:
        return number - SKIP
    return 0 if final and maps > 1 else None


def _reversed_widths(side: int, last: int, width: int) -> list[int]:
    """Returns the channels of the discriminator's maps, from the largest down to the last one."""
    channels = []
    while side >= last:
        channels.append(max(1, 8 * width * last // side))
        side //= 2
    return channels


def _quarter(x: Array, corner: Array) -> Array:
    """Returns the quarter of each map `[b, h, w, C]` at its corner, 0 to 3."""
    height, width = x.shape[1] // 2, x.shape[2] // 2

    def one(x: Array, corner: Array) -> Array:
        start = (corner // 2 * height, corner % 2 * width, 0)
        return lax.dynamic_slice(x, start, (height, width, x.shape[-1]))

    return jax.vmap(one)(x, corner)


def _error(output: Array, target: Array) -> Array:
    """Returns the mean absolute error of each reconstruction, `[b]`, at its own size."""
    return jnp.mean(jnp.abs(output - _pooled(target, target.shape[1] // output.shape[1])), axis=(1, 2, 3))


def _pooled(x: Array, factor: int) -> Array:
    return nn.avg_pool(x, (factor, factor), (factor, factor)) if factor > 1 else x
