"""StyleGAN2's networks (Karras et al. 2020, arXiv:1912.04958), in the form of stylegan2-ada-pytorch.

Latents become styles (`networks.styles`), which modulate each convolution of the synthesis network. Images are squares
whose side is 4, 5, 6 or 7 times a power of 2; in the papers it is a power of 2. All layers have equalised learning
rates, and all activations are leaky ReLUs times sqrt(2), clipped at +-256 after convolutions.

`dtype` is the type of computation at the 4 highest resolutions; by default that of the parameters. As in Karras et al.
2020 (arXiv:2006.06676), the mapping network, the smaller maps, the sum of the images and the discriminator's last
layers stay in float32. Such a network is not wrapped by `networks.mixed`, which would round all parameters.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.networks.layers import fir
from gan_jax.networks.layers.batch import minibatch_deviation
from gan_jax.networks.layers.equalised import EqualisedConv, EqualisedDense
from gan_jax.networks.layers.modulated import ModulatedConv
from gan_jax.networks.layers.noise import example_keys
from gan_jax.networks.layers.sides import root
from gan_jax.networks.styles import Mapping, Styles, full
from gan_jax.types import Array

CLAMP = 256.0  # "conv_clamp" of the official code
LOW = 4  # number of the highest resolutions that are computed in `dtype`


def sides(shape: tuple[int, ...]) -> list[int]:
    """Returns the sides of maps for images `(H, W, C)`: m, 2 m, 4 m, ..., H, with m from 4 to 7.

    Raises:
        UserError: See `layers.sides.root`.
    """
    first = root(shape)
    return [first * 2**i for i in range((shape[0] // first).bit_length())]


def _channels(base: int, most: int, side: int) -> int:
    """Returns the channels of a map of a side."""
    few = f"--channel-base {base}: a map of side {side} would have no channels; give at least {side}"
    require(lambda: base >= side, few)
    return min(base // side, most)


def count(shape: tuple[int, ...]) -> int:
    """Returns the number of styles of images `(H, W, C)`: one for each convolution, and one for the last image."""
    return 2 * len(sides(shape))


class Layer(nn.Module):
    """Convolution of the synthesis network: modulated, with noise, bias and activation.

    The noise has one value per pixel, shared by all channels, times a learnt strength. In training it is drawn for each
    example; in evaluation it is the same for all, drawn once and stored as a running statistic.

    Attributes:
        features: Output channels.
        upsample: Whether to double the sides.
        dtype: Type of computation; None for that of the parameters.
    """

    features: int
    upsample: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, style: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]` and the layer's style `[b, width]` to `[b, H', W', features]`."""
        styles = EqualisedDense(x.shape[-1], bias=1.0, name="affine")(style)
        conv = ModulatedConv(self.features, 3, upsample=self.upsample, dtype=self.dtype, name="conv")
        x = conv(x, styles)
        strength = self.param("noise_strength", nn.initializers.zeros_init(), (), jnp.float32)
        constant = self.variable(
            "batch_stats", "noise", lambda: jax.random.normal(self.make_rng("params"), x.shape[1:3], jnp.float32)
        )
        noise = rng.normal(example_keys(self, len(x)), x[..., 0]) if train else constant.value[None]
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return _activate(x + (noise * strength).astype(x.dtype)[..., None] + bias.astype(x.dtype))


class ToImage(nn.Module):
    """Image at the resolution of a map: a modulated 1x1 convolution without demodulation."""

    channels: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, style: Array) -> Array:
        """Maps `[b, H, W, C]` and a style `[b, width]` to `[b, H, W, channels]`, float32."""
        styles = EqualisedDense(x.shape[-1], bias=1.0, name="affine")(style)
        conv = ModulatedConv(self.channels, 1, demodulate=False, dtype=self.dtype, name="conv")
        x = conv(x, styles)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.channels,), jnp.float32)
        return full(jnp.clip(x + bias.astype(x.dtype), -CLAMP, CLAMP))


class Block(nn.Module):
    """Block of the synthesis network: two convolutions, of which the first doubles the sides, and an image.

    The first block has a learnt constant in place of the first convolution.

    Attributes:
        features: Channels.
        channels: Channels of images.
        side: Height and width of its maps.
        dtype: Type of computation; None for that of the parameters.
    """

    features: int
    channels: int
    side: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array | None, image: Array | None, styles: Array, train: bool) -> tuple[Array, Array]:
        """Returns a map `[b, H, W, features]` and an image `[b, H, W, channels]`, from those of the block before."""
        if x is None:
            constant = self.param(
                "constant", nn.initializers.normal(1.0), (self.side, self.side, self.features), jnp.float32
            )
            x = jnp.broadcast_to(constant, (styles.shape[0], *constant.shape))
        else:
            x = Layer(self.features, upsample=True, dtype=self.dtype, name="conv_0")(x, styles[:, 0], train)
        x = Layer(self.features, dtype=self.dtype, name="conv_1")(x, styles[:, -2], train)
        new = ToImage(self.channels, dtype=self.dtype, name="image")(x, styles[:, -1])
        return x, new if image is None else fir.double(image) + new


