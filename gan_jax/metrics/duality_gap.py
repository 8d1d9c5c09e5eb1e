"""Scores of the game itself: the duality gap, and the discriminator's distance from 50/50 accuracy.

They evaluate the players' own objectives: with raw rather than averaged parameters, with the game's augmentation, and
in training mode. So a discriminator with batch norm sees whole batches, real or fake, and the statements below on
divergences between data and samples hold for batches of them.
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
from gan_jax.data import kinds
from gan_jax.data.kinds import Kind
from gan_jax.errors import UserError
from gan_jax.types import Array, Metrics, Player, System, TrainState

Arrays = Mapping[str, Array | np.ndarray]


class Gap(NamedTuple):
    """A duality gap and its parts, `[]` each; see `duality_gap`.

    Attributes:
        gap: V(D', G) - V(D, G').
        worst_discriminator: V(D', G): high where samples are easily told from the data, so it ranks generators.
        worst_generator: V(D, G').
        value: V(D, G).
        standard_error: Standard error of the gap over batches; both values of a batch use the same images and latents.
            NaN for one batch. D' and G' are fixed: the variance of finding them is not included.
    """

    gap: Array
    worst_discriminator: Array
    worst_generator: Array
    value: Array
    standard_error: Array


class Equilibrium(NamedTuple):
    """A discriminator's accuracy and its distance from 50/50, `[]` each.

    Attributes:
        distance: |accuracy - 1/2|, in [0, 1/2].
        accuracy: (accuracy_real + accuracy_fake) / 2.
        standard_error: Standard error of the accuracy over batches; NaN for one batch.
        accuracy_real: Fraction of real examples with a positive logit.
        accuracy_fake: Fraction of samples with a negative logit.
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
    kind: Kind = kinds.image,
) -> Gap:
    """Measures the duality gap: what each player gains by training alone (Grnarova et al. 2019, arXiv:1811.05512).

    gap = V(D', G) - V(D, G'). D' is the discriminator after `moves` updates against the fixed G, by its own player:
    with its terms, from the state of its optimiser, and with steps counted on. G' is the generator after as many
    against the fixed D. Both move here, even if `active` holds a player back in training.

    V is minus the metric "loss" of the discriminator's objective, so without terms; for cross-entropy max_D' V is
    2 JSD(data, samples) - log 4. Up to noise the gap is a lower bound of max V(D', G) - min V(D, G'), which is never
    negative and is 0 only in equilibrium. A gap clearly below 0 means that training did harm: the learning rate is too
    high, or D' overfits.

    In zero-sum games (minimax, Wasserstein) G' minimises V itself. In others it minimises its own loss; for the
    non-saturating, hinge, least squares and relativistic losses this lowers V too, so the bound holds. Where D's loss
    hardly depends on samples, as in BEGAN while its balance is small, V hardly depends on G': compare
    `worst_discriminator` alone.

    It is one compiled call, reused for other states of the same system; the state is unchanged.

    Args:
        system: A system with players "discriminator" and "generator"; their updates per iteration do not matter.
        state: The state of both players.
        train: `Dataset.arrays` to train on, `[N, ...]`.
        held_out: Held-out arrays of the same kind, on which V is evaluated.
        batch_size: Examples in each batch.
        moves: Updates of each player, at least 1; another number compiles anew.
        batches: Number of batches over which V is averaged. More than `held_out` has repeat its examples in another
            order, which the standard error ignores.
        seed: Seed of batches and latents: equal seeds give equal gaps.
        kind: Kind of the data, which scales them for networks.

    Raises:
        UserError: If a player is missing, a set is smaller than a batch, or the objective has no metric "loss".
    """
    require(lambda: moves >= 1, f"moves={moves}: it must be at least 1; the gap after 0 moves is 0")
    require(lambda: batches >= 1, f"batches={batches}: it must be at least 1, or 2 for a standard error")
    players = tuple(_player(system, name)._replace(active=None) for name in ("discriminator", "generator"))
    for name, arrays in (("train", train), ("held_out", held_out)):
        _require_batch(name, arrays, batch_size)
    return _duality_gap(players, state, dict(train), dict(held_out), rng.key(seed), batch_size, moves, batches, kind)


def equilibrium(
    system: System,
    state: TrainState,
    held_out: Arrays,
    *,
    batch_size: int,
    batches: int | None = None,
    seed: int = 0,
    kind: Kind = kinds.image,
) -> Equilibrium:
    """Measures how far the discriminator's accuracy on real examples and fresh samples is from 50/50.

    If samples are distributed like the data, the optimal discriminator has D = 1/2 everywhere (Goodfellow et al. 2014,
    arXiv:1406.2661, propositions 1 and 2), and none beats chance, as
    accuracy - 1/2 = (P_data(logit > 0) - P_G(logit > 0)) / 2. So twice the distance is, up to noise, a lower bound of
    the total variation between data and samples. The converse is false: a discriminator that calls everything real is
    at 50/50 too, see `accuracy_real` and `accuracy_fake`. A logit of 0 counts as half correct.

    It needs a loss whose decision boundary is at logit 0, such as cross-entropy, hinge and least squares with a = -b;
    relativistic and Wasserstein critics and energies have none. The accuracy on training examples minus that on
    held-out ones measures overfitting.

    Args:
        system: A system with a player "discriminator" whose objective is one of `objectives`.
        state: The state of the players; it is unchanged.
        held_out: `Dataset.arrays`, `[N, ...]`.
        batch_size: Examples in each batch.
        batches: Number of batches; None takes N // batch_size: each example once, except a remainder.
        seed: Seed of batches and latents.
        kind: Kind of the data, which scales them for networks.

    Raises:
        UserError: If there is no discriminator, the set is smaller than a batch, or a metric is missing.
    """
    _require_batch("held_out", held_out, batch_size)
    batches = _count(held_out) // batch_size if batches is None else batches
    require(lambda: batches >= 1, f"batches={batches}: it must be at least 1; None uses all examples once")
    player = _player(system, "discriminator")
    return _equilibrium(player, state, dict(held_out), rng.key(seed), batch_size, batches, kind)


@functools.partial(jax.jit, static_argnames=("players", "batch_size", "moves", "batches", "kind"))
def _duality_gap(
    players: tuple[Player, ...],
    state: TrainState,
    train: dict[str, Array],
    held_out: dict[str, Array],
    key: Array,
    batch_size: int,
    moves: int,
    batches: int,
    kind: Kind,
) -> Gap:
    draw = data.batches(_count(train), batch_size, kind=kind)
    moved = [
        rules.many(rules.descend(player), draw, moves)(state, train, rng.named(key, player.name), moves)[0]
        for player in players
    ]
    # only parameters and statistics differ between the three values; stacked, as one body compiles faster than three
    nets = jax.tree.map(lambda *x: jnp.stack(x), *[(each.params, each.stats) for each in (*moved, state)])

    def value(nets: tuple[dict, dict]) -> Array:
        params, stats = nets
        there = replace(state, params=params, stats=stats)
        evaluation = rng.named(key, "evaluation")  # one for all three
        return -_metrics(players[0], there, held_out, evaluation, batch_size, batches, ["loss"], kind)["loss"]

    worst_discriminator, worst_generator, now = lax.map(value, nets)  # [batches] each
    gaps = worst_discriminator - worst_generator
    means = (jnp.mean(each) for each in (gaps, worst_discriminator, worst_generator, now))
    return Gap(*means, standard_error=_error(gaps))


@functools.partial(jax.jit, static_argnames=("player", "batch_size", "batches", "kind"))
def _equilibrium(
    player: Player, state: TrainState, held_out: dict[str, Array], key: Array, batch_size: int, batches: int, kind: Kind
) -> Equilibrium:
    seen = _metrics(player, state, held_out, key, batch_size, batches, Equilibrium._fields[3:], kind)
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
    kind: Kind,
) -> Metrics:
    """Returns metrics of a player's objective on each batch, `[batches]` by name; equal keys give equal batches."""
    draw = data.batches(_count(arrays), batch_size, kind=kind)

    def one(t: Array) -> Metrics:
        batch = draw(arrays, rng.named(key, "data"), t)
        seen = player.objective(state, batch, jax.random.fold_in(rng.named(key, "step"), t))[1].metrics
        if missing := set(names) - set(seen):
            raise UserError(
                f"system: the objective of {player.name!r} has the metrics {sorted(seen)}; it must also return "
                f"{sorted(missing)}, as objectives.discriminator does"
            )
        return {name: seen[name] for name in names}

    return lax.map(one, jnp.arange(batches))


def _error(values: Array) -> Array:
    """Returns the standard error of the mean; NaN for one value."""
    return jnp.std(values, ddof=1) / math.sqrt(len(values))


def _player(system: System, name: str) -> Player:
    players = {player.name: player for player in system.players}
    if name not in players:
        raise UserError(f"system: its players are {list(players)}, but this score needs a player called {name!r}")
    return players[name]


def _require_batch(name: str, arrays: Arrays, batch_size: int) -> None:
    count = _count(arrays)
    require(lambda: batch_size >= 1, f"batch_size={batch_size}: it must be at least 1")
    short = f"{name}: {count} examples do not fill a batch of batch_size={batch_size}; give more, or smaller batches"
    require(lambda: batch_size <= count, short)


def _count(arrays: Arrays) -> int:
    return max((len(array) for array in arrays.values()), default=0)
