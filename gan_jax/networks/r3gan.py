"""The residual networks of R3GAN (Huang et al. 2024, arXiv:2501.05441), without normalisation.

As in the authors' code (github.com/brownvc/R3GAN, R3GAN/Networks.py), the generator's first map is a learnt basis of
side 4, weighted by the latent. Bottleneck blocks with grouped convolutions follow at each side, with doubling by the
FIR filter [1, 3, 3, 1] in between. The discriminator is the mirror image. For images of side m * 2^k the smallest maps
have side m.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.checks import require
from gan_jax.networks.layers import fir
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.sides import root
from gan_jax.types import Array

LOW = 4  # number of the largest sides that are computed in the type `low`
GAIN = math.sqrt(2 / (1 + 0.2**2))
"""Gain of a leaky ReLU of slope 0.2, by which a standard normal input gives an output of mean square 1."""


class Block(nn.Module):
    """Bottleneck block: x + 1x1(a(grouped 3x3(a(1x1(x))))), a a bias and a leaky ReLU of slope 0.2.

    Fix-up initialisation (Zhang et al. 2019, arXiv:1901.09321): the last convolution is 0 at first, so that the block
    is the identity, and the others are scaled by depth^(-1/4).

    Attributes:
        depth: Number of blocks in the network.
        expansion: Channels between the convolutions, in multiples of the input's.
        group_width: Channels of a group of the 3x3 convolution.
        dtype: Data type of computation; None for that of the parameters.
    """

    depth: int
    expansion: int = 2
    group_width: int = 16
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, h, w, C]` to the same shape."""
        features = self.expansion * x.shape[-1]
        fits = features % self.group_width == 0 or features < self.group_width  # then there is one group
        require(lambda: fits, f"group_width={self.group_width} does not divide the {features} channels of a block")
        groups = max(1, features // self.group_width)
        init = _normal(GAIN * self.depth**-0.25)
        y = nn.leaky_relu(Conv(features, 1, kernel_init=init, dtype=self.dtype)(x), 0.2)
        y = nn.leaky_relu(Conv(features, 3, kernel_init=init, dtype=self.dtype, groups=groups)(y), 0.2)
        zero = nn.initializers.zeros_init()
        return x + Conv(x.shape[-1], 1, use_bias=False, kernel_init=zero, dtype=self.dtype)(y)


class Basis(nn.Module):
    """A learnt map.

    Attributes:
        init: Its initialiser.
    """

    init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, shape: tuple[int, ...]) -> Array:
        """Returns the map, of this shape."""
        return self.param("kernel", self.init, shape, jnp.float32)


class Layout(NamedTuple):
    """The sizes of both networks.

    Attributes:
        shape: `(H, W, C)` of images; see `layers.sides` for the sides that fit.
        width: Channels of maps up to side `full_width_side`; halved with each doubling of the side beyond it.
        full_width_side: Largest side of maps with all channels.
        blocks: Residual blocks per side.
        expansion: As in `Block`.
        group_width: As in `Block`.
        classes: Number of classes that both networks are conditioned on; 0 for none.
    """

    shape: tuple[int, ...]
    width: int = 768
    full_width_side: int = 32
    blocks: int = 2
    expansion: int = 2
    group_width: int = 16
    classes: int = 0

    @property
    def channels(self) -> dict[int, int]:
        """The sides of the maps, from the smallest up, and their channels."""
        side, channels = root(self.shape), {}
        while side <= self.shape[0]:
            halvings = max(0, math.ceil(math.log2(side / self.full_width_side)))
            narrow = f"width={self.width}: it is halved {halvings} times; give at least {2**halvings}"
            require(lambda n=halvings: self.width >= 2**n, narrow)
            channels[side] = self.width // 2**halvings
            side *= 2
        return channels

    def block(self, side: int, i: int, dtype: Any) -> Block:
        """Returns the i-th block of a side."""
        depth = self.blocks * len(self.channels)
        return Block(depth, self.expansion, self.group_width, dtype, name=f"block_{side}_{i}")

    def dtype(self, side: int, low: Any) -> Any:
        """Returns the data type of computation at a side: `low`, or None for that of the parameters."""
        return low if side > root(self.shape) and side * 2**LOW > self.shape[0] else None


