"""Scores of the game itself: what either player could still gain, and how far the discriminator is from 50/50.

They look at networks through the players' own objectives: in training mode (batch norm by the moments of the batch),
through the game's augmentation, and at the networks that move rather than at their averages.
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
from gan_jax.types import Array, Metrics, Player, System, TrainState

Arrays = Mapping[str, Array | np.ndarray]


class Gap(NamedTuple):
    """What the players of a game could still gain against each other, `[]` each.

    Attributes:
        gap: V(D', G) - V(D, G').
        worst_discriminator: V(D', G): high where samples are easily told from the data, so it ranks generators.
        worst_generator: V(D, G').
        value: V(D, G), in between if the moves did either any good.
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
    (its optimiser goes on from its state, its terms count, steps are counted for what is due every so often), and G'
    the generator after as many against the fixed D. A player that its `active` holds back is let go here.

    V is minus the discriminator's adversarial loss, the metric "loss" of its objective, without terms: for
    cross-entropy max_D' V = 2 JSD(data, samples) - log 4. Moves find no more than the best responses, so but for noise
    the gap is a lower bound of max V(D', G) - min V(D, G'), which is never negative, and 0 in equilibrium only; one
    clearly below 0 means that moving did harm: the rate is too high, or D' overfits.

    Where the game is zero-sum (minimax, Wasserstein) G descends V itself. Where it is not, G' descends its own loss
    instead: the non-saturating, hinge and relativistic ones pull V down too, if not by the steepest way, and the bound
    holds. Where D's loss hardly looks at samples, as BEGAN's while its balance k is small, V hardly knows G', and no
    equilibrium need have gap 0; compare `worst_discriminator` between generators instead.

    All is one compiled call, kept for further calls on the same system; the state stays as it is.

    Args:
        system: With players "discriminator" and "generator"; how often each moves an iteration does not matter.
        state: Where both stand.
        train: `Dataset.arrays` that the moves see, `[N, ...]`.
        held_out: Others of their kind, on which all values are taken.
        batch_size: Examples in each batch.
        moves: Made by either, at least 1; 100 or so, as the paper's gap is that of a bounded effort.
        batches: Of held-out examples and fresh samples that values are averaged over. More than `held_out` has see its
            examples again, in another order, which the standard error does not know.
        seed: Of batches and latents: equal seeds, equal gaps.

    Raises:
        ValueError: If a player is missing, a set is smaller than a batch, or the objective has no metric "loss".
    """
    require(lambda: moves >= 1, f"moves={moves}: either player makes at least 1; the gap after none is 0")
    require(lambda: batches >= 1, f"batches={batches}: values are averaged over at least 1; use 2 or more for an error")
    players = tuple(_player(system, name)._replace(active=None) for name in ("discriminator", "generator"))
    for name, arrays in (("train", train), ("held_out", held_out)):
        _require_batch(name, arrays, batch_size)
    return _duality_gap(players, state, dict(train), dict(held_out), jax.random.key(seed), batch_size, moves, batches)


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
    arXiv:1406.2661, propositions 1 and 2), and no other is right more often than by guessing:
    accuracy - 1/2 = (P_data(logit > 0) - P_G(logit > 0)) / 2. So twice the distance is a lower bound of the total
    variation between data and samples, up to noise. The reverse does not hold: one that takes all for real is at 50/50
    too, see `accuracy_real` and `accuracy_fake`, and so may be one that has not learnt.

    It means something for losses that put the border between real and fake at logit 0: cross-entropy, hinge, least
    squares with a = -b; not for relativistic and Wasserstein critics and energies. A logit of exactly 0 counts as the
    objective counts it. Ask twice, of training and of held-out examples, to see how far the discriminator overfits:
    `accuracy_real` falls from the one to the other.

    Args:
        system: With a player "discriminator", whose objective is one of `objectives`.
        state: Where the players stand; it stays as it is.
        held_out: `Dataset.arrays`, `[N, ...]`.
        batch_size: Examples in each batch.
        batches: How many; None takes N // batch_size, each example once but for a remainder.
        seed: Of batches and latents.

    Raises:
        ValueError: If there is no discriminator, the set is smaller than a batch, or a metric is missing.
    """
    _require_batch("held_out", held_out, batch_size)
    batches = _count(held_out) // batch_size if batches is None else batches
    require(lambda: batches >= 1, f"batches={batches}: there must be at least 1; None takes all examples once")
    player = _player(system, "discriminator")
    return _equilibrium(player, state, dict(held_out), jax.random.key(seed), batch_size, batches)


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
            raise ValueError(
                f"system: the objective of {player.name!r} has the metrics {sorted(seen)}; let it also return "
                f"{sorted(missing)}, as objectives.discriminator does"
            )
        return {name: seen[name] for name in names}

    return lax.map(one, jnp.arange(batches))


def _error(values: Array) -> Array:
    """Returns the standard error of the mean, NaN of one value."""
    return jnp.std(values, ddof=1) / math.sqrt(len(values))


def _player(system: System, name: str) -> Player:
    for player in system.players:
        if player.name == name:
            return player
    names = [player.name for player in system.players]
    raise ValueError(f"system: its players are {names}; the game is scored by a player called {name!r}, so name it so")


def _require_batch(name: str, arrays: Arrays, batch_size: int) -> None:
    count = _count(arrays)
    require(lambda: batch_size >= 1, f"batch_size={batch_size}: it must be at least 1")
    require(
        lambda: batch_size <= count,
        f"{name}: {count} examples do not fill a batch of batch_size={batch_size}; give more, or a smaller batch_size",
    )


def _count(arrays: Arrays) -> int:
    return max((len(array) for array in arrays.values()), default=0)
