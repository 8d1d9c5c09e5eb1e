"""The discriminator and the generator of a game as players."""

from collections.abc import Callable, Sequence

from gan_jax.checks import require
from gan_jax.errors import UserError
from gan_jax.game import objectives
from gan_jax.game.playing import Game
from gan_jax.game.slots import joined
from gan_jax.optimizers import AnyOptimizer
from gan_jax.types import Array, Player, Term, TrainState


def discriminator(
    game: Game,
    optimizer: AnyOptimizer,
    terms: Sequence[Term] = (),
    *,
    trains: Sequence[str] = (),
    active: Callable[[TrainState], Array] | None = None,
    batches: int = 1,
) -> Player:
    """Returns the player "discriminator", which minimises the discriminator's loss plus terms.

    Args:
        game: Networks, loss and inputs. If there is a "body", this player trains it too.
        optimizer: One of `optimizers`, or any optax gradient transformation.
        terms: Regularisation terms, added to the loss.
        trains: Further networks that this player trains, such as a classifier that a term applies. Their running
            statistics are not updated.
        active: `(state) -> bool []`: when the player moves, such as `controllers.after(100)`; by default always.
        batches: Batches whose mean gradient makes a move (gradient accumulation), one in memory at a time. Terms,
            losses and norms that depend on the whole batch see one of them.

    Raises:
        UserError: If a term is no term of a discriminator, two terms share a name or a slot, or a term differentiates
            example by example a network whose output for an example depends on the rest of the batch.
    """
    networks = ("discriminator", *(["body"] if "body" in game.networks else []), *trains)
    _require_terms(terms, "discriminator")
    objective, slots = objectives.discriminator(game, terms), joined([term.slots for term in terms])
    return Player("discriminator", networks, objective, optimizer, active, batches, slots)


def generator(
    game: Game,
    optimizer: AnyOptimizer,
    terms: Sequence[Term] = (),
    *,
    trains: Sequence[str] = (),
    active: Callable[[TrainState], Array] | None = None,
    batches: int = 1,
    samples: int = 1,
) -> Player:
    """Returns the player "generator", which minimises the generator's loss plus terms.

    Args:
        game: Networks, loss and inputs.
        optimizer: This and the next four are those of `discriminator`.
        terms: Regularisation terms.
        trains: Further networks.
        active: When the player moves.
        batches: Batches of a move.
        samples: Samples for each example of a batch, all in one batch for batch norm: 2 if a paper's generator has
            batches twice as large as its discriminator's.

    Raises:
        UserError: As `discriminator`; or if `samples` is below 1.
    """
    _require_terms(terms, "generator")
    require(lambda: samples >= 1, f"samples={samples}: give at least 1 sample for each example")
    objective, slots = objectives.generator(game, terms, samples), joined([term.slots for term in terms])
    return Player("generator", ("generator", *trains), objective, optimizer, active, batches, slots)


def regularisation(game: Game, player: Player, terms: Sequence[Term], every: int) -> Player:
    """Returns a player for lazy regularisation, in steps separate from those of `player` (arXiv:1912.04958, app. B).

    Every `every` iterations it minimises `every` times the sum of the terms, and moves the networks of `player` by that
    player's optimiser, whose state both share. Make this `optimizers.adam(..., lazy=every)`, which corrects Adam's
    constants. `terms.lazy` instead adds a term to the loss of the same step. List the new player after `player` in
    `rules.alternating`:

        critic = discriminator(game, optimizers.adam(0.002, 0.0, 0.99, lazy=16))
        rule = rules.alternating([critic, regularisation(game, critic, [penalties.r1(10.0)], 16), ...])

    Args:
        game: The game of the player.
        player: The discriminator or the generator.
        terms: Regularisation terms; leave them out of the terms of `player`.
        every: Iterations from one step to the next, at least 1; 16 for R1 and 4 for path lengths in the paper.

    Returns:
        A player named "PLAYER_regularisation".

    Raises:
        UserError: See `discriminator`.
    """
    _require_terms(terms, player.name)
    objective, slots = objectives.regularisation(game, terms, player.name, every), joined([t.slots for t in terms])
    name = f"{player.name}_regularisation"
    return player._replace(name=name, objective=objective, slots=slots, every=every, shares=player.name)


def _require_terms(terms: Sequence[Term], player: str) -> None:
    if isinstance(terms, Term):
        raise UserError("terms: give a list, even for one, such as [penalties.r1(1.0)]")
    for term in terms:
        if not isinstance(term, Term):
            raise UserError(f"terms: one is a {type(term).__name__}, not a Term; call it, as in penalties.r1(1.0)")
        if term.player not in ("", player):
            raise UserError(
                f"terms: {term.name!r} is a term of the {term.player}, not the {player}; give it to the {term.player}"
            )