class Synthesis(nn.Module):
    """Synthesis network with skip connections: its output is the sum of images at all resolutions, enlarged.

    Attributes:
        shape: `(H, W, C)` of images.
        base: Channels of the map of side s are base / s, up to `most`.
        most: Most channels of a map.
        dtype: Type of computation at the highest resolutions, such as bfloat16.
    """

    shape: tuple[int, ...]
    base: int
    most: int
    dtype: Any = None

    @nn.compact
    def __call__(self, styles: Array, train: bool) -> Array:
        """Maps styles `[b, layers, width]` to images `[b, H, W, C]`, roughly in [-1, 1]."""
        x, image, start = None, None, 0
        for side in sides(self.shape):
            features, dtype = _channels(self.base, self.most, side), _dtype(self.dtype, side, self.shape)
            taken = 2 if x is None else 3  # the image's style is also the next block's first
            block = Block(features, self.shape[2], side, dtype, name=f"block_{side}")
            x, image = block(x, image, styles[:, start : start + taken], train)
            start += taken - 1
        assert image is not None
        return image


class Generator(nn.Module):
    """StyleGAN2's generator.

    Attributes:
        shape: `(H, W, C)` of images.
        width: Dimensions of styles.
        depth: Layers of the mapping network.
        base: See `Synthesis`.
        most: Likewise.
        classes: See `Styles`, as are the next three.
        mixing: Probability of style mixing, in training.
        psi: Truncation, in evaluation.
        cutoff: Number of layers that are truncated; None for all.
        dtype: Type of computation at the highest resolutions, such as bfloat16.
    """

    shape: tuple[int, ...]
    width: int = 512
    depth: int = 8
    base: int = 32768
    most: int = 512
    classes: int = 0
    mixing: float = 0.9
    psi: float = 1.0
    cutoff: int | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps latents, with one-hot labels last, `[b, size + classes]`, to images `[b, H, W, C]`."""
        mapped = (self.width, self.depth, self.classes, self.mixing, self.psi, self.cutoff)
        styles = Styles(count(self.shape), *mapped, name="styles")(latents, train)
        return Synthesis(self.shape, self.base, self.most, self.dtype, name="synthesis")(styles, train)


class Discriminator(nn.Module):
    """StyleGAN2's discriminator: blocks that halve the sides, minibatch deviation, two layers; labels by projection.

    Attributes:
        shape: `(H, W, C)` of images.
        base: See `Synthesis`.
        most: Likewise.
        classes: Number of classes of the labels that it takes; 0 for none.
        depth: Layers of the mapping network of labels.
        residual: Whether blocks have a skip connection; ADA's configuration for CIFAR-10 has none.
        group: Examples in a group of the minibatch deviation.
        dtype: Type of computation at the highest resolutions, such as bfloat16.
    """

    shape: tuple[int, ...]
    base: int = 32768
    most: int = 512
    classes: int = 0
    depth: int = 8
    residual: bool = True
    group: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, images: Array, *labels: Array, train: bool) -> Array:
        """Maps images `[b, H, W, C]`, and with `classes` labels `[b]`, to logits `[b]`."""
        if len(labels) != bool(self.classes):
            raise UserError(f"classes={self.classes}: this discriminator takes {'' if self.classes else 'no '}labels")
        each = sides(self.shape)
        x = images
        for side in reversed(each[1:]):
            dtype, features = _dtype(self.dtype, side, self.shape), _channels(self.base, self.most, side)
            after, x = _channels(self.base, self.most, side // 2), full(x) if dtype is None else x.astype(dtype)
            if side == each[-1]:
                x = _activate(EqualisedConv(features, 1, dtype=dtype, name="from_image")(x))
            x = HalvingBlock(after, self.residual, dtype, name=f"block_{side}")(x)
        features = x.shape[-1]
        x = minibatch_deviation(full(x), self.group)
        x = _activate(EqualisedConv(features, 3, name="conv")(x)).reshape(len(x), -1)
        x = math.sqrt(2) * nn.leaky_relu(EqualisedDense(features, name="dense")(x), 0.2)
        x = EqualisedDense(features if self.classes else 1, name="out")(x)
        if not labels:
            return x[:, 0]
        codes = jax.nn.one_hot(labels[0].astype(int), self.classes, dtype=x.dtype)
        label = Mapping(features, self.depth, name="mapping")(None, codes)
        return jnp.sum(x * label, axis=1) / math.sqrt(features)


class HalvingBlock(nn.Module):
    """Block of the discriminator: two convolutions, of which the second halves the sides, and a skip connection.

    Attributes:
        features: Output channels.
        residual: Whether there is a skip connection; with it the sum is divided by sqrt(2).
        dtype: Type of computation; None for that of the parameters.
    """

    features: int
    residual: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, H, W, C]` to `[b, H / 2, W / 2, features]`."""
        gain = math.sqrt(0.5) if self.residual else 1.0
        y = _activate(EqualisedConv(x.shape[-1], 3, dtype=self.dtype, name="conv_0")(x))
        conv = EqualisedConv(self.features, 3, 2, "VALID", dtype=self.dtype, name="conv_1")
        y = _activate(conv(fir.smooth(y, (2, 2))), gain=gain)
        if not self.residual:
            return y
        skip = EqualisedConv(self.features, 1, use_bias=False, dtype=self.dtype, name="skip")
        return y + gain * skip(fir.halve(x))


def _activate(x: Array, gain: float = 1.0) -> Array:
    """Returns leaky ReLU of x, times sqrt(2) and a gain, clipped at 256 times the gain."""
    return jnp.clip(nn.leaky_relu(x, 0.2) * (math.sqrt(2) * gain), -CLAMP * gain, CLAMP * gain)


def _dtype(dtype: Any, side: int, shape: tuple[int, ...]) -> Any:
    """Returns the type of computation at a side: `dtype` at the highest resolutions, from 8 on."""
    return dtype if side >= max(8, 2 * shape[0] // 2**LOW) else None
