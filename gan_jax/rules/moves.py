"""What every rule is made of: a player's gradient, and its move."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax

from gan_jax import parallel
from gan_jax.types import Array, Aux, Batch, Metrics, Player, PyTree, TrainState


def gradient(player: Player, state: TrainState, batch: Batch, key: Array) -> tuple[PyTree, Aux, Metrics]:
    """Differentiates a player's objective with respect to its own networks, and averages over devices.

    Returns:
        Network name -> gradient, the objective's Aux, and its metrics under the player's name.
    """

    def loss(own: PyTree) -> tuple[Array, Aux]:
        return player.objective(replace(state, params=state.params | own), batch, key)

    slope, aux = jax.grad(loss, has_aux=True)(own(player, state))
    slope, metrics = parallel.pmean((slope, under(player.name, aux.metrics)))
    return slope, aux, metrics | norm(player, slope)


def move(player: Player, state: TrainState, slope: PyTree, aux: Aux) -> TrainState:
    """Applies a gradient by the player's optimiser, and commits the statistics of the networks that it moves."""
    updates, opt_state = player.optimizer.update(slope, state.opt_state[player.name], own(player, state))
    moved: PyTree = optax.apply_updates(own(player, state), updates)
    changed = {
        "params": state.params | moved,
        "opt_state": state.opt_state | {player.name: opt_state},
        "stats": state.stats | {name: aux.stats[name] for name in player.networks if name in aux.stats},
        "extra": state.extra | aux.extra,
    }
    if player.active is not None:
        active = player.active(state)
        before = {field: getattr(state, field) for field in changed}
        changed = jax.tree.map(lambda now, then: jnp.where(active, now, then), changed, before)
    return replace(state, **changed)


def own(player: Player, state: TrainState) -> PyTree:
    """Returns the parameters that a player moves: network name -> parameters."""
    return {name: state.params[name] for name in player.networks}


def norm(player: Player, slope: PyTree) -> Metrics:
    """Returns the length of a player's gradient, as a metric."""
    return under(player.name, {"gradient_norm": optax.tree.norm(slope)})


def under(name: str, metrics: Metrics) -> Metrics:
    """Puts a player's name before those of its metrics."""
    return {f"{name}/{metric}": value for metric, value in metrics.items()}


def require_names(players: Sequence[Player]) -> None:
    """Refuses players without names, or with one name twice."""
    names = [player.name for player in players]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"players: their names must be given and differ, and are {names}")
