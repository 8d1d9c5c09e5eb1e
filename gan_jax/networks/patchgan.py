"""PatchGAN: a discriminator with a logit for each patch (Isola et al. 2017, arXiv:1611.07004)."""

import math
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.norm import INIT, AnyNorm, initialiser, keeps_bias, layer, normalise
from gan_jax.networks.layers.sides import MAX_WIDENING, refused, widths
from gan_jax.types import Array

Field = Literal[1, 16, 34, 70, "image"]
Window = tuple[int, int]  # size and stride


def windows(halvings: int) -> tuple[Window, ...]:
    """Returns the windows of the paper's discriminator with this many layers of stride 2; 0 gives single pixels."""
    return ((4, 2),) * halvings + ((4, 1), (4, 1)) if halvings else ((1, 1),) * 3


def receptive_field(layers: Sequence[Window]) -> int:
    """Returns the side of the receptive field of stacked convolutions: 1 + sum_i (k_i - 1) prod_{j<i} s_j."""
    return 1 + sum((size - 1) * math.prod(stride for _, stride in layers[:i]) for i, (size, _) in enumerate(layers))


HALVINGS = {receptive_field(windows(halvings)): halvings for halvings in range(4)}  # by receptive field
LAST = 4  # with receptive_field="image", sides are halved while they are larger than this


class PatchGAN(nn.Module):
    """Discriminator with one logit for each patch of an image, or for the whole image.

    A logit depends on nothing outside its patch, except through norms: the moments of "instance", "layer" and "batch"
    are taken over whole maps.

    Attributes:
        width: Channels of the first map; each later map has twice as many, up to `max_widening * width`.
        receptive_field: Side of the patches: 1 (PixelGAN), 16, 34 or 70 pixels; or "image" for one logit per image,
            from maps of side 4 or less.
        norm: Normalisation of all layers but the first and the last.
        with_features: Whether to return `{"logits", "features"}` rather than logits alone; the features are the last
            layer's input, flattened.
        max_widening: Cap on the channels of a map, in multiples of `width`.
    """

    width: int = 64
    receptive_field: Field = 70
    norm: AnyNorm = "instance"
    with_features: bool = False
    max_widening: int = MAX_WIDENING

    @nn.compact
    def __call__(self, images: Array, *conditions: Array, train: bool) -> Array | dict[str, Array]:
        """Maps `[b, H, W, C]` to logits `[b, h, w]` (`[b]` for "image"), and features `[b, F]` if `with_features`.

        Each of `conditions`, `[b, H, W, ...]`, such as the source of a translation, is concatenated as channels.
        """
        for other in conditions:
            if other.shape[:3] != images.shape[:3]:
                raise UserError(
                    f"condition has shape {other.shape}, images {images.shape}; make batch, height and width equal"
                )
        x = jnp.concatenate([images, *conditions], axis=-1)
        hidden, last = _windows(self.receptive_field, *x.shape[1:3])
        channels = widths(self.width, len(hidden), self.max_widening)
        for depth, window in enumerate(hidden):
            bias = depth == 0 or keeps_bias(self.norm)
            conv = _conv(channels[depth], window, bias, initialiser(self.norm))
            x = layer(conv, self.norm, x, train)
            x = nn.leaky_relu(normalise(x, self.norm, train) if depth else x, 0.2)
        features = x.reshape(len(x), -1)
        if last is None:
            logits = layer(nn.Dense(1, kernel_init=INIT), self.norm, features, train)[:, 0]
        else:
            logits = layer(_conv(1, last, True, INIT), self.norm, x, train)[..., 0]
        return {"logits": logits, "features": features} if self.with_features else logits


def _conv(features: int, window: Window, bias: bool, init: nn.initializers.Initializer) -> Conv:
    """Returns a convolution padded as in the paper: by 1 around 4x4 windows, so that stride 2 halves sides."""
    size, stride = window
    padding = ((1, 1), (1, 1)) if size == 4 else "VALID"
    return Conv(features, size, stride, padding, use_bias=bias, kernel_init=init)


def _windows(field: Field, height: int, width: int) -> tuple[Sequence[Window], Window | None]:
    """Returns the windows of the hidden layers and of the last layer; None if the last layer is dense."""
    side = min(height, width)
    if field == "image":
        if side <= LAST:
            rule = f"with receptive_field='image' maps are halved down to side {LAST}"
            raise refused((height, width, 1), rule, [LAST + 1], "receptive_field=1")
        halvings = next(count for count in range(1, side) if side >> count <= LAST)
        return windows(halvings)[:halvings], None
    if field not in HALVINGS:
        raise UserError(f"receptive_field={field!r}: give {', '.join(map(str, HALVINGS))} or 'image'")
    if side < _least(field):
        fitting = " or ".join(str(field) for field in HALVINGS if _least(field) <= side)
        rule = f"receptive_field={field} needs sides of at least {_least(field)}"
        raise refused((height, width, 1), rule, [_least(field)], f"receptive_field={fitting}")
    *hidden, last = windows(HALVINGS[field])
    return hidden, last


def _least(field: int) -> int:
    """Returns the least side of images: 3 after the halvings, as the two layers that follow each lose 1."""
    return 3 * 2 ** HALVINGS[field] if HALVINGS[field] else 1
