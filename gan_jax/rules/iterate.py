"""Iterations: an update followed by controllers, and many iterations in one compiled call."""

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
        controllers: In the order in which their hooks run; `game.system` initialises their slots.

    Raises:
        UserError: If two share a name. When called: if nothing reads the slots of a controller that has `users`.
    """

    names = [controller.name for controller in controllers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"controllers: two are named {twice[0]!r}; rename one")

    def hooked(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        for controller in controllers:
            if controller.users:
                _require_read(controller, update, state, batch, key)
        state, metrics = update(state, batch, key)
        for controller in controllers:
            state, metrics = controller.hook(state, metrics, rng.named(key, f"hook {controller.name}"))
        return state, metrics

    return hooked


def _require_read(controller: Controller, update: Update, state: TrainState, batch: Batch, key: Array) -> None:
    """Checks that an update reads a controller's slots, by tracing it without them, which must fail."""
    slots = controller.slots(state.params)
    others = {name: value for name, value in state.extra.items() if name not in slots}
    try:
        jax.eval_shape(update, replace(state, extra=others), batch, key)
    except Exception:  # due to the missing slots; any other error is raised again by the update itself
        return
    raise UserError(
        f"controllers: nothing in the game reads the slot {controller.name!r}; add {controller.users}, or leave the "
        "controller out"
    )


def many(update: Update, draw: Callable[[PyTree, Array, Array], Batch], capacity: int) -> Callable:
    """Returns a function that runs many iterations in one call, to be compiled by `devices.parallel`.

    Iteration t depends on the state, the data and (key, t) alone. The number of iterations is an argument, so that one
    compiled program runs any number, and results do not depend, to the bit, on how a run is split into calls.

    Args:
        update: One iteration.
        draw: `(data, key, step) -> batch`: this device's rows of batch `step`.
        capacity: Largest number of iterations per call.

    Returns:
        `(state, data, key, count) -> (state, metrics)`, count at most the capacity; metrics are `[capacity]`, with the
        first `count` entries filled.
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
