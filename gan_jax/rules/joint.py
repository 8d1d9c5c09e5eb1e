"""Rules under which all players move at once, along the field v of all players' gradients."""

import functools
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.rules import gradients
from gan_jax.types import Array, Aux, Batch, Metrics, Player, PyTree, Rule, TrainState

Field = tuple[PyTree, tuple[dict[str, Aux], Metrics]]  # network name -> gradient of its player; Aux of each player


def simultaneous(players: Sequence[Player]) -> Rule:
    """Simultaneous updates: all players move at once, from the same state.

    Args:
        players: Any number; no two may move the same network.

    Raises:
        UserError: If two players share a name or a network.
    """
    _require_apart(players)

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        field, (aux, metrics) = _field(players, state, batch, key)
        return _move_all(players, state, field, aux), metrics

    return Rule(tuple(players), update, _batches(players))


def extragradient(players: Sequence[Player]) -> Rule:
    """Extragradient: players move by the gradients one step ahead (Korpelevich 1976; Gidel et al., arXiv:1802.10551).

    half = x - step(v(x)); x <- x - step(v(half)). As in ExtraAdam (Gidel et al. 2019) the optimisers see both
    gradients, so their moments are updated twice per iteration, as are running statistics and slots. Both gradients
    use the same batch and random draws (Mishchenko et al. 2020, arXiv:1905.11373).

    Args:
        players: See `simultaneous`.
    """
    _require_apart(players)

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        field, (aux, _) = _field(players, state, batch, key)
        half = _move_all(players, state, field, aux)
        field, (aux, metrics) = _field(players, half, batch, key)
        return _move_all(players, replace(half, params=state.params), field, aux), metrics

    return Rule(tuple(players), update, _batches(players))


def consensus(players: Sequence[Player], strength: float) -> Rule:
    """Consensus optimisation (Mescheder et al. 2017, arXiv:1705.10461).

    Each player's gradient is its part of v + strength * grad |v|^2 / 2.

    Args:
        players: See `simultaneous`.
        strength: Gamma, positive; 0.1 to 10 in the paper.
    """
    _require_apart(players)
    require(lambda: strength > 0, f"strength={strength}: it must be positive; for 0 use rules.simultaneous")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def energy(params: PyTree) -> tuple[Array, Field]:
            result = _field(players, replace(state, params=state.params | params), batch, key)
            return _dot(result[0], result[0]) / 2, result

        slope, (field, (aux, metrics)) = jax.grad(energy, has_aux=True)(_all_parameters(players, state))
        field = jax.tree.map(lambda v, g: v + strength * g, field, parallel.pmean(slope))
        return _move_all(players, state, field, aux), metrics

    return Rule(tuple(players), update, _batches(players))


def symplectic(players: Sequence[Player], strength: float = 1.0, align: bool = True) -> Rule:
    """Symplectic gradient adjustment (Balduzzi et al. 2018, arXiv:1802.05642).

    Each player's gradient is its part of v + lambda A^T v, A = (J - J^T) / 2 the antisymmetric part of v's Jacobian J.
    With alignment lambda = strength * sign(<v, J^T v> <A^T v, J^T v> / d + 0.1), d the number of parameters: it
    attracts to stable fixed points and repels from unstable ones. Without, lambda = strength.

    Args:
        players: See `simultaneous`.
        strength: |lambda|, positive; 1 in the paper.
        align: Whether to choose lambda's sign by alignment.
    """
    _require_apart(players)
    require(lambda: strength > 0, f"strength={strength}: it must be positive; for 0 use rules.simultaneous")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def at(params: PyTree) -> Field:
            return _field(players, replace(state, params=state.params | params), batch, key)

        params = _all_parameters(players, state)
        field, pullback, (aux, metrics) = jax.vjp(at, params, has_aux=True)
        transposed = parallel.pmean(pullback(field)[0])
        forward = jax.jvp(lambda p: at(p)[0], (params,), (field,))[1]
        adjustment = jax.tree.map(lambda a, b: (a - b) / 2, transposed, forward)
        sign = jnp.ones(())
        if align:
            count = sum(x.size for x in jax.tree.leaves(params))
            sign = jnp.sign(_dot(field, transposed) * _dot(adjustment, transposed) / count + 0.1)
        field = jax.tree.map(lambda v, a: v + strength * sign * a, field, adjustment)
        return _move_all(players, state, field, aux), metrics

    return Rule(tuple(players), update, _batches(players))


def _field(players: Sequence[Player], state: TrainState, batch: Batch, key: Array) -> Field:
    """Returns every player's gradient in its own parameters, averaged over devices, with Aux and metrics."""
    slopes: PyTree = {}
    auxes: dict[str, Aux] = {}
    metrics: Metrics = {}
    for player in players:
        player_key = rng.named(key, player.name)
        slope, auxes[player.name], player_metrics = gradients.gradient(player, state, batch, player_key)
        slopes |= slope
        metrics |= player_metrics
    return slopes, (auxes, metrics)


def _move_all(players: Sequence[Player], state: TrainState, field: PyTree, aux: dict[str, Aux]) -> TrainState:
    new = state
    for player in players:
        new = gradients.move(player, new, {name: field[name] for name in player.networks}, aux[player.name])
    return new


def _all_parameters(players: Sequence[Player], state: TrainState) -> PyTree:
    return functools.reduce(lambda joined, player: joined | gradients.parameters(player, state), players, {})


def _dot(a: PyTree, b: PyTree) -> Array:
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))


def _batches(players: Sequence[Player]) -> int:
    """Returns the batches of an iteration, which all players must accumulate, as they move at once."""
    counts = {player.batches for player in players}
    if len(counts) > 1 or min(counts) < 1:
        raise UserError(f"batches: players that move at once need equal numbers of at least 1, not {sorted(counts)}")
    return counts.pop()


def _require_apart(players: Sequence[Player]) -> None:
    gradients.require_names(players)
    moved = [network for player in players for network in player.networks]
    if len(set(moved)) < len(moved):
        raise UserError(f"players: two of them move the same network at once ({moved}); use rules.alternating")
    if seldom := [player.name for player in players if player.every > 1]:
        raise UserError(f"players: {seldom} do not move in every iteration; use rules.alternating")
