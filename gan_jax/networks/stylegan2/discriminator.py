"""StyleGAN2's discriminator: residual blocks that halve the sides; labels enter by projection."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers import fir
from gan_jax.networks.layers.batch import minibatch_deviation
from gan_jax.networks.layers.equalised import EqualisedConv, EqualisedDense
from gan_jax.networks.stylegan2.maps import activate, channels, dtype_at, full, sides
from gan_jax.networks.stylegan2.styles import Mapping
from gan_jax.types import Array


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
        dtype: Data type of computation at the highest resolutions, such as bfloat16.
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
            dtype, features = dtype_at(self.dtype, side, self.shape), channels(self.base, self.most, side, self.shape)
            after, x = (
                channels(self.base, self.most, side // 2, self.shape),
                full(x) if dtype is None else x.astype(dtype),
            )
            if side == each[-1]:
                x = activate(EqualisedConv(features, 1, dtype=dtype, name="from_image")(x))
            x = HalvingBlock(after, self.residual, dtype, name=f"block_{side}")(x)
        features = x.shape[-1]
        x = minibatch_deviation(full(x), self.group)
        x = activate(EqualisedConv(features, 3, name="conv")(x)).reshape(len(x), -1)
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
        dtype: Data type of computation; None for that of the parameters.
    """

    features: int
    residual: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, H, W, C]` to `[b, H / 2, W / 2, features]`."""
        gain = math.sqrt(0.5) if self.residual else 1.0
        y = activate(EqualisedConv(x.shape[-1], 3, dtype=self.dtype, name="conv_0")(x))
        conv = EqualisedConv(self.features, 3, 2, "VALID", dtype=self.dtype, name="conv_1")
        y = activate(conv(fir.smooth(y, (2, 2))), gain=gain)
        if not self.residual:
            return y
        skip = EqualisedConv(self.features, 1, use_bias=False, dtype=self.dtype, name="skip")
        return y + gain * skip(fir.halve(x))
