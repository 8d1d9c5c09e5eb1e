"""Rules by which all players move at once: they follow the field v of all players' gradients."""

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
from gan_jax.types import Array, Aux, Batch, Metrics, Player, PyTree, TrainState, Update

Field = tuple[PyTree, tuple[dict[str, Aux], Metrics]]  # network name -> gradient of its player; Aux of each player


def simultaneous(players: Sequence[Player]) -> Update:
    """Returns the update in which all players move at once, each from the state before.

    Args:
        players: Any number; no two may move the same network.

    Raises:
        UserError: If a name is given twice, or a network is moved by two players.
    """
    _require_apart(players)

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        field, (aux, metrics) = _field(players, state, batch, key)
        return _move_all(players, state, field, aux), metrics

    return update


def extragradient(players: Sequence[Player]) -> Update:
    """Returns the update by the gradients of one step ahead (Korpelevich 1976; Gidel et al. 2019, arXiv:1802.10551).

    half = x - step(v(x)); x <- x - step(v(half)). The optimisers see both gradients, as in ExtraAdam, so that their
    moments move twice an iteration, as do running statistics and slots; the learning rate is that of the iteration.
    Both evaluations are on the same batch and draws (Mishchenko et al. 2020, arXiv:1905.11373).

    Args:
        players: See `simultaneous`.
    """
    _require_apart(players)

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        field, (aux, _) = _field(players, state, batch, key)
        half = _move_all(players, state, field, aux)
        field, (aux, metrics) = _field(players, half, batch, key)
        return _move_all(players, replace(half, params=state.params), field, aux), metrics

    return update


def consensus(players: Sequence[Player], strength: float) -> Update:
    """Returns consensus optimisation (Mescheder et al. 2017, arXiv:1705.10461).

    All descend along v + strength * grad |v|^2 / 2.

    Args:
        players: See `simultaneous`.
        strength: Gamma, positive; 0.1 to 10 in the paper.
    """
    _require_apart(players)
    require(lambda: strength > 0, f"strength={strength}: it must be positive; rules.simultaneous has none")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def energy(params: PyTree) -> tuple[Array, Field]:
            found = _field(players, replace(state, params=state.params | params), batch, key)
            return _dot(found[0], found[0]) / 2, found

        slope, (field, (aux, metrics)) = jax.grad(energy, has_aux=True)(_all_own(players, state))
        field = jax.tree.map(lambda v, g: v + strength * g, field, parallel.pmean(slope))
        return _move_all(players, state, field, aux), metrics

    return update


def symplectic(players: Sequence[Player], strength: float = 1.0, align: bool = True) -> Update:
    """Returns symplectic gradient adjustment (Balduzzi et al. 2018, arXiv:1802.05642).

    All descend along v + lambda A^T v, A = (J - J^T) / 2 the antisymmetric part of v's Jacobian. With alignment
    lambda = strength * sign(<v, J^T v> <A^T v, J^T v> / d + 0.1), d the number of parameters, so that the adjustment
    is drawn to stable points and away from unstable ones.

    Args:
        players: See `simultaneous`.
        strength: Of the adjustment, positive; 1 in the paper.
        align: Whether its sign is chosen so.
    """
    _require_apart(players)
    require(lambda: strength > 0, f"strength={strength}: it must be positive; rules.simultaneous has none")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def at(params: PyTree) -> Field:
            return _field(players, replace(state, params=state.params | params), batch, key)

        params = _all_own(players, state)
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

    return update


def _field(players: Sequence[Player], state: TrainState, batch: Batch, key: Array) -> Field:
    """Differentiates every player's objective with respect to its own networks, averaged over devices."""
    slopes: PyTree = {}
    auxes: dict[str, Aux] = {}
    metrics: Metrics = {}
    for player in players:
        slope, auxes[player.name], seen = gradients.gradient(player, state, batch, rng.named(key, player.name))
        slopes |= slope
        metrics |= seen
    return slopes, (auxes, metrics)


def _move_all(players: Sequence[Player], state: TrainState, field: PyTree, aux: dict[str, Aux]) -> TrainState:
    new = state
    for player in players:
        new = gradients.move(player, new, {name: field[name] for name in player.networks}, aux[player.name])
    return new


def _all_own(players: Sequence[Player], state: TrainState) -> PyTree:
    return functools.reduce(lambda joined, player: joined | gradients.own(player, state), players, {})


def _dot(a: PyTree, b: PyTree) -> Array:
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))


def _require_apart(players: Sequence[Player]) -> None:
    gradients.require_names(players)
    moved = [network for player in players for network in player.networks]
    if len(set(moved)) < len(moved):
        raise UserError(f"players: a network is moved by two players at once ({moved}); let them alternate")
