"""Assembly of a `System` from a game, an update rule and controllers."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from gan_jax import rng, rules
from gan_jax.errors import UserError
from gan_jax.game.playing import Game
from gan_jax.game.slots import joined
from gan_jax.networks.wrappers import unfit
from gan_jax.types import Array, Averaged, Controller, Latent, Network, PyTree, Rule, System, TrainState


def system(
    game: Game,
    rule: Rule,
    controllers: Sequence[Controller] = (),
    *,
    encode: Averaged | None = None,
    translate: Averaged | None = None,
    translate_back: Averaged | None = None,
    truncate: Callable[[float], Averaged] | None = None,
) -> System:
    """Assembles a system from a game, an update rule with its players, and controllers.

        game = Game(networks, losses.wasserstein(), latents.normal(128))
        players = [discriminator(game, adam, [penalties.gradient_penalty(10.0)]), generator(game, adam)]
        rule = rules.alternating(players, repeats={"discriminator": 5})
        wgan_gp = system(game, rule, [controllers.ema("generator", 0.999)])

    A game with a distribution of latents can be sampled, from the averaged "generator". What else the system can do is
    given by functions of averaged networks, see `averaged_network`.

    Args:
        game: Networks, and the distribution of latents to sample from, None for a system that does not sample.
        rule: Who moves when: one of `rules`, applied to all players.
        controllers: Hooks that run after the moves, in this order, such as `controllers.ema("generator", 0.999)`.
        encode: Encoder, examples to latents.
        translate: Translator, sources to examples.
        translate_back: Translator of the other direction.
        truncate: `(psi) -> sample`, for a generator that truncates styles itself instead of latents; see
            `types.System`.

    Raises:
        UserError: If a player moves a network that does not exist, no controller averages the generator of a game with
            latents, or two controllers share a name. From `init`: if two terms or controllers carry the same slot.
    """
    networks, players = game.networks, rule.players
    if isinstance(controllers, Controller):
        raise UserError("controllers: give a list, even for one, such as [controllers.ema('generator', 0.999)]")
    averaged = [name for controller in controllers for name in controller.averages]
    users: dict[str, Sequence[str]] = {f"player {player.name!r} moves": player.networks for player in players}
    users["a controller averages"] = averaged
    owners = {player.name: player.networks for player in players if not player.shares}
    for player in players:
        if player.shares and player.networks != owners.get(player.shares):
            raise UserError(
                f"player {player.name!r} shares the optimiser of {player.shares!r}, which is no player that moves the "
                f"same networks; give one of {sorted(owners)} that does"
            )
    for who, names in users.items():
        if unknown := sorted(set(names) - set(networks)):
            raise UserError(f"{who} {unknown[0]!r}, which does not exist; the networks are {sorted(networks)}")
    if game.latent is not None and "generator" not in averaged:
        raise UserError(
            "controllers: samples come from the averaged generator; add controllers.ema('generator', 0.999), or with "
            "decay 0.0 to sample the current one"
        )
    slots = joined([each.slots for each in (*players, *controllers)])

    def begin(params: dict[str, PyTree], stats: dict[str, PyTree]) -> TrainState:
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            stats=stats,
            opt_state={p.name: p.optimizer.init({n: params[n] for n in p.networks}) for p in players if not p.shares},
            # copied: an alias would be donated twice
            ema=jax.tree.map(jnp.copy, {name: {"params": params[name], "stats": stats[name]} for name in averaged}),
            extra=slots(params),
        )

    def init(key: Array) -> TrainState:
        fresh = {}
        for name, network in networks.items():
            with unfit.named(name):
                fresh[name] = network.init(rng.named(key, name))
        params = {name: params for name, (params, _) in fresh.items()}
        return begin(params, {name: stats for name, (_, stats) in fresh.items()})

    return System(
        init,
        begin,
        rules.then(rule, *controllers),
        rule.batches,
        networks,
        players,
        game.latent,
        sample=averaged_network(networks, "generator") if game.latent is not None else None,
        encode=encode,
        translate=translate,
        translate_back=translate_back,
        truncate=truncate,
    )


def sampler(system: System) -> tuple[Latent, Averaged]:
    """Returns what samples are drawn with: the distribution of latents, and the averaged generator.

    Raises:
        UserError: If the system does not sample.
    """
    if system.latent is None or system.sample is None:
        remedy = "it translates: python -m gan_jax.translate RUN --input DIRECTORY --output DIRECTORY"
        raise UserError(f"this system draws no samples; {remedy if system.translate else 'its game has no latents'}")
    return system.latent, system.sample


def averaged_network(networks: Mapping[str, Network], name: str) -> Averaged:
    """Returns `(ema, inputs) -> outputs`: a network with averaged parameters and statistics, in evaluation mode."""
    network = networks[name]

    def evaluate(ema: dict[str, PyTree], inputs: Array) -> Array:
        with unfit.named(name):
            return network.apply(ema[name]["params"], ema[name]["stats"], inputs, train=False)[0]

    return evaluate


def current(state: TrainState) -> dict[str, PyTree]:
    """Returns the current, unaveraged weights of the averaged networks, in the form of `TrainState.ema`."""
    return {name: {"params": state.params[name], "stats": state.stats[name]} for name in state.ema}
