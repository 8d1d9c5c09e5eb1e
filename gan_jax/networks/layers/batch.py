"""Layers whose output for an example depends on the rest of the batch, or on a fixed reference batch.

Statistics are of the global batch, so outputs do not depend on the number of devices.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array

Minibatch = Literal["none", "deviation", "discrimination"]


def minibatch_layer(x: Array, kind: Minibatch) -> Array:
    """Appends minibatch statistics to each example's activations; call it inside `nn.compact`.

    Args:
        x: Activations `[b, ..., features]`.
        kind: "deviation" for `minibatch_deviation`; "discrimination" for `MinibatchDiscrimination`, on `x` flattened;
            "none" returns `x`.
    """
    if kind == "deviation":
        return minibatch_deviation(x)
    if kind == "discrimination":
        return MinibatchDiscrimination()(x.reshape(len(x), -1))
    if kind != "none":
        raise UserError(f"minibatch={kind!r}: give 'none', 'deviation' or 'discrimination'")
    return x


def minibatch_deviation(x: Array, group: int = 4, channels: int = 1) -> Array:
    """Appends the minibatch standard deviation within groups (Karras et al. 2018, arXiv:1710.10196).

    mean over positions and features of sqrt(var over the group of x + 1e-8), the same for the whole group and at every
    position. Groups are strided as in StyleGAN2 (Karras et al. 2020, arXiv:1912.04958): with M groups, example i is in
    group i mod M.

    Args:
        x: Activations `[b, ..., features]`: maps or plain features.
        group: Examples in a group, at least 1. A smaller global batch is one group; a larger one must be a multiple.
        channels: Channels to append, each the mean over features / channels consecutive features; must divide them.

    Returns:
        `[b, ..., features + channels]`.

    Raises:
        UserError: If `group` does not divide the global batch, or `channels` the features.
    """
    everything = parallel.gather(x)
    size, features = len(everything), x.shape[-1]
    if group < 1 or size % min(group, size):
        raise UserError(
            f"group={group} does not divide the global batch of {size}; make --batch-size a multiple of the group"
        )
    if channels < 1 or features % channels:
        raise UserError(f"channels={channels} does not divide the {features} features; give a divisor of {features}")
    group = min(group, size)
    groups = everything.reshape(group, size // group, -1, channels, features // channels)
    deviation = jnp.mean(jnp.sqrt(jnp.var(groups, axis=0) + 1e-8), axis=(1, 3))
    column = parallel.local(jnp.tile(deviation, (group, 1)))
    column = column.reshape(len(x), *[1] * (x.ndim - 2), channels)
    return jnp.concatenate([x, jnp.broadcast_to(column, (*x.shape[:-1], channels))], axis=-1)


class MinibatchDiscrimination(nn.Module):
    """Minibatch discrimination: appends each example's closeness to the batch (Salimans et al. 2016, arXiv:1606.03498).

    Section 3.2: o_ik = sum_j exp(-|M_ik - M_jk|_1), M = x T. The sum is over the global batch and includes j = i, a
    constant 1, as in the paper.

    Attributes:
        features: Number of closeness features to append.
        kernel_size: Dimensions of the space in which each is measured.
    """

    features: int = 100
    kernel_size: int = 5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps `[b, F]` to `[b, F + features]`."""
        rows = nn.Dense(self.features * self.kernel_size, use_bias=False)(x)
        rows = rows.reshape(-1, self.features, self.kernel_size)
        distances = jnp.sum(jnp.abs(rows[:, None] - parallel.gather(rows)), axis=-1)
        return jnp.concatenate([x, jnp.sum(jnp.exp(-distances), axis=1)], axis=-1)


class VirtualBatchNorm(nn.Module):
    """Virtual batch normalisation (Salimans et al. 2016, arXiv:1606.03498, sec. 3.5).

    y = scale (x - mean) / sqrt(variance + epsilon) + bias, with the moments of R fixed references and the example, each
    of weight 1 / (R + 1). References are normalised by the moments of the references alone.

    It needs `with_reference`, which puts the references first in the batch. It has no running statistics, and is the
    same function in training and evaluation.

    Attributes:
        epsilon: Added to the variance.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, references: int | None = None) -> Array:
        """Normalises `[references + b, ..., features]`; `with_reference` passes the number of references."""
        if references is None:
            raise UserError("norm='virtual' needs a reference batch; wrap the network in networks.with_reference")
        every, within = tuple(range(x.ndim - 1)), tuple(range(1, x.ndim - 1))
        mean, variance = jnp.mean(x[:references], every), jnp.var(x[:references], every)
        own_mean, own_variance = jnp.mean(x, within, keepdims=True), jnp.var(x, within, keepdims=True)
        weight = jnp.where(jnp.arange(x.shape[0]) < references, 0, 1 / (references + 1)).astype(x.dtype)
        weight = weight.reshape(-1, *[1] * (x.ndim - 1))
        gap = own_mean - mean
        # variance of a mixture; E x^2 - (E x)^2 would cancel
        variance = (1 - weight) * variance + weight * own_variance + weight * (1 - weight) * gap**2
        scale = self.param("scale", nn.initializers.ones_init(), x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), x.shape[-1:], jnp.float32)
        return (x - mean - weight * gap) * jax.lax.rsqrt(variance + self.epsilon) * scale + bias
