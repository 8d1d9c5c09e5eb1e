"""Inception-v3 of 2015-12-05, the network of published Frechet distances and Inception scores.

Inception-v3: Szegedy et al. 2015, arXiv:1512.00567. The graph used for scores differs from the paper's and from
torchvision's: average pooling excludes padding, and the last block uses max pooling where the paper averages. Batch
norm is folded into the preceding convolution.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from gan_jax.networks.layers.conv import Conv, Padding, Pair
from gan_jax.types import Array

CLASSES = 1008


class Net(nn.Module):
    """Inception-v3: images to features and logits; layers have the names of PyTorch's weights."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Maps `[b, 299, 299, 3]` in [-1, 1] to features `[b, 2048]` and logits without bias `[b, 1008]`."""
        x = _unit(x, "Conv2d_1a_3x3", 32, 3, 2)
        x = _unit(x, "Conv2d_2a_3x3", 32, 3, padding="VALID")
        x = _unit(x, "Conv2d_2b_3x3", 64, 3)
        x = _unit(_halved(x), "Conv2d_3b_1x1", 80)
        x = _halved(_unit(x, "Conv2d_4a_3x3", 192, 3, padding="VALID"))
        for name, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = Mixed(partial(_a, pooled=pooled), name=name)(x)
        x = Mixed(_b, name="Mixed_6a")(x)
        for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = Mixed(partial(_c, width=width), name=name)(x)
        x = Mixed(_d, name="Mixed_7a")(x)
        x = Mixed(partial(_e, pool=average), name="Mixed_7b")(x)
        x = Mixed(partial(_e, pool=maximum), name="Mixed_7c")(x)
        x = x.mean((1, 2))
        return x, nn.Dense(CLASSES, use_bias=False, name="fc")(x)


class Mixed(nn.Module):
    """Inception block: concatenates the outputs of several branches."""

    branches: Callable[[Array], list[Array]]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, H, W, C]` to `[b, H', W', C']`."""
        return jnp.concatenate(self.branches(x), -1)


def _a(x: Array, pooled: int) -> list[Array]:
    """Branches of a block at 35x35: windows of 1x1, 5x5, two 3x3, and pooling."""
    return [
        _unit(x, "branch1x1", 64),
        _chain(x, "branch5x5", (48, 1), (64, 5)),
        _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3)),
        _unit(average(x), "branch_pool", pooled),
    ]


def _b(x: Array) -> list[Array]:
    """Branches of the block that halves 35x35."""
    return [
        _unit(x, "branch3x3", 384, 3, 2),
        _chain(x, "branch3x3dbl", (64, 1), (96, 3), (96, 3, 2)),
        _halved(x),
    ]


def _c(x: Array, width: int) -> list[Array]:
    """Branches of a block at 17x17: windows of 1x1, 7x7 factorised into 1x7 and 7x1, and pooling."""
    row, column = (1, 7), (7, 1)
    return [
        _unit(x, "branch1x1", 192),
        _chain(x, "branch7x7", (width, 1), (width, row), (192, column)),
        _chain(x, "branch7x7dbl", (width, 1), (width, column), (width, row), (width, column), (192, row)),
        _unit(average(x), "branch_pool", 192),
    ]


def _d(x: Array) -> list[Array]:
    """Branches of the block that halves 17x17."""
    return [
        _chain(x, "branch3x3", (192, 1), (320, 3, 2)),
        _chain(x, "branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)),
        _halved(x),
    ]


def _e(x: Array, pool: Callable[[Array], Array]) -> list[Array]:
    """Branches of a block at 8x8: windows of 1x1, 3x3 (the last as parallel 1x3 and 3x1), and pooling."""
    once, twice = _unit(x, "branch3x3_1", 384), _chain(x, "branch3x3dbl", (448, 1), (384, 3))
    return [
        _unit(x, "branch1x1", 320),
        _unit(once, "branch3x3_2a", 384, (1, 3)),
        _unit(once, "branch3x3_2b", 384, (3, 1)),
        _unit(twice, "branch3x3dbl_3a", 384, (1, 3)),
        _unit(twice, "branch3x3dbl_3b", 384, (3, 1)),
        _unit(pool(x), "branch_pool", 192),
    ]


def average(x: Array) -> Array:
    """Average-pools 3x3 windows of images `[b, H, W, C]` at stride 1, without padding values at the border."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def maximum(x: Array) -> Array:
    """Max-pools 3x3 windows of images `[b, H, W, C]` at stride 1, without padding values at the border."""
    return nn.max_pool(x, (3, 3), (1, 1), "SAME")


def _halved(x: Array) -> Array:
    return nn.max_pool(x, (3, 3), (2, 2))


def _chain(x: Array, name: str, *steps: tuple[Any, ...]) -> Array:
    """Applies a sequence of units, each given by its features, size and stride."""
    for number, step in enumerate(steps, 1):
        x = _unit(x, f"{name}_{number}", *step)
    return x


def _unit(
    x: Array, name: str, features: int, size: int | Pair = 1, stride: int = 1, padding: Padding | None = None
) -> Array:
    """Convolution with folded batch norm, and ReLU; by default "SAME" padding at stride 1, else "VALID"."""
    padding = padding or ("SAME" if stride == 1 else "VALID")
    return nn.relu(Conv(features, size, stride, padding, name=name)(x))
