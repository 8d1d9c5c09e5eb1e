"""Packing: discriminators of several examples at once."""

from typing import Any

import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.types import Array, Network, PyTree


def packed(network: Network, count: int) -> Network:
    """Makes a discriminator of packs of examples, as in PacGAN (Lin et al. 2018, arXiv:1712.04086).

    logit_p = D(x_(p count), ..., x_(p count + count - 1)), the examples of a pack concatenated along their last axis.

    There is one logit, and one row of every other output, per pack. Packs do not depend on the number of devices, as
    long as each device's share of the batch is a multiple of `count`.

    Args:
        network: A discriminator of inputs with `count` times the channels: `[H, W, count C]`, or points `[count d]`.
        count: Consecutive examples in a pack, at least 1.

    Returns:
        A discriminator of examples `[b, ..., C]` whose outputs have `b / count` rows, with the parameters and
        statistics of `network`.

    Raises:
        UserError: If `count` is less than 1; while tracing, if it does not divide a device's batch.
    """
    if count < 1:
        raise UserError(f"count={count}: give at least 1 example per pack")

    def pack(x: Array) -> Array:
        if len(x) % count:
            raise UserError(
                f"count={count} does not divide the batch of {len(x)} on each device; make the batch size a multiple "
                f"of {count} times the number of devices"
            )
        packs = jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, -2)
        return packs.reshape(*packs.shape[:-2], -1)

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        return network.apply(params, stats, *map(pack, inputs), train=train, key=key)

    def inspect(params: PyTree, stats: PyTree, *inputs: Array, edit: Any = None) -> tuple[PyTree, dict[str, Array]]:
        return network.inspect(params, stats, *map(pack, inputs), edit=edit)

    return network._replace(apply=apply, inspect=inspect)
