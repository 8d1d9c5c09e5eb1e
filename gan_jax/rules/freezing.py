"""Frozen parameters: every gradient treats them as constants, and no move changes them."""

from collections.abc import Callable, Set
from typing import Any

import jax
from jax import lax

from gan_jax import trees
from gan_jax.types import Array, Batch, Metrics, PyTree, TrainState, Update

# paths frozen in the update being traced: a context of JAX, so that traces with other frozen paths are not reused
_paths = jax.make_user_context(frozenset())


def frozen(update: Update, paths: Set[str]) -> Update:
    """Returns an update that leaves some parameters unchanged, under any rule and optimiser.

    Their gradients are 0, so that they contribute neither to the gradient norm nor to a rule that combines the players'
    gradients. They also stay unchanged where the optimiser decays or projects weights. Running statistics are not
    parameters, and are still updated.

    Args:
        update: An update made by `rules`, also with controllers.
        paths: Paths of the frozen parameters, such as "discriminator/Conv_0/kernel".
    """

    def frozen_update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        with _paths(frozenset(paths)):
            return update(state, batch, key)

    return frozen_update


def constant(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Stops the gradient of frozen parameters; `params` are those of any networks."""
    return _mapped(lambda is_frozen, x: lax.stop_gradient(x) if is_frozen else x, params)


def restored(before: dict[str, PyTree], after: dict[str, PyTree]) -> dict[str, PyTree]:
    """Returns the parameters after a move, the frozen ones as they were before it."""
    return _mapped(lambda is_frozen, then, now: then if is_frozen else now, before, after)


def _mapped(choose: Callable[..., Any], first: dict[str, PyTree], *rest: dict[str, PyTree]) -> dict[str, PyTree]:
    """Applies a function to whether each parameter is frozen, and to its values in each of the trees."""
    if not (frozen_paths := _paths.value):
        return [first, *rest][-1]
    return jax.tree_util.tree_map_with_path(lambda at, *xs: choose(trees.path(at) in frozen_paths, *xs), first, *rest)
