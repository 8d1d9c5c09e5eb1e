"""Frozen parameters: every gradient takes them for constants, and no move changes them."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import jax
from jax import lax

from gan_jax.types import Array, Batch, Metrics, PyTree, TrainState, Update

Mask = Mapping[str, PyTree]  # network name -> a tree like its parameters, of whether each is frozen
_mask: ContextVar[Mask | None] = ContextVar("_mask", default=None)  # of the update that is being traced


def frozen(update: Update, mask: Mask) -> Update:
    """Returns an update that does not move some parameters, under any rule and optimiser.

    Their gradients are 0, so that they count neither in the gradient norm nor in what a rule makes of all players'
    gradients, and a move leaves them as they are, also where the optimiser decays or projects weights. Running
    statistics are not parameters, and go on as before.

    Args:
        update: An update made by `rules`, also with controllers.
        mask: Which parameters are frozen; networks that it lacks are not.
    """

    def held(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        token = _mask.set(mask)
        try:
            return update(state, batch, key)
        finally:
            _mask.reset(token)

    return held


def constant(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Stops the gradient of frozen parameters; `params` are those of any networks."""
    return _mapped(lambda is_frozen, x: lax.stop_gradient(x) if is_frozen else x, params)


def kept(before: dict[str, PyTree], after: dict[str, PyTree]) -> dict[str, PyTree]:
    """Returns the parameters after a move, the frozen ones as they were before it."""
    return _mapped(lambda is_frozen, then, now: then if is_frozen else now, before, after)


def _mapped(choose: Callable[..., Any], first: dict[str, PyTree], *rest: dict[str, PyTree]) -> dict[str, PyTree]:
    """Applies a function to whether each parameter is frozen, and to its values in each of the trees."""
    mask = _mask.get() or {}
    last = [first, *rest][-1]
    return last | {
        name: jax.tree.map(choose, mask[name], *(tree[name] for tree in (first, *rest)))
        for name in last
        if name in mask
    }
