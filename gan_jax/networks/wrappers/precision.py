"""Mixed precision: a network that computes in bfloat16, with parameters and outputs in float32."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.errors import UserError
from gan_jax.types import Array, Network, PyTree


def mixed(network: Network, dtype: Any) -> Network:
    """Makes a network compute in mixed precision (Micikevicius et al. 2018, arXiv:1710.03740).

    Parameters and inputs are cast to `dtype`, outputs back to float32. Losses, penalties, gradients and optimisers stay
    in float32, and float32 parameters accumulate updates too small for bfloat16. Normalisation layers compute their
    moments in float32; running statistics are not cast. bfloat16 has the range of float32, so losses need no scaling;
    float16 does not, and is refused.

    Args:
        network: Any network; layers with a dtype of their own keep it.
        dtype: bfloat16, which is faster on accelerators; or float32, which changes nothing.

    Returns:
        A network with the same parameters and statistics.

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
