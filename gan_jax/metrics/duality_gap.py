"""The duality gap of a game: what each player gains by training alone.

It evaluates the players' own objectives, see `players`.
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import data, rng, rules
from gan_jax.checks import require
from gan_jax.data import kinds
from gan_jax.data.kinds import Kind
from gan_jax.metrics import players
from gan_jax.types import Array, Player, System, TrainState


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


def duality_gap(
    system: System,
    state: TrainState,
    train: players.Arrays,
    held_out: players.Arrays,
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
    both = tuple(players.player(system, name)._replace(active=None) for name in ("discriminator", "generator"))
    for name, arrays in (("train", train), ("held_out", held_out)):
        players.require_batch(name, arrays, batch_size)
    return _duality_gap(both, state, dict(train), dict(held_out), rng.key(seed), batch_size, moves, batches, kind)


@functools.partial(jax.jit, static_argnames=("both", "batch_size", "moves", "batches", "kind"))
def _duality_gap(
    both: tuple[Player, ...],
    state: TrainState,
    train: dict[str, Array],
    held_out: dict[str, Array],
    key: Array,
    batch_size: int,
    moves: int,
    batches: int,
    kind: Kind,
) -> Gap:
    draw = data.batches(players.count(train), batch_size, kind=kind)
    moved = [
        rules.many(rules.descend(player), draw, moves)(state, train, rng.named(key, player.name), moves)[0]
        for player in both
    ]
    # only parameters and statistics differ between the three values; stacked, as one body compiles faster than three
    nets = jax.tree.map(lambda *x: jnp.stack(x), *[(each.params, each.stats) for each in (*moved, state)])

    def value(nets: tuple[dict, dict]) -> Array:
        params, stats = nets
        there = replace(state, params=params, stats=stats)
        evaluation = rng.named(key, "evaluation")  # one for all three
        return -players.metrics(both[0], there, held_out, evaluation, batch_size, batches, ["loss"], kind)["loss"]

    worst_discriminator, worst_generator, now = lax.map(value, nets)  # [batches] each
    gaps = worst_discriminator - worst_generator
    means = (jnp.mean(each) for each in (gaps, worst_discriminator, worst_generator, now))
    return Gap(*means, standard_error=players.standard_error(gaps))
