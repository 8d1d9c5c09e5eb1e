"""Several games after one another in one run: all that tells them apart is the step."""

from collections.abc import Callable
from dataclasses import replace

import jax
from jax import lax

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch, Metrics, System, TrainState, Update


def phased(system: System, steps: int, keep: Callable[[TrainState, TrainState], TrainState]) -> Update:
    """Returns the update that plays a game anew every so many iterations.

    Within a phase the game's own steps count from 0, so that schedules, averages and who is active begin anew too.

    Args:
        system: The game.
        steps: Iterations of a phase, at least 1.
        keep: `(fresh, last) -> state`: how a phase begins, from a fresh state and the last one of the phase before.

    Raises:
        UserError: If a phase has no steps.
    """
    if steps < 1:
        raise UserError(f"steps={steps}: a phase has at least 1 iteration")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        step = state.step % steps
        new, metrics = system.update(replace(state, step=step), batch, key)

        def begin() -> TrainState:
            fresh = system.init(rng.named(key, "init"))
            return keep(jax.tree.map(lambda x, like: x.astype(like.dtype), fresh, new), new)

        new = lax.cond(step == steps - 1, begin, lambda: new)
        return replace(new, step=state.step), metrics

    return update
