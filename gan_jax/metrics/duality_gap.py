"""Scores of the game itself: what either player could still gain, and how far the discriminator is from 50/50.

They look at networks through the players' own objectives: at those that move rather than at their averages, through
the game's augmentation, and in training mode. Where the discriminator has batch norm it therefore judges whole batches,
real or fake, and what is said below of divergences between data and samples holds of batches of them.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gan_jax import data, rng, rules
from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.types import Array, Metrics, Player, System, TrainState

Arrays = Mapping[str, Array | np.ndarray]


class Gap(NamedTuple):
    """What the players of a game could still gain against each other, `[]` each.

    Attributes:
        gap: V(D', G) - V(D, G').
        worst_discriminator: V(D', G): high where samples are easily told from the data, so it ranks generators.
        worst_generator: V(D, G').
        value: V(D, G).
        standard_error: Of the gap, over batches, both values of one being of the same images and latents; NaN of one
            batch. It is that of D' and G' as found: other moves would find others.
    """

    gap: Array
    worst_discriminator: Array
    worst_generator: Array
    value: Array
    standard_error: Array


class Equilibrium(NamedTuple):
    """How far a discriminator is from 50/50, `[]` each.

    Attributes:
        distance: |accuracy - 1/2|, in [0, 1/2].
        accuracy: (accuracy_real + accuracy_fake) / 2.
        standard_error: Of the accuracy, over batches; NaN of one batch.
        accuracy_real: Share of real examples whose logit is positive.
        accuracy_fake: Share of samples whose logit is negative.
        probability_real: Mean of D(x) = sigmoid(logit).
        probability_fake: Mean of D(G(z)).
    """

    distance: Array
    accuracy: Array
    standard_error: Array
    accuracy_real: Array
    accuracy_fake: Array
    probability_real: Array
    probability_fake: Array


def duality_gap(
    system: System,
    state: TrainState,
    train: Arrays,
    held_out: Arrays,
    *,
    batch_size: int,
    moves: int = 100,
    batches: int = 10,
    seed: int = 0,
) -> Gap:
    """Measures what each player gains by moving alone (Grnarova et al. 2019, arXiv:1811.05512).

    gap = V(D', G) - V(D, G'), where D' is the discriminator after so many moves of its own player against the fixed G
    (its optimiser goes on from its state, its terms count, steps are counted), and G' the generator after as many
    against the fixed D. A player that its `active` holds back in training moves here.

    V is minus the metric "loss" of the discriminator's objective, so without terms; for cross-entropy max_D' V is
    2 JSD(data, samples) - log 4. As no moves beat the best, the gap is, but for noise, a lower bound of
    max V(D', G) - min V(D, G'), which is never negative and 0 in equilibrium only. One clearly below 0 says that moving
    did harm: the rate is too high, or D' overfits.

    In zero-sum games (minimax, Wasserstein) G' descends V itself. In others it descends its own loss, which for the
    non-saturating, hinge, least squares and relativistic ones is a way to lower V, if not the steepest, so that the
    bound holds. Where D's loss hardly looks at samples, as BEGAN's while its balance is small, V knows little of G':
    compare `worst_discriminator` alone.

    All is one compiled call, kept for other states of the same system; the state stays as it is.

    Args:
        system: With players "discriminator" and "generator"; how often each moves an iteration does not matter.
        state: Where both stand.
        train: `Dataset.arrays` that the moves see, `[N, ...]`.
        held_out: Others of their kind, on which all values are taken.
        batch_size: Examples in each batch.
        moves: Of each, at least 1; other numbers compile anew.
        batches: That values are averaged over. Where there are more than `held_out` has, its examples come again, in
            another order, which the standard error does not know.
        seed: Of batches and latents: equal seeds, equal gaps.

    Raises:
        UserError: If a player is missing, a set is smaller than a batch, or the objective has no metric "loss".
    """
    require(lambda: moves >= 1, f"moves={moves}: either player makes at least 1; the gap after none is 0")
    require(lambda: batches >= 1, f"batches={batches}: values are averaged over at least 1; use 2 or more for an error")
    players = tuple(_player(system, name)._replace(active=None) for name in ("discriminator", "generator"))
    for name, arrays in (("train", train), ("held_out", held_out)):
        _require_batch(name, arrays, batch_size)
    return _duality_gap(players, state, dict(train), dict(held_out), rng.key(seed), batch_size, moves, batches)


def equilibrium(
    system: System,
    state: TrainState,
    held_out: Arrays,
    *,
    batch_size: int,
    batches: int | None = None,
    seed: int = 0,
) -> Equilibrium:
    """Measures how far the discriminator is from 50/50 on real examples and fresh samples.

    Where samples are distributed like the data, the best discriminator says D = 1/2 everywhere (Goodfellow et al. 2014,
    arXiv:1406.2661, propositions 1 and 2), and none does better than guessing, as
    accuracy - 1/2 = (P_data(logit > 0) - P_G(logit > 0)) / 2. So twice the distance is, but for noise, a lower bound of
    the total variation between data and samples. The reverse does not hold: who takes all for real is at 50/50 too, see
    `accuracy_real` and `accuracy_fake`. A logit of 0, as of a silent layer, counts as right every other time.

    It needs a loss that puts the border between real and fake at 0, as cross-entropy, hinge and least squares with
    a = -b do; relativistic and Wasserstein critics and energies do not. Ask of training examples too: how much more
    of them than of held-out ones the discriminator gets right is how far it overfits.

    Args:
        system: With a player "discriminator", whose objective is one of `objectives`.
        state: Where the players stand; it stays as it is.
        held_out: `Dataset.arrays`, `[N, ...]`.
        batch_size: Examples in each batch.
        batches: How many; None takes N // batch_size, each example once but for a remainder.
        seed: Of batches and latents.

    Raises:
        UserError: If there is no discriminator, the set is smaller than a batch, or a metric is missing.
    """
    _require_batch("held_out", held_out, batch_size)
    batches = _count(held_out) // batch_size if batches is None else batches
    require(lambda: batches >= 1, f"batches={batches}: there must be at least 1; None takes all examples once")
    player = _player(system, "discriminator")
    return _equilibrium(player, state, dict(held_out), rng.key(seed), batch_size, batches)


@functools.partial(jax.jit, static_argnames=("players", "batch_size", "moves", "batches"))
def _duality_gap(
    players: tuple[Player, ...],
    state: TrainState,
    train: dict[str, Array],
    held_out: dict[str, Array],
    key: Array,
    batch_size: int,
    moves: int,
    batches: int,
) -> Gap:
    draw = data.batches(_count(train), batch_size)
    moved = [
        rules.many(rules.descend(player), draw, moves)(state, train, rng.named(key, player.name), moves)[0]
        for player in players
    ]
    # parameters and statistics alone: V is that of the game as it stands; stacked, as one body compiles faster than 3
    nets = jax.tree.map(lambda *x: jnp.stack(x), *[(each.params, each.stats) for each in (*moved, state)])

    def value(nets: tuple[dict, dict]) -> Array:
        params, stats = nets
        there = replace(state, params=params, stats=stats)
        evaluation = rng.named(key, "evaluation")  # one for all three
        return -_metrics(players[0], there, held_out, evaluation, batch_size, batches, ["loss"])["loss"]

    worst_discriminator, worst_generator, now = lax.map(value, nets)  # [batches] each
    gaps = worst_discriminator - worst_generator
    means = (jnp.mean(each) for each in (gaps, worst_discriminator, worst_generator, now))
    return Gap(*means, standard_error=_error(gaps))


@functools.partial(jax.jit, static_argnames=("player", "batch_size", "batches"))
def _equilibrium(
    player: Player, state: TrainState, held_out: dict[str, Array], key: Array, batch_size: int, batches: int
) -> Equilibrium:
    seen = _metrics(player, state, held_out, key, batch_size, batches, Equilibrium._fields[3:])
    accuracies = (seen["accuracy_real"] + seen["accuracy_fake"]) / 2
    accuracy = jnp.mean(accuracies)
    return Equilibrium(jnp.abs(accuracy - 0.5), accuracy, _error(accuracies), **jax.tree.map(jnp.mean, seen))


def _metrics(
    player: Player,
    state: TrainState,
    arrays: dict[str, Array],
    key: Array,
    batch_size: int,
    batches: int,
    names: Sequence[str],
) -> Metrics:
    """Returns metrics of a player's objective on each batch, `[batches]` by name; equal keys, equal batches."""
    draw = data.batches(_count(arrays), batch_size)

    def one(t: Array) -> Metrics:
        batch = draw(arrays, rng.named(key, "data"), t)
        seen = player.objective(state, batch, jax.random.fold_in(rng.named(key, "step"), t))[1].metrics
        if missing := set(names) - set(seen):
            raise UserError(
                f"system: the objective of {player.name!r} has the metrics {sorted(seen)}; let it also return "
                f"{sorted(missing)}, as objectives.discriminator does"
            )
        return {name: seen[name] for name in names}

    return lax.map(one, jnp.arange(batches))


def _error(values: Array) -> Array:
    """Returns the standard error of the mean, NaN of one value."""
    return jnp.std(values, ddof=1) / math.sqrt(len(values))


def _player(system: System, name: str) -> Player:
    players = {player.name: player for player in system.players}
    if name not in players:
        raise UserError(f"system: its players are {list(players)}; call one {name!r}, as the game is scored by it")
    return players[name]


def _require_batch(name: str, arrays: Arrays, batch_size: int) -> None:
    count = _count(arrays)
    require(lambda: batch_size >= 1, f"batch_size={batch_size}: it must be at least 1")
    short = f"{name}: {count} examples do not fill a batch of batch_size={batch_size}; give more, or smaller batches"
    require(lambda: batch_size <= count, short)


def _count(arrays: Arrays) -> int:
    return max((len(array) for array in arrays.values()), default=0)
