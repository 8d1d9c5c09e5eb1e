"""Iterations: an update with controllers, and many of them in one compiled call."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch, Controller, Metrics, PyTree, TrainState, Update


def then(update: Update, *controllers: Controller) -> Update:
    """Returns an update followed by controllers, whose hooks see metrics already averaged over devices.

    Args:
        update: Any update.
        controllers: In the order of their hooks; their slots are `system`'s to fill.
    """

    names = [controller.name for controller in controllers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"controllers: two are called {twice[0]!r}; give one another name")

    def hooked(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        state, metrics = update(state, batch, key)
        for controller in controllers:
            state, metrics = controller.hook(state, metrics, rng.named(key, f"hook {controller.name}"))
        return state, metrics

    return hooked


def many(update: Update, draw: Callable[[PyTree, Array, Array], Batch], capacity: int) -> Callable:
    """Returns the function that makes many iterations in one call: to be compiled by one of `parallel`'s.

    Iteration t is a function of the state, the data and (key, t) alone. The number of iterations is an argument, not a
    constant of the program, so that one compiled body makes them all, and the bits do not depend on how a run is cut
    into calls.

    Args:
        update: One iteration.
        draw: `(data, key, step) -> batch`: this device's rows of batch `step`.
        capacity: The largest number of iterations a call.

    Returns:
        `(state, data, key, count) -> (state, metrics)`; count is at most the capacity; metrics are `[capacity]`, of
        which the first `count` are filled.
    """

    def run(state: TrainState, data: PyTree, key: Array, count: Array) -> tuple[TrainState, Metrics]:
        def iterate(state: TrainState) -> tuple[TrainState, Metrics]:
            batch = draw(data, rng.named(key, "data"), state.step)
            new, metrics = update(state, batch, jax.random.fold_in(rng.named(key, "step"), state.step))
            return replace(new, step=state.step + 1), metrics

        def body(i: Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
            state, log = carry
            state, metrics = iterate(state)
            return state, jax.tree.map(lambda row, x: row.at[i].set(x), log, metrics)

        shapes = jax.eval_shape(iterate, state)[1]
        log = jax.tree.map(lambda x: jnp.zeros((capacity,), x.dtype), shapes)
        return lax.fori_loop(0, count, body, (state, log))

    return run
