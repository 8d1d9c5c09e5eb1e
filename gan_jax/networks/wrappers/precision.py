"""Mixed precision: a network that computes in a shorter type, while all that is kept and compared stays float32."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.types import Array, Network, PyTree


def mixed(network: Network, dtype: Any) -> Network:
    """Makes any network compute in a floating type (Micikevicius et al. 2018, arXiv:1710.03740).

    Parameters and inputs are cast to it on the way in, outputs to float32 on the way out: losses, penalties and
    optimisers see float32, gradients come back through the casts as float32, and float32 parameters gather updates too
    small for the shorter type. Normalisation layers take their moments in float32, and running statistics are not cast.
    bfloat16 has float32's range, so that losses need no scale; float16 has not, and is refused.

    Args:
        network: Any; layers that name a dtype of their own keep it.
        dtype: bfloat16 to be faster on accelerators; float32 changes nothing.

    Returns:
        A network of the same parameters and statistics.

    Raises:
        UserError: If the dtype is neither.
    """
    if jnp.dtype(dtype) not in (jnp.bfloat16, jnp.float32):
        raise UserError(f"dtype={jnp.dtype(dtype)}: give bfloat16 or float32")
    if jnp.dtype(dtype) == jnp.float32:
        return network

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        output, stats = network.apply(_cast(params, dtype), stats, *_cast(inputs, dtype), train=train, key=key)
        return _cast(output, jnp.float32), stats

    def inspect(
        params: PyTree, stats: PyTree, *inputs: Array, edit: Callable[[str, Array], Array] | None = None
    ) -> tuple[PyTree, dict[str, Array]]:
        output, layers = network.inspect(_cast(params, dtype), stats, *_cast(inputs, dtype), edit=edit)
        return _cast(output, jnp.float32), layers

    return network._replace(apply=apply, inspect=inspect)


def _cast(tree: PyTree, dtype: Any) -> PyTree:
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
