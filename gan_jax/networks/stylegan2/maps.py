"""Maps of StyleGAN2's networks: their sides, types of computation and activation."""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.checks import require
from gan_jax.networks.layers.sides import root
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


def channels(base: int, most: int, side: int, shape: tuple[int, ...]) -> int:
    """Returns the number of channels of a map of a side: base / side, and at most `most`.

    Raises:
        UserError: If the largest map, that of images `(H, W, C)`, would have none.
    """
    none = f"--channel-base {base}: maps of side {shape[0]} would have no channels; give at least {shape[0]}"
    require(lambda: base >= shape[0], none)
    return min(base // side, most)


def count(shape: tuple[int, ...]) -> int:
    """Returns the number of styles of images `(H, W, C)`: one for each convolution, and one for the last image."""
    return 2 * len(sides(shape))


def dtype_at(dtype: Any, side: int, shape: tuple[int, ...]) -> Any:
    """Returns the data type of computation at a side: `dtype` at the 4 highest resolutions of at least 8, else None."""
    return dtype if side >= max(8, 2 * shape[0] // 2**LOW) else None


def full(x: Array) -> Array:
    """Returns x in float32, or in its own type if that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def activate(x: Array, gain: float = 1.0) -> Array:
    """Returns leaky ReLU of x, times sqrt(2) and a gain, clipped at 256 times the gain."""
    return jnp.clip(nn.leaky_relu(x, 0.2) * (math.sqrt(2) * gain), -CLAMP * gain, CLAMP * gain)
