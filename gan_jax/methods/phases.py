"""Phases: restarts of one game within a run, determined by the step alone."""

from collections.abc import Callable
from dataclasses import replace

import jax
from jax import lax

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch, Metrics, System, TrainState, Update


def phased(system: System, steps: int, keep: Callable[[TrainState, TrainState], TrainState]) -> Update:
    """Returns an update that restarts a game after every `steps` iterations.

    Steps count from 0 within a phase, so schedules, averages and active players restart too.

    Args:
        system: The game.
        steps: Iterations per phase, at least 1.
        keep: `(fresh, last) -> state`: the first state of a phase, from a fresh state and the last one before.

    Raises:
        UserError: If a phase has no steps.
    """
    if steps < 1:
        raise UserError(f"steps={steps}: give at least 1 iteration")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        step = state.step % steps
        new, metrics = system.update(replace(state, step=step), batch, key)

        def begin() -> TrainState:
            fresh = system.init(rng.named(key, "init"))
            return keep(jax.tree.map(lambda x, like: x.astype(like.dtype), fresh, new), new)

        new = lax.cond(step == steps - 1, begin, lambda: new)
        return replace(new, step=state.step), metrics

    return update