class Generator(nn.Module):
    """Generator: a learnt smallest map, weighted by the latent, then blocks at each side, without a final tanh.

    Attributes:
        layout: Its sizes. With classes, the latent ends in a one-hot class, which is embedded in as many dimensions as
            the rest of the latent has.
        low: Data type of computation at the 4 largest sides, but not at the smallest; None for that of the parameters.
    """

    layout: Layout
    low: Any = None

    @nn.compact
    def __call__(self, latents: Array, train: bool) -> Array:
        """Maps `[b, size]` to `[b, H, W, C]`, about in [-1, 1] once trained."""
        layout, dtype = self.layout, None
        (side, width), *_ = layout.channels.items()
        if layout.classes:
            noise, label = jnp.split(latents, [latents.shape[1] - layout.classes], axis=1)
            latents = jnp.concatenate([noise, _dense(noise.shape[1], "embedding")(label)], axis=1)
        basis = Basis(nn.initializers.normal(1.0), name="basis")((side, side, width))
        x = basis * _dense(width, "weights")(latents)[:, None, None]
        for side, width in layout.channels.items():
            dtype = layout.dtype(side, self.low)
            x = x.astype(dtype or x.dtype)
            if side > x.shape[1]:
                if width != x.shape[-1]:
                    x = _pointwise(width, dtype, f"narrow_{side}")(x)
                x = fir.double(x)
            for i in range(layout.blocks):
                x = layout.block(side, i, dtype)(x)
        return _pointwise(layout.shape[2], dtype, "to_images")(x).astype(latents.dtype)


class Discriminator(nn.Module):
    """Discriminator: blocks at each side, then the inner product with a learnt smallest map, and a dense layer.

    Attributes:
        layout: Its sizes. With classes, the logit is the inner product of `width` outputs and the label's embedding.
        low: As in `Generator`.
    """

    layout: Layout
    low: Any = None

    @nn.compact
    def __call__(self, images: Array, *labels: Array, train: bool) -> Array:
        """Maps `[b, H, W, C]`, and labels `[b]` if there are classes, to logits `[b]`."""
        layout, dtype = self.layout, self.layout.dtype(self.layout.shape[0], self.low)
        x = _pointwise(layout.channels[layout.shape[0]], dtype, "from_images")(images)
        for side, width in reversed(layout.channels.items()):
            if side < x.shape[1]:
                x = fir.halve(x)
                if width != x.shape[-1]:
                    x = _pointwise(width, dtype, f"widen_{side}")(x)
            dtype = layout.dtype(side, self.low)
            x = x.astype(dtype or images.dtype)
            for i in range(layout.blocks):
                x = layout.block(side, i, dtype)(x)
        basis = Basis(nn.initializers.normal(1 / x.shape[1]), name="basis")(x.shape[1:])
        outputs = x.shape[-1] if layout.classes else 1
        y = _dense(outputs, "weights")(jnp.sum(x * basis, axis=(1, 2)))
        if not layout.classes:
            return y[:, 0]
        codes = jax.nn.one_hot(labels[0].astype(int), layout.classes, dtype=y.dtype)
        return jnp.sum(y * _dense(outputs, "embedding", 1 / math.sqrt(outputs))(codes), axis=1)


def _pointwise(features: int, dtype: Any, name: str) -> Conv:
    return Conv(features, 1, use_bias=False, kernel_init=_normal(1.0), dtype=dtype, name=name)


def _dense(features: int, name: str, gain: float = 1.0) -> nn.Dense:
    return nn.Dense(features, use_bias=False, kernel_init=_normal(gain), name=name)


def _normal(gain: float) -> nn.initializers.Initializer:
    """Returns the initialiser N(0, gain^2 / fan-in)."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")
