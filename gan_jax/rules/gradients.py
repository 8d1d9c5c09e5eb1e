"""Building blocks of rules: a player's gradient, and its move."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import optimizers, rng
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.optimizers import Optimizer
from gan_jax.rules import freezing
from gan_jax.types import Array, Aux, Batch, Metrics, Player, PyTree, TrainState


def gradient(player: Player, state: TrainState, batch: Batch, key: Array) -> tuple[PyTree, Aux, Metrics]:
    """Returns the gradient of a player's objective in its own parameters, averaged over its batches and devices.

    Returns:
        `(network name -> gradient, Aux, metrics)`; the metrics are named "PLAYER/..." and include the gradient's norm
        and the learning rate.
    """

    def one(batch: Batch, key: Array) -> tuple[PyTree, Aux]:
        def loss(trained: PyTree) -> tuple[Array, Aux]:
            params = freezing.constant(state.params | trained)
            return player.objective(replace(state, params=params), batch, key)

        return jax.grad(loss, has_aux=True)(parameters(player, state))

    slope, aux = one(batch, key) if player.batches == 1 else _mean(one, player.batches, batch, key)
    slope, metrics = parallel.pmean((slope, under(player.name, aux.metrics)))
    return slope, aux, metrics | norm(player, slope) | _rate(player, state)


def move(player: Player, state: TrainState, slope: PyTree, aux: Aux) -> TrainState:
    """Applies a gradient by the player's optimiser, and stores new slots and its networks' new statistics."""
    before, slot = parameters(player, state), player.shares or player.name
    moved, opt_state = optimizers.moved(player.optimizer, slope, state.opt_state[slot], before, state.step)
    changed = {
        "params": state.params | freezing.restored(before, moved),
        "opt_state": state.opt_state | {slot: opt_state},
        "stats": state.stats | {name: aux.stats[name] for name in player.networks if name in aux.stats},
        "extra": state.extra | aux.extra,
    }
    if player.active is not None:
        active = player.active(state)
        before_move = {field: getattr(state, field) for field in changed}
        changed = jax.tree.map(lambda now, then: jnp.where(active, now, then), changed, before_move)
    return replace(state, **changed)


def parameters(player: Player, state: TrainState) -> PyTree:
    """Returns the parameters that a player moves: network name -> parameters."""
    return {name: state.params[name] for name in player.networks}


def norm(player: Player, slope: PyTree) -> Metrics:
    """Returns the norm of a player's gradient, as a metric."""
    # by dot products: XLA on CPUs would write the squares to memory before summing them
    squares = [jnp.vdot(x, x) for x in jax.tree.leaves(slope)]
    return under(player.name, {"gradient_norm": jnp.sqrt(sum(squares, jnp.zeros(())))})


def _rate(player: Player, state: TrainState) -> Metrics:
    """Returns a player's learning rate, as a metric; none for an optax optimiser, which does not expose it."""
    if not isinstance(player.optimizer, Optimizer):
        return {}
    rate = optimizers.learning_rate(player.optimizer, state.step)
    return under(player.name, {"learning_rate": jnp.asarray(rate, jnp.float32)})


def under(name: str, metrics: Metrics) -> Metrics:
    """Prefixes metric names with a player's name: "PLAYER/METRIC"."""
    return {f"{name}/{metric}": value for metric, value in metrics.items()}


def _mean(one: Callable[[Batch, Array], PyTree], count: int, batch: Batch, key: Array) -> PyTree:
    """Averages a function over `count` batches, one in memory at a time."""
    turns = (batch, rng.numbered(key, count))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(lambda t: one(*first(t)), turns))
    total, _ = lax.scan(lambda total, turn: (jax.tree.map(jnp.add, total, one(*turn)), None), zeros, turns)
    return jax.tree.map(lambda x: (x / count).astype(x.dtype), total)


def first(tree: PyTree) -> PyTree:
    """Returns the first entry of every leaf's leading axis."""
    return jax.tree.map(lambda x: x[0], tree)


def require_names(players: Sequence[Player]) -> None:
    """Refuses an empty list of players, and players that share a name."""
    names = [player.name for player in players]
    if not names or len(set(names)) < len(names):
        raise UserError(f"players: give at least one, and different names; the names are {names}")
