"""Residual blocks, for generators and discriminators; call them inside `nn.compact`.

A block is given its layers: `convolve(x, width, size, resample)`, a convolution of a square kernel of that size, and
`normalise(x)`, which may be the identity or conditional.
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.layers.conv import Resample
from gan_jax.types import Array

Convolve = Callable[[Array, int, int, Resample], Array]  # (x, width, size, resample) -> y
Normalise = Callable[[Array], Array]


def residual(
    x: Array,
    width: int,
    convolve: Convolve,
    normalise: Normalise,
    resample: Resample = "none",
    first: bool = False,
    hidden: int | None = None,
) -> Array:
    """Residual block: two 3x3 convolutions, and a 1x1 convolution as shortcut where sizes change.

    Maps double before the first convolution and halve after the second. The shortcut convolves at the smaller side,
    which is equivalent and cheaper.

    Args:
        x: Maps `[b, H, W, C]`.
        width: Output channels.
        convolve: The convolutions.
        normalise: Normalisation before each ReLU.
        resample: "up" doubles sides, "down" halves them.
        first: Whether `x` are images: the first block of a discriminator has no norm or ReLU in front.
        hidden: Channels between the convolutions; by default `width`.
    """
    y = x if first else nn.relu(normalise(x))
    y = convolve(y, hidden or width, 3, "up" if resample == "up" else "none")
    y = convolve(nn.relu(normalise(y)), width, 3, "down" if resample == "down" else "none")
    if resample == "none" and x.shape[-1] == width:
        return y + x
    if resample == "down":
        return y + convolve(halved(x), width, 1, "none")
    shortcut = convolve(x, width, 1, "none")
    return y + (doubled(shortcut) if resample == "up" else shortcut)


def bottleneck(x: Array, width: int, convolve: Convolve, normalise: Normalise, resample: Resample = "none") -> Array:
    """Residual block of BigGAN-deep (Brock et al. 2019, arXiv:1809.11096, fig. 16): four convolutions, few channels.

    1x1, 3x3, 3x3, 1x1, with a quarter of the larger width between them. The shortcut has no weights where channels
    become fewer: it drops the last ones. Where they become more, a 1x1 convolution makes only the additional ones.

    Args:
        x: Maps `[b, H, W, C]`.
        width: Output channels.
        convolve: The convolutions.
        normalise: Normalisation before each ReLU.
        resample: "up" doubles sides before the first 3x3 convolution, "down" halves them after the last ReLU.
    """
    hidden = max(x.shape[-1], width) // 4
    y = convolve(nn.relu(normalise(x)), hidden, 1, "none")
    y = convolve(nn.relu(normalise(y)), hidden, 3, "up" if resample == "up" else "none")
    y = convolve(nn.relu(normalise(y)), hidden, 3, "none")
    y, x = nn.relu(normalise(y)), x[..., :width]
    if resample == "up":
        x = doubled(x)
    if resample == "down":
        y, x = halved(y), halved(x)
    y = convolve(y, width, 1, "none")
    if (more := width - x.shape[-1]) > 0:
        x = jnp.concatenate([x, convolve(x, more, 1, "none")], axis=-1)
    return y + x


def doubled(x: Array) -> Array:
    """Doubles the sides of maps, each pixel becoming four."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def halved(x: Array) -> Array:
    """Halves the sides of maps, the mean of four pixels becoming one."""
    return nn.avg_pool(x, (2, 2), (2, 2))
