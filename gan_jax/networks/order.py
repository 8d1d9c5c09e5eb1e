"""Layers in the order of the forward pass, so that they can be selected by number."""

from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn

from gan_jax import rng
from gan_jax.types import Network, PyTree

Module = tuple[str, ...]  # a module's path in the tree of parameters, such as ("Block_0", "Conv_1")


def modules(network: Network) -> dict[Module, bool]:
    """Returns the modules with parameters of their own, in the order in which the forward pass calls them.

    Computes no arrays. A network that `linen` did not build has none.

    Returns:
        Path -> whether the module is a layer with weights, and not a normalisation, which has only scales and biases.
    """
    met: dict[Module, None] = {}

    def note(method: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name == "__call__":
            met.setdefault(context.module.path)
        return method(*args, **kwargs)

    with nn.intercept_methods(note):
        params = jax.eval_shape(lambda key: network.init(key)[0], rng.key(0))
    weighted: dict[Module, bool] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        module, name = _split(path)
        weighted[module] = weighted.get(module, False) or (leaf.ndim > 1 and name not in ("bias", "scale"))
    return {module: weighted[module] for module in met if module in weighted}


def first(network: Network, count: int) -> list[Module]:
    """Returns the first layers with weights, each with the normalisations between it and the next one.

    Args:
        network: The network.
        count: Number of layers; all modules are returned if there are not more.
    """
    chosen, layers = [], 0
    for module, weighted in modules(network).items():
        layers += weighted
        if layers > count:
            break
        chosen.append(module)
    return chosen


def parameters(params: PyTree, chosen: list[Module]) -> list[str]:
    """Returns the paths of the parameters of some modules, such as "Conv_0/kernel"."""
    paths = [_split(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return ["/".join((*module, name)) for module, name in paths if module in chosen]


def _split(path: tuple) -> tuple[Module, str]:
    """Returns the module of a parameter, and the parameter's name in it."""
    *module, name = (str(getattr(entry, "key", entry)) for entry in path)
    return tuple(module), name
