"""StyleGAN2's generator: styles modulate each convolution of the synthesis network."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import rng
from gan_jax.networks.layers import fir
from gan_jax.networks.layers.equalised import EqualisedDense
from gan_jax.networks.layers.modulated import ModulatedConv
from gan_jax.networks.layers.noise import example_keys
from gan_jax.networks.stylegan2.maps import CLAMP, activate, channels, count, dtype_at, full, sides
from gan_jax.networks.stylegan2.styles import Styles
from gan_jax.types import Array


class Layer(nn.Module):
    """Convolution of the synthesis network: modulated, with noise, bias and activation.

    The noise has one value per pixel, shared by all channels, times a learnt strength. In training it is drawn for each
    example; in evaluation it is the same for all, drawn once and stored as a running statistic.

    Attributes:
        features: Output channels.
        upsample: Whether to double the sides.
        dtype: Data type of computation; None for that of the parameters.
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
        return activate(x + (noise * strength).astype(x.dtype)[..., None] + bias.astype(x.dtype))


class ToImage(nn.Module):
    """Converts a map to an image of its resolution: a modulated 1x1 convolution without demodulation."""

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
        dtype: Data type of computation; None for that of the parameters.
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
        dtype: Data type of computation at the highest resolutions, such as bfloat16.
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
            features, dtype = channels(self.base, self.most, side, self.shape), dtype_at(self.dtype, side, self.shape)
            number = 2 if x is None else 3  # styles of the block; the image's is also the next block's first
            block = Block(features, self.shape[2], side, dtype, name=f"block_{side}")
            x, image = block(x, image, styles[:, start : start + number], train)
            start += number - 1
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
        classes: Number of classes; this and the next three are those of `Styles`.
        mixing: Probability of style mixing, in training.
        psi: Truncation, in evaluation.
        cutoff: Number of layers that are truncated; None for all.
        dtype: Data type of computation at the highest resolutions, such as bfloat16.
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
