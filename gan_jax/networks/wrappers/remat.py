"""Rematerialisation: recomputes activations in the backward pass, for less memory and more time."""

from collections.abc import Callable
from typing import Any, Literal

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from gan_jax.errors import UserError
from gan_jax.networks.layers.conv import Conv
from gan_jax.networks.layers.equalised import EqualisedDense
from gan_jax.types import Array, Network, PyTree

Kept = Literal["everything", "layers", "nothing"]
_LAYER = "gan_jax layer"


def rematerialised(network: Network, keep: Kept) -> Network:
    """Makes a network store fewer activations for the backward pass (Chen et al. 2016, arXiv:1604.06174).

    Values and gradients of every order are the same, up to rounding. On CPUs it saves no memory, as XLA recomputes
    early there; gradient accumulation does (`--accumulate`, or `batches` of a player).

    Args:
        network: Any network; "layers" works for layers of Flax modules.
        keep: What is stored. "layers": the outputs of layers with weights; normalisations and activations are
            recomputed, which is cheap. "nothing": the whole network is recomputed, at the cost of another forward pass.
            "everything": the network is returned as it is.

    Returns:
        A network with the same parameters and statistics.

    Raises:
        UserError: If `keep` is none of these.
    """
    if keep == "everything":
        return network
    if keep not in ("layers", "nothing"):
        raise UserError(f"keep={keep!r}: give 'everything', 'layers' or 'nothing'")
    policies = jax.checkpoint_policies
    policy = policies.save_only_these_names(_LAYER) if keep == "layers" else policies.nothing_saveable

    def apply(
        params: PyTree, stats: PyTree, *inputs: Array, train: bool, key: Array | None = None
    ) -> tuple[PyTree, PyTree]:
        def forward(params: PyTree, stats: PyTree, inputs: tuple[Array, ...], key: Array | None) -> Any:
            with nn.intercept_methods(_name):
                return network.apply(params, stats, *inputs, train=train, key=key)

        return jax.checkpoint(forward, policy=policy)(params, stats, inputs, key)

    return network._replace(apply=apply)


def _name(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
    value = method(*args, **kwargs)
    weighted = isinstance(context.module, nn.Dense | nn.Conv | nn.ConvTranspose | Conv | EqualisedDense)
    return checkpoint_name(value, _LAYER) if weighted and context.method_name == "__call__" else value
