"""Fills a network with the tensors of published weights, by name."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gan_jax import rng, trees
from gan_jax.errors import UserError, listed
from gan_jax.types import Network, PyTree

Tensors = dict[str, np.ndarray]
Converted = tuple[PyTree, PyTree]  # parameters, running statistics


def within(tensors: Tensors, prefix: str) -> Tensors:
    """Returns the tensors whose names have a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def filled(
    prefix: str,
    tensors: Tensors,
    network: Network,
    named: Callable[[str], str],
    arranged: Callable[[str, np.ndarray], np.ndarray],
) -> Converted:
    """Returns a network's parameters and running statistics, filled with tensors by name.

    Args:
        prefix: Prefix of the tensors' names in the file, for messages.
        tensors: Name without the prefix -> tensor.
        network: The network to fill.
        named: Maps a leaf's path in the parameters or statistics, such as "block_4_0/Conv_0/kernel", to its tensor's
            name.
        arranged: Maps `(path, tensor)` to the tensor with its axes in the leaf's order.

    Raises:
        UserError: If tensors are missing, superfluous or of the wrong shape; it names them.
    """
    used, missing, wrong = set(), [], []

    def fill(at: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        path = trees.path(at).partition("/")[2]
        name = named(path)
        if name not in tensors:
            missing.append(prefix + name)
            return np.zeros(0)
        used.add(name)
        value = arranged(path, np.asarray(tensors[name], np.float32))
        if value.shape != leaf.shape:
            wrong.append(f"{prefix}{name} {np.shape(tensors[name])}")
        return value

    params, stats = jax.tree_util.tree_map_with_path(fill, jax.eval_shape(network.init, rng.key(0)))
    extra = [prefix + name for name in tensors if name not in used]
    problems = {"missing": missing, "superfluous": extra, "of the wrong shape": wrong}
    if any(problems.values()):
        text = "; ".join(f"{what}: {listed(names)}" for what, names in problems.items() if names)
        raise UserError(f"tensors do not fit the network; {text}")
    return params, stats
