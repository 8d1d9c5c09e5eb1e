"""Update rules: who moves when.

An update is `(state, batch, key) -> (state, metrics)` and never touches `state.step`; `many` runs it again and again
inside one compiled call, and is the only place that counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gan_jax import parallel, rng
from gan_jax.types import Array, Aux, Batch, Hook, Metrics, Player, PyTree, TrainState, Update


def descend(player: Player) -> Update:
    """Returns the update in which one player makes one move.

    Args:
        player: Who moves; its objective's gradient is averaged over devices.
    """

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        gradient, aux, metrics = _gradient(player, state, batch, key)
        return _move(player, state, gradient, aux), metrics

    return update


def alternating(players: Sequence[Player], repeats: Mapping[str, int] | None = None) -> Update:
    """Returns the update in which the players move one after another, each seeing the moves before its own.

    Args:
        players: In the order of their moves.
        repeats: Player name -> number of its moves an iteration, 1 for those not named. With a largest number n above
            1 the batch's leaves are `[n, B, ...]`; a player's move r sees batch r.

    Raises:
        ValueError: If a name is no player's or given twice, or a number is below 1.
    """
    _require_names(players)
    repeats = dict(repeats or {})
    for name, count in repeats.items():
        if name not in (player.name for player in players):
            raise ValueError(f"repeats: no player is called {name!r}; there are {[p.name for p in players]}")
        if count < 1:
            raise ValueError(f"repeats[{name!r}]={count}: a player moves at least once; leave it out of the players")
    stacked = max(repeats.values(), default=1) > 1

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        metrics: Metrics = {}
        for player in players:
            count = repeats.get(player.name, 1)
            move, player_key = descend(player), rng.named(key, player.name)
            if count == 1:
                first = jax.tree.map(lambda x: x[0], batch) if stacked else batch
                state, seen = move(state, first, player_key)
            else:
                turns = (jax.tree.map(lambda x, n=count: x[:n], batch), jnp.arange(count))
                state, seen = lax.scan(
                    lambda s, turn, move=move, k=player_key: move(s, turn[0], jax.random.fold_in(k, turn[1])),
                    state,
                    turns,
                )
                seen = jax.tree.map(lambda x: jnp.mean(x, axis=0), seen)
            metrics |= seen
        return state, metrics

    return update


def simultaneous(players: Sequence[Player]) -> Update:
    """Returns the update in which all players move at once, each from the state before.

    Args:
        players: Any number; no two may move the same network.

    Raises:
        ValueError: If a name is given twice, or a network is moved by two players.
    """
    _require_names(players)
    moved = [network for player in players for network in player.networks]
    if len(set(moved)) < len(moved):
        raise ValueError(f"players: a network is moved by two players at once ({moved}); let them alternate")

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        new, metrics = state, {}
        for player in players:
            gradient, aux, seen = _gradient(player, state, batch, rng.named(key, player.name))
            new = _move(player, new, gradient, aux)
            metrics |= seen
        return new, metrics

    return update


def then(update: Update, *hooks: Hook) -> Update:
    """Returns an update followed by hooks, which see metrics already averaged over devices.

    Args:
        update: Any update.
        hooks: `(state, metrics, key) -> (state, metrics)`: averages, controllers, projections, in this order.
    """

    def hooked(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        state, metrics = update(state, batch, key)
        for place, hook in enumerate(hooks):
            state, metrics = hook(state, metrics, rng.named(key, f"hook {place}"))
        return state, metrics

    return hooked


def ema(network: str, decay: float) -> Hook:
    """Returns the hook that keeps an exponential moving average of a network, for sampling.

    average <- d average + (1 - d) current, d = min(decay, (1 + step) / (10 + step)): without the ramp the fresh
    parameters would weigh for the first 1 / (1 - decay) steps. Running statistics are averaged with the parameters, by
    the same weights, so that averaged parameters are used with the statistics that belong to them.

    Args:
        network: Its name.
        decay: The final d, in [0, 1); 0 follows the network.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay={decay}: an average's decay lies in [0, 1)")

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        ramped = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        current = {"params": state.params[network], "stats": state.stats[network]}
        average = jax.tree.map(
            lambda a, x: (ramped * a + (1 - ramped) * x).astype(a.dtype), state.ema[network], current
        )
        return replace(state, ema=state.ema | {network: average}), metrics

    return hook


def many(update: Update, draw: Callable[[PyTree, Array, Array], Batch], capacity: int) -> Callable:
    """Returns the function that makes many iterations in one call: to be compiled by one of `parallel`'s.

    Iteration t is a function of the state, the data and (key, t) alone. The number of iterations is an argument, not a
    constant of the program, so that one compiled body makes them all, and the bits do not depend on how a run is cut
    into calls.

    Args:
        update: One iteration.
        draw: `(data, key, step) -> batch`: this device's rows of batch `step`.
        capacity: The largest number of iterations a call.

    Returns:
        `(state, data, key, count) -> (state, metrics)`; count is at most the capacity; metrics are `[capacity]`, of
        which the first `count` are filled.
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


def _gradient(player: Player, state: TrainState, batch: Batch, key: Array) -> tuple[PyTree, Aux, Metrics]:
    """Differentiates a player's objective with respect to its own networks, and averages over devices."""

    def loss(own: PyTree) -> tuple[Array, Aux]:
        return player.objective(replace(state, params=state.params | own), batch, key)

    gradient, aux = jax.grad(loss, has_aux=True)({name: state.params[name] for name in player.networks})
    metrics = {f"{player.name}/{name}": value for name, value in aux.metrics.items()}
    gradient, metrics = parallel.pmean((gradient, metrics))
    return gradient, aux, metrics


def _move(player: Player, state: TrainState, gradient: PyTree, aux: Aux) -> TrainState:
    """Applies a gradient by the player's optimiser, and commits the statistics of the networks that it moves."""
    own: PyTree = {name: state.params[name] for name in player.networks}
    updates, opt_state = player.optimizer.update(gradient, state.opt_state[player.name], own)
    own = optax.apply_updates(own, updates)
    return replace(
        state,
        params=state.params | own,
        opt_state=state.opt_state | {player.name: opt_state},
        stats=state.stats | {name: aux.stats[name] for name in player.networks if name in aux.stats},
        extra=state.extra | aux.extra,
    )


def _require_names(players: Sequence[Player]) -> None:
    names = [player.name for player in players]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"players: their names must be given and differ, and are {names}")
