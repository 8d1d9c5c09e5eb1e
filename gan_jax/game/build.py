"""From networks, players and an update to a `System`: what an experiment's `build` returns."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gan_jax import rng, rules
from gan_jax.errors import UserError
from gan_jax.game import objectives
from gan_jax.game.objectives import Game
from gan_jax.optimizers import AnyOptimizer, Optimizer, Schedule
from gan_jax.rules.controllers import ema
from gan_jax.types import (
    Array,
    Augment,
    Condition,
    Controller,
    Latent,
    Loss,
    Network,
    Player,
    PyTree,
    Slots,
    System,
    Term,
    TrainState,
    Update,
)

PLAYERS = ("discriminator", "generator")  # of `gan`, in the order of their moves


def gan(
    networks: Mapping[str, Network],
    loss: Loss,
    latent: Latent,
    optimizers: AnyOptimizer | Mapping[str, AnyOptimizer],
    *,
    terms: Mapping[str, Sequence[Term]] | None = None,
    augment: Augment | None = None,
    rule: Callable[..., Update] = rules.alternating,
    repeats: Mapping[str, int] | None = None,
    accumulate: int = 1,
    active: Mapping[str, Callable[[TrainState], Array]] | None = None,
    controllers: Sequence[Controller] = (),
    ema_decay: float | Schedule = 0.999,
    moves: Mapping[str, Sequence[str]] | None = None,
    also: Sequence[Player] = (),
    condition: Condition | None = None,
    averaged: Sequence[str] = ("generator",),
    encode: Callable[[dict[str, PyTree], Array], Array] | None = None,
) -> System:
    """Builds the game of a discriminator and a generator, the generator averaged for sampling.

    Args:
        networks: "generator", latents -> images, and "discriminator", images -> logits, perhaps of what a "body" makes
            of them; see `objectives.Game`.
        loss: The adversarial loss.
        latent: The generator's input.
        optimizers: Of "discriminator" and "generator", or one for both.
        terms: Beside the loss of "discriminator" and of "generator", a list each.
        augment: What both kinds of images pass before the discriminator.
        rule: `(players) -> Update`, one of `rules`; bind its other arguments by `functools.partial`.
        repeats: Moves of each an iteration, 1 where not named; for rules that take turns.
        accumulate: Batches whose mean gradient makes a move, one held in memory at a time; the terms, losses and norms
            that look at a whole batch see one of them.
        active: Whether each may move, such as `{"generator": controllers.after(100)}`; always where not named.
        controllers: Run after the moves, before the average.
        ema_decay: Of the average, see `controllers.ema`.
        moves: Networks that each moves beside its own, for its terms to apply, such as `{"generator": ["encoder"]}`.
            Their running statistics stay as they are.
        also: More players, who move after these two.
        condition: What the discriminator sees beside images, such as `objectives.given("label")`.
        averaged: Networks that are averaged.
        encode: From images back to latents, of the averaged networks, see `averaged_network`.

    Raises:
        UserError: If a name is no player's, two parts carry one slot, or the rule cannot repeat.
    """
    terms, active, moves = dict(terms or {}), dict(active or {}), dict(moves or {})
    if isinstance(optimizers, Optimizer | optax.GradientTransformation):
        optimizers = dict.fromkeys(PLAYERS, optimizers)
    if set(optimizers) != set(PLAYERS):
        raise UserError(f"optimizers: given for {sorted(optimizers)}; give one for each of {' and '.join(PLAYERS)}")
    for argument, named in (("terms", terms), ("active", active), ("moves", moves)):
        if set(named) - set(PLAYERS):
            raise UserError(f"{argument}: keys {sorted(named)}; the players are {' and '.join(PLAYERS)}")
    if isinstance(controllers, Controller) or any(isinstance(each, Term) for each in terms.values()):
        raise UserError("terms, controllers: give lists, such as [penalties.r1(1.0)], even of one")
    for name, term in ((name, term) for name, each in terms.items() for term in each):
        if not isinstance(term, Term) or term.player not in ("", name):
            whose = f"is the {term.player}'s" if isinstance(term, Term) else f"is a {type(term).__name__}, not a Term"
            raise UserError(f"terms[{name!r}]: one {whose}; give the {name}'s terms, such as [penalties.r1(1.0)]")
    game = Game(networks, loss, latent, augment, condition)
    objective = {"discriminator": objectives.discriminator, "generator": objectives.generator}
    players = [
        Player(
            name,
            (name, *moves.get(name, ())),
            objective[name](game, terms.get(name, ())),
            optimizers[name],
            active.get(name),
        )
        for name in PLAYERS
    ]
    if accumulate < 1:
        raise UserError(f"accumulate={accumulate}: give at least 1")
    players = [player._replace(batches=accumulate) for player in (*players, *also)]
    if "repeats" in getattr(rule, "keywords", {}):
        raise UserError("rule: it has repeats bound already; give repeats= to gan itself")
    options = {"repeats": repeats} if repeats else {}
    if repeats and "repeats" not in inspect.signature(rule).parameters:
        name = getattr(getattr(rule, "func", rule), "__name__", rule)
        raise UserError(f"repeats: rules.{name} has none; let the players alternate")
    parts = [*controllers, *(ema(name, ema_decay) for name in averaged)]
    slots = [part.slots for part in (*itertools.chain(*terms.values()), *parts)]
    update = rules.then(rule(players, **options), *parts)
    batches = accumulate * max((repeats or {}).values(), default=1)
    return system(networks, players, update, latent, batches, slots, averaged, encode)


def system(
    networks: Mapping[str, Network],
    players: Sequence[Player],
    update: Update,
    latent: Latent,
    batches: int = 1,
    slots: Sequence[Slots] = (),
    averaged: Sequence[str] = ("generator",),
    encode: Callable[[dict[str, PyTree], Array], Array] | None = None,
) -> System:
    """Joins the parts of an experiment.

    Args:
        networks: Name -> network; "generator" is sampled from.
        players: All that the update moves.
        update: One iteration.
        latent: The generator's input.
        batches: The largest number of moves that a player makes an iteration.
        slots: First values of what terms and controllers carry.
        averaged: Networks that the state keeps averages of, the generator among them; the update moves them.
        encode: From images back to latents, of the averaged networks.

    Raises:
        UserError: If a player moves a network that is not there, or (by `init`) two parts carry one slot.
    """
    for player in players:
        for name in player.networks:
            if name not in networks:
                raise UserError(f"player {player.name!r} moves {name!r}; the networks are {sorted(networks)}")

    def init(key: Array) -> TrainState:
        fresh = {name: network.init(rng.named(key, name)) for name, network in networks.items()}
        params = {name: params for name, (params, _) in fresh.items()}
        stats = {name: stats for name, (_, stats) in fresh.items()}
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats=stats,
            opt_state={p.name: p.optimizer.init({n: params[n] for n in p.networks}) for p in players},
            # copied: an alias would be donated twice
            ema=jax.tree.map(jnp.copy, {name: {"params": params[name], "stats": stats[name]} for name in averaged}),
            extra=_filled(slots, params),
        )

    generate = averaged_network(networks, "generator")
    return System(init, update, batches, latent, generate, networks, tuple(players), encode)


def averaged_network(networks: Mapping[str, Network], name: str) -> Callable[[dict[str, PyTree], Array], Array]:
    """Returns `(ema, inputs) -> output`: a network by its averaged parameters and statistics, evaluated."""

    def evaluate(ema: dict[str, PyTree], inputs: Array) -> Array:
        return networks[name].apply(ema[name]["params"], ema[name]["stats"], inputs, train=False)[0]

    return evaluate


def current(state: TrainState) -> dict[str, PyTree]:
    """Returns the averaged networks as they are now, unaveraged, in the form of `TrainState.ema`."""
    return {name: {"params": state.params[name], "stats": state.stats[name]} for name in state.ema}


def _filled(slots: Sequence[Slots], params: dict[str, PyTree]) -> dict[str, PyTree]:
    extra: dict[str, PyTree] = {}
    for each in slots:
        first = each(params)
        if twice := set(first) & set(extra):
            raise UserError(f"two terms or controllers carry the slot {sorted(twice)}; name one of them otherwise")
        extra |= jax.tree.map(lambda x: lax.convert_element_type(x, x.dtype), first)  # weak types would compile twice
    return extra
