"""Metrics of the players' own objectives, for scores of the game itself.

They use raw rather than averaged parameters, the game's augmentation, and training mode. So a discriminator with batch
norm sees whole batches, real or fake, and statements about the divergence between data and samples hold for the
distributions of batches.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax import data, rng
from gan_jax.checks import require
from gan_jax.data.kinds import Kind
from gan_jax.errors import UserError
from gan_jax.types import Array, Metrics, Player, System, TrainState

Arrays = Mapping[str, Array | np.ndarray]


def metrics(
    player: Player,
    state: TrainState,
    arrays: dict[str, Array],
    key: Array,
    batch_size: int,
    batches: int,
    names: Sequence[str],
    kind: Kind,
) -> Metrics:
    """Returns metrics of a player's objective on each batch, `[batches]` by name; equal keys give equal batches.

    Args:
        player: The player.
        state: The state of the players.
        arrays: `Dataset.arrays`, `[N, ...]`.
        key: Key of batches and latents.
        batch_size: Examples in each batch.
        batches: Number of batches.
        names: Names of the metrics.
        kind: Kind of the data, which scales them for networks.

    Raises:
        UserError: If the objective lacks a metric.
    """
    draw = data.batches(count(arrays), batch_size, kind=kind)

    def one(t: Array) -> Metrics:
        batch = draw(arrays, rng.named(key, "data"), t)
        computed = player.objective(state, batch, jax.random.fold_in(rng.named(key, "step"), t))[1].metrics
        if missing := set(names) - set(computed):
            raise UserError(
                f"system: the objective of {player.name!r} has the metrics {sorted(computed)}; it must also return "
                f"{sorted(missing)}, as objectives.discriminator does"
            )
        return {name: computed[name] for name in names}

    return lax.map(one, jnp.arange(batches))


def standard_error(values: Array) -> Array:
    """Returns the standard error of the mean; NaN for one value."""
    return jnp.std(values, ddof=1) / math.sqrt(len(values))


def player(system: System, name: str) -> Player:
    """Returns a system's player of a name; raises UserError if there is none."""
    players = {each.name: each for each in system.players}
    if name not in players:
        raise UserError(f"system: its players are {list(players)}, but this score needs a player called {name!r}")
    return players[name]


def require_batch(name: str, arrays: Arrays, batch_size: int) -> None:
    """Checks that arrays fill a batch; `name` is that of the argument, for the message."""
    examples = count(arrays)
    require(lambda: batch_size >= 1, f"batch_size={batch_size}: it must be at least 1")
    short = f"{name}: {examples} examples do not fill a batch of batch_size={batch_size}; give more, or smaller batches"
    require(lambda: batch_size <= examples, short)


def count(arrays: Arrays) -> int:
    """Returns the number of examples."""
    return max((len(array) for array in arrays.values()), default=0)
