"""Progressive growing of both networks, from small images to large ones (Karras et al. 2018, arXiv:1710.10196).

The level of detail is a function of the iteration alone. It is stored as the running statistic "level" of the networks
and of their averages, so that a checkpoint made while the networks fade is sampled as they were trained.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax.checks import require
from gan_jax.networks.progan import LEVEL, enlarged, fade, halved
from gan_jax.optimizers import Schedule
from gan_jax.types import Array, Batch, Metrics, PyTree, System, TrainState


def growth(levels: int, stable: int, fading: int) -> Schedule:
    """Schedule of the level of detail, from `levels` to 0: each side is trained alone, and then fades to the next.

    In phase p = t // (stable + fading), the level is levels - p for `stable` iterations, and then falls linearly to
    levels - p - 1. It stays at 0, the full side.

    Args:
        levels: Initial level: how often the full side is halved at first.
        stable: Iterations between fades, at least 0.
        fading: Iterations of a fade, at least 0; if both are 0, the level is always 0.
    """
    require(lambda: min(stable, fading) >= 0, f"stable={stable}, fading={fading}: iterations cannot be negative")
    period = stable + fading

    def level(iteration: Array) -> Array:
        if not period:
            return jnp.zeros(())
        iteration = jnp.asarray(iteration)
        faded = jnp.maximum(iteration % period - stable, 0) / max(1, fading)
        return jnp.maximum(levels - iteration // period - faded, 0).astype(jnp.float32)

    return level


def growing(build: Callable[[int | None], System], levels: int, schedule: Schedule) -> System:
    """Returns a system whose generator and discriminator grow; real images are reduced to the same level of detail.

    Each stage has its own update, which computes only the levels of detail that it needs; `lax.switch` selects it. When
    a fade begins, and when it ends, the optimisers are reset, as in the authors' code.

    Args:
        build: `(stage) -> System` with the networks of `networks.progan` at this stage; see their attribute `stage`.
            Stage None gives networks of all levels, for initialisation and sampling.
        levels: How often the full side is halved at first.
        schedule: The level of detail by iteration, such as `growth`.
    """
    whole, updates = build(None), [build(stage).update for stage in range(levels + 1)]

    def fresh(state: TrainState) -> dict[str, PyTree]:
        return {p.name: p.optimizer.init({n: state.params[n] for n in p.networks}) for p in whole.players}

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        level, before = schedule(state.step), schedule(jnp.maximum(state.step - 1, 0))
        due = (jnp.floor(level) != jnp.floor(before)) | (jnp.ceil(level) != jnp.ceil(before))
        opt_state = jax.tree.map(lambda new, old: jnp.where(due, new, old), fresh(state), state.opt_state)
        state = replace(at(state, level), opt_state=opt_state)
        batch = batch | {"image": reduced(batch["image"], level, levels)}
        state, metrics = lax.switch(jnp.floor(level).astype(int), updates, state, batch, key)
        return at(state, level), metrics | {"growth/level": level}

    def first(state: TrainState) -> TrainState:
        return at(state, schedule(state.step))

    return whole._replace(
        init=lambda key: first(whole.init(key)),
        begin=lambda params, stats: first(whole.begin(params, stats)),
        update=update,
    )


def at(state: TrainState, level: Array) -> TrainState:
    """Returns a state whose networks, and averages of networks, are at a level of detail."""

    def moved(stats: PyTree) -> PyTree:
        return stats | {LEVEL: level.astype(stats[LEVEL].dtype)} if LEVEL in stats else stats

    ema = {name: average | {"stats": moved(average["stats"])} for name, average in state.ema.items()}
    return replace(state, stats={name: moved(stats) for name, stats in state.stats.items()}, ema=ema)


def reduced(images: Array, level: Array, levels: int) -> Array:
    """Returns images at a level of detail, at their full side: halved, faded to the next level, and enlarged again.

    Args:
        images: `[..., H, W, C]`.
        level: Level of detail, from 0 (the images as they are) to `levels`.
        levels: Highest level.
    """
    each = [images, *(enlarged(halved(images, k), k) for k in range(1, levels + 1))]
    image = each[levels]
    for k in reversed(range(levels)):
        image = fade(each[k], image, level - k)
    return image
