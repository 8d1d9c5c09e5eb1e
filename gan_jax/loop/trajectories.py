"""Whole runs in one compiled call, of several seeds at once."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import rng, rules
from gan_jax.data import batches, kinds
from gan_jax.data.kinds import Kind
from gan_jax.errors import UserError
from gan_jax.types import Array, PyTree, System, TrainState


def trajectories(
    system: System,
    arrays: dict[str, Array],
    batch_size: int,
    steps: int,
    seeds: Sequence[int],
    watch: Callable[[TrainState], PyTree] = lambda state: None,
    every: int | None = None,
    kind: Kind = kinds.image,
) -> tuple[TrainState, PyTree]:
    """Trains a system from several seeds at once, on one device, by `vmap` over the seeds.

    Each seed's run equals that of `loop.run`, up to rounding. On a CPU `vmap` saves little time over runs in turn; on
    an accelerator small networks gain most. All seeds share the step, so that `terms.lazy` still saves work.

    Args:
        system: The system to train.
        arrays: The data, `[N, ...]` each.
        batch_size: Examples per batch.
        steps: Iterations, a multiple of `every`.
        seeds: One run each.
        watch: `(state) -> pytree`, called at step 0 and after every `every` iterations.
        every: Iterations between calls of `watch`; by default `steps`.
        kind: Kind of the data, which scales them for networks.

    Returns:
        The last states, and the results of `watch`; leaves `[seeds, ...]` and `[seeds, 1 + steps // every, ...]`.

    Raises:
        UserError: If `every` does not divide `steps`.
    """
    if not seeds:
        raise UserError("seeds: give at least one")
    every = every or steps
    if steps < 1 or steps % every:
        raise UserError(f"steps={steps}: it must be a positive multiple of every={every}")
    draw = batches(len(arrays["image"]), batch_size, system.batches, kind=kind)
    many = rules.many(system.update, draw, every)

    def run(seed: Array, arrays: dict[str, Array]) -> tuple[TrainState, PyTree]:
        key = rng.key(seed)
        first = system.init(rng.named(key, "init"))

        def part(state: TrainState, _: Any) -> tuple[TrainState, PyTree]:
            state, _ = many(state, arrays, key, every)
            return state, watch(state)

        last, watched = lax.scan(part, first, length=steps // every)
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), watch(first), watched)
        return last, joined

    return jax.jit(jax.vmap(run, in_axes=(0, None)))(jnp.asarray(seeds), arrays)
