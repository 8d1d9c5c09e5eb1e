"""Assembly of a `System` from networks, players and an update."""

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
    """Builds the game of a discriminator and a generator, with an average of the generator for sampling.

    Args:
        networks: "generator", latents -> images, and "discriminator", images -> logits, or features -> logits if there
            is a "body"; see `objectives.Game`.
        loss: The adversarial loss.
        latent: Distribution of the generator's inputs.
        optimizers: Optimiser of "discriminator" and of "generator", or one for both.
        terms: Regularisation terms of "discriminator" and of "generator", a list each.
        augment: Augmentation of real and fake images before the discriminator.
        rule: `(players) -> Update`, one of `rules`; bind its other arguments by `functools.partial`.
        repeats: Player name -> number of its moves per iteration, by default 1; for rules that take turns.
        accumulate: Batches whose mean gradient makes a move (gradient accumulation), one in memory at a time. Terms,
            losses and norms that depend on the whole batch see one of them.
        active: Player name -> when it moves, such as `{"generator": controllers.after(100)}`; by default always.
        controllers: Hooks that run after the moves and before the average.
        ema_decay: Decay of the average, in [0, 1), or a schedule; see `controllers.ema`.
        moves: Player name -> further networks that it moves, such as `{"generator": ["encoder"]}` for a term that
            applies the encoder. Running statistics are updated for a discriminator's "body" only.
        also: More players, which move after these two.
        condition: Further inputs of the discriminator, such as `objectives.given("label")`.
        averaged: Names of the networks to average.
        encode: `(ema, images) -> latents`, from the averaged networks; see `averaged_network`.

    Raises:
        UserError: If a name is no player's, two terms or controllers carry the same slot (by `init`), or the rule
            cannot repeat moves.
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
    """Assembles a system from any networks and players; `gan` does so for a discriminator and a generator.

    Args:
        networks: Name -> network; samples come from "generator".
        players: All players that the update moves.
        update: One iteration.
        latent: Distribution of the generator's inputs.
        batches: Batches that the update takes per iteration: the largest number of moves of a player, times the batches
            that it accumulates.
        slots: `slots` of the terms and controllers: initial values of `TrainState.extra`.
        averaged: Names of the averaged networks, "generator" among them; the update must average them (`ema`).
        encode: `(ema, images) -> latents`, from the averaged networks.

    Raises:
        UserError: If a player moves a network that does not exist, or (by `init`) two slots have the same name.
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
    """Returns `(ema, inputs) -> output`: a network with averaged parameters and statistics, in evaluation mode."""

    def evaluate(ema: dict[str, PyTree], inputs: Array) -> Array:
        return networks[name].apply(ema[name]["params"], ema[name]["stats"], inputs, train=False)[0]

    return evaluate


def current(state: TrainState) -> dict[str, PyTree]:
    """Returns the current, unaveraged weights of the averaged networks, in the form of `TrainState.ema`."""
    return {name: {"params": state.params[name], "stats": state.stats[name]} for name in state.ema}


def _filled(slots: Sequence[Slots], params: dict[str, PyTree]) -> dict[str, PyTree]:
    extra: dict[str, PyTree] = {}
    for each in slots:
        first = each(params)
        if twice := set(first) & set(extra):
            raise UserError(f"two terms or controllers carry the slot {sorted(twice)}; name one of them otherwise")
        extra |= jax.tree.map(lambda x: lax.convert_element_type(x, x.dtype), first)  # weak types would compile twice
    return extra
