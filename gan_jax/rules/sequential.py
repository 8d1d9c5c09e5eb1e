"""Rules under which the players move one after another."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import optimizers, rng
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.rules import gradients
from gan_jax.types import Array, Aux, Batch, Metrics, Player, PyTree, Rule, TrainState, Update


def descend(player: Player) -> Update:
    """Gradient descent of one player: the update with a single move.

    Args:
        player: The player; its gradient is averaged over devices.
    """

    def move(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        slope, aux, metrics = gradients.gradient(player, state, batch, key)
        return gradients.move(player, state, slope, aux), metrics

    @jax.jit  # traced once for both uses below
    def due(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        moved, metrics = move(state, batch, key)
        return moved, jax.tree.map(lambda x: player.every * x, metrics)

    def seldom(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(due, state, batch, key)[1])
        return lax.cond(state.step % player.every == 0, due, lambda *operands: (operands[0], none), state, batch, key)

    require(lambda: player.every >= 1, f"every={player.every}: {player.name!r} needs at least 1 iteration per move")
    return move if player.every == 1 else seldom


def alternating(players: Sequence[Player], repeats: Mapping[str, int] | None = None) -> Rule:
    """Alternating updates: the players move one after another, each from the state that the one before left.

    A player takes (moves per iteration) x (batches per move) batches. If the largest such number n is above 1, the
    leaves of the batch are `[n, B, ...]`, and each player takes the first ones it needs, in order.

    Args:
        players: In the order of their moves.
        repeats: Player name -> number of its moves per iteration, by default 1.

    Raises:
        UserError: If two players share a name, `repeats` names no player, or a number is below 1.
    """
    gradients.require_names(players)
    repeats = dict(repeats or {})
    for name, count in repeats.items():
        if name not in (player.name for player in players):
            raise UserError(f"repeats: no player is named {name!r}; the players are {[p.name for p in players]}")
        if count < 1:
            raise UserError(f"repeats[{name!r}]={count}: give at least 1, or leave the player out of the players")
    for player in players:
        require(lambda n=player.batches: n >= 1, f"batches={player.batches}: {player.name!r} needs at least 1")
    eaten = {player.name: repeats.get(player.name, 1) * player.batches for player in players}
    batches = max(eaten.values())

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        metrics: Metrics = {}
        for player in players:
            count, player_batch = repeats.get(player.name, 1), batch
            move, player_key = descend(player), rng.named(key, player.name)
            if batches > 1 and eaten[player.name] == 1:
                player_batch = gradients.first(batch)
            elif batches > 1:
                player_batch = jax.tree.map(lambda x, n=eaten[player.name]: x[:n], batch)
            if count == 1:
                state, player_metrics = move(state, player_batch, player_key)
            else:
                if player.batches > 1:
                    player_batch = jax.tree.map(lambda x, n=count: x.reshape(n, -1, *x.shape[1:]), player_batch)
                state, player_metrics = lax.scan(
                    lambda s, turn, move=move, k=player_key: move(s, turn[0], jax.random.fold_in(k, turn[1])),
                    state,
                    (player_batch, jnp.arange(count)),
                )
                player_metrics = jax.tree.map(lambda x: jnp.mean(x, axis=0), player_metrics)
            metrics |= player_metrics
        return state, metrics

    return Rule(tuple(players), update, batches)


def unrolled(
    players: Sequence[Player],
    steps: int,
    player: str = "generator",
    opponent: str = "discriminator",
    repeats: Mapping[str, int] | None = None,
) -> Rule:
    """Unrolled GANs: alternating updates in which one player unrolls another (Metz et al. 2017, arXiv:1611.02163).

    The player minimises its objective after the opponent's next moves, and differentiates through these moves,
    including the opponent's optimiser. The moves are made on the player's batch, and then discarded.

    The player's objective must contain everything that the unrolled moves change, such as the real term of the
    discriminator's loss (the paper's equations 9 to 12). Without it the generator drives D off its optimum even at the
    equilibrium. The paper's game is `losses.zero_sum(losses.non_saturating())`.

    Args:
        players: In the order of their moves.
        steps: Unrolled moves, at least 1; 5 or 10 in the paper.
        player: Name of the player that unrolls.
        opponent: Name of the player that is unrolled.
        repeats: See `alternating`.

    Raises:
        UserError: If a name is no player's, or the opponent's optimiser has no derivative at a gradient of 0, as Adam
            with `eps_root` 0. While tracing: if the opponent's loss depends on data that the player's does not, as
            when the generator's loss sees the fake logits only.
    """
    if steps < 1:
        raise UserError(f"steps={steps}: unroll at least 1 move, or use rules.alternating")
    by_name = {each.name: each for each in players}
    for role, name in (("player", player), ("opponent", opponent)):
        if name not in by_name:
            raise UserError(f"{role}: no player is named {name!r}; the players are {list(by_name)}")
    if player == opponent:
        raise UserError(f"opponent={opponent!r}: a player cannot unroll itself; name another player")
    other = by_name[opponent]._replace(batches=1)
    _require_differentiable(other)

    def foreseeing(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        _require_whole(by_name[player], other, state, batch, key)

        def step(state: TrainState, i: Array) -> tuple[TrainState, None]:
            slope, aux, _ = gradients.gradient(other, state, batch, jax.random.fold_in(rng.named(key, "unrolled"), i))
            return gradients.move(other, state, slope, aux), None

        later, _ = lax.scan(step, state, jnp.arange(steps))
        return by_name[player].objective(later, batch, key)

    return alternating(
        [each._replace(objective=foreseeing) if each.name == player else each for each in players], repeats
    )


def _require_differentiable(player: Player) -> None:
    # one gradient entry is 0 and one is not, as with a dead unit in a network that learns
    params: PyTree = {name: jnp.zeros(2) for name in player.networks}

    def trial(slope: Array) -> Array:
        slopes = dict.fromkeys(params, slope)
        moved: PyTree = optimizers.moved(player.optimizer, slopes, player.optimizer.init(params), params, 0)[0]
        return sum((jnp.sum(x) for x in moved.values()), jnp.zeros(()))

    with jax.ensure_compile_time_eval():  # a rule may be built while something else is traced
        finite = jnp.isfinite(jax.grad(trial)(jnp.array([0.0, 1.0]))).all()
    require(
        lambda: finite,
        f"opponent: unrolling differentiates through the optimiser of {player.name!r}, which has no derivative where a "
        "gradient is 0; give Adam eps_root=1e-8",
    )


def _require_whole(player: Player, opponent: Player, state: TrainState, batch: Batch, key: Array) -> None:
    for name, data in batch.items():
        if not jnp.issubdtype(data.dtype, jnp.floating):
            continue

        def loss(of: Player, x: Array, name: str = name) -> Array:
            value, aux = of.objective(state, batch | {name: x}, key)
            return aux.metrics.get("loss", value)  # without terms, which may see data that the loss does not

        if _depends(functools.partial(loss, opponent), data) and not _depends(functools.partial(loss, player), data):
            raise UserError(
                f"loss: the moves of {opponent.name!r} depend on the batch's {name!r}, but the loss of {player.name!r} "
                "does not, although this player unrolls them; use losses.zero_sum(loss), which gives both the whole "
                "value, or a loss that compares real with fake, such as losses.relativistic(loss)"
            )


def _depends(f: Callable[[Array], Array], x: Array) -> bool:
    """Returns whether f(x) has a derivative in x, that is whether its tangent is not JAX's symbolic zero."""
    reached = False

    @jax.custom_jvp
    def end(value: Array) -> Array:
        return value

    def slope(primals: tuple[Array], tangents: tuple[Any]) -> tuple[Array, Array]:
        nonlocal reached
        reached = True  # JAX calls this only for a value that has a tangent
        return primals[0], jnp.zeros_like(primals[0])

    end.defjvp(slope, symbolic_zeros=True)
    jax.eval_shape(lambda x: jax.jvp(lambda x: end(f(x)), (x,), (x,)), x)
    return reached
