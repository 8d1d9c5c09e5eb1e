"""Reference batches, for virtual batch normalisation."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.errors import UserError
from gan_jax.networks.layers.batch import VirtualBatchNorm
from gan_jax.networks.wrappers.linen import mixing
from gan_jax.types import Array, Network, PyTree


def with_reference(network: Network, *reference: Array) -> Network:
    """Prepends a fixed reference batch to a network's inputs, for its `VirtualBatchNorm` layers, and drops its outputs.

    The reference is a constant of the program and not in checkpoints: it must be the same whenever the network is
    built. For a generator, draw latents with a fixed key. Every batch costs R examples more.

    Args:
        network: A network without noise, as it is given no key, and with no other layer that mixes the batch.
        reference: One array for each input, `[R, ...]`, R at least 2, the same on every device.

    Returns:
        A network in which an example's output depends on the example and the reference.

    Raises:
        UserError: If there are fewer than 2 references, or their number differs between inputs.
    """
    sizes = [len(rows) for rows in reference]
    if len(set(sizes)) != 1 or sizes[0] < 2:
        raise UserError(
            f"reference has {sizes} rows; give each input the same number, at least 2, because one has no variance"
        )
    (count,) = set(sizes)

    def supply(method: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, VirtualBatchNorm) and context.method_name == "__call__":
            kwargs = {**kwargs, "references": count}
        return method(*args, **kwargs)

    def init(key: Array) -> tuple[PyTree, PyTree]:
        with nn.intercept_methods(supply):
            return network.init(key)

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        joined = [jnp.concatenate([jnp.asarray(r, x.dtype), x]) for r, x in zip(reference, inputs, strict=True)]
        with nn.intercept_methods(supply):
            output, stats = network.apply(params, stats, *joined, train=train)
        return jax.tree.map(lambda y: y[count:], output), stats

    return Network(init, apply, mixing(init, apply, *(rows.shape[1:] for rows in reference)))
