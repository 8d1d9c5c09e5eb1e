"""Regularisation terms that depend on a network's parameters alone."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import trees
from gan_jax.checks import require_weight
from gan_jax.errors import UserError
from gan_jax.types import Array, Context, PyTree, Term, TrainState


def orthogonal(weight: float, network: str, without: Sequence[str] = ()) -> Term:
    """Orthogonal regularisation of BigGAN, without the diagonal (Brock et al. 2019, arXiv:1809.11096).

    weight * sum over kernels W of |W^T W * (1 - I)|_F^2, with W reshaped to `[in, out]`. Kernels are all parameters of
    two or more axes, embeddings included. The authors' PyTorch code uses half of this gradient.

    Args:
        weight: Beta, 1e-4 in the paper; positive.
        network: Name of the network, which is also the name of its player.
        without: Names of layers to leave out, such as "embedding", BigGAN's shared embedding of classes.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        leaves = trees.flat(_params(context.state, network)).items()
        matrices = [x for name, x in leaves if x.ndim > 1 and not set(name.split("/")) & set(without)]
        kernels = [x.reshape(-1, x.shape[-1]) for x in matrices]
        products = [kernel.T @ kernel for kernel in kernels]
        return weight * sum((jnp.sum((p - jnp.diag(jnp.diag(p))) ** 2) for p in products), start=jnp.zeros(()))

    return Term("orthogonal", value, player=network)


def historical_averaging(weight: float, network: str) -> Term:
    """Historical averaging (Salimans et al. 2016, arXiv:1606.03498).

    weight * |theta - mean of theta over all earlier moves|^2; 0 in the first move.

    Args:
        weight: Positive.
        network: Name of the network, which is also the name of its player; the mean is in the slot
            "historical_NETWORK".
    """
    require_weight("weight", weight)
    slot = f"historical_{network}"

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        now, carried = _params(context.state, network), context.state.extra[slot]
        distances = jax.tree.map(lambda x, mean: jnp.sum((x - mean) ** 2), now, carried["mean"])
        count = carried["count"] + 1
        mean = jax.tree.map(lambda x, mean: mean + lax.stop_gradient(x - mean) / count, now, carried["mean"])
        return weight * jax.tree.reduce(jnp.add, distances), {slot: {"count": count, "mean": mean}}

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        _require_network(params, network)
        return {slot: {"count": jnp.zeros((), jnp.int32), "mean": jax.tree.map(jnp.copy, params[network])}}

    return Term("historical_averaging", value, slots=slots, player=network)


def _params(state: TrainState, network: str) -> PyTree:
    _require_network(state.params, network)
    return state.params[network]


def _require_network(params: dict[str, PyTree], network: str) -> None:
    if network not in params:
        raise UserError(f"network={network!r} does not exist; choose from {sorted(params)}")
