"""From networks, players and an update to a `System`: what an experiment's `build` returns."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import optax

from gan_jax import objectives, rng, rules
from gan_jax.penalties import Penalty
from gan_jax.types import Array, GanLoss, Latent, Network, Player, PyTree, System, TrainState, Update


def gan(
    networks: Mapping[str, Network],
    loss: GanLoss,
    latent: Latent,
    optimizers: Mapping[str, optax.GradientTransformation],
    repeats: Mapping[str, int] | None = None,
    penalties: Sequence[Penalty] = (),
    ema_decay: float = 0.999,
) -> System:
    """Builds the game of a discriminator and a generator that take turns, its generator averaged for sampling.

    Args:
        networks: "generator", latents -> images, and "discriminator", images -> logits.
        loss: The adversarial loss.
        latent: The generator's input.
        optimizers: Of "discriminator" and "generator".
        repeats: Moves of each an iteration, 1 where not named.
        penalties: Terms beside the discriminator's loss.
        ema_decay: Of the average, see `rules.ema`.
    """
    players = (
        Player(
            "discriminator",
            ("discriminator",),
            objectives.discriminator(networks, loss, latent, penalties),
            optimizers["discriminator"],
        ),
        Player("generator", ("generator",), objectives.generator(networks, loss, latent), optimizers["generator"]),
    )
    update = rules.then(rules.alternating(players, repeats), rules.ema("generator", ema_decay))
    return system(networks, players, update, latent, batches=max((repeats or {}).values(), default=1))


def system(
    networks: Mapping[str, Network],
    players: Sequence[Player],
    update: Update,
    latent: Latent,
    batches: int = 1,
    extra: Mapping[str, PyTree] | None = None,
) -> System:
    """Joins the parts of an experiment.

    Args:
        networks: Name -> network; "generator" is averaged and sampled from.
        players: All that the update moves.
        update: One iteration.
        latent: The generator's input.
        batches: The largest number of moves that a player makes an iteration.
        extra: Slot name -> first value of what methods carry.

    Raises:
        ValueError: If a player moves a network that is not there.
    """
    for player in players:
        for name in player.networks:
            if name not in networks:
                raise ValueError(f"player {player.name!r} moves {name!r}; the networks are {sorted(networks)}")

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
            ema=jax.tree.map(jnp.copy, {"generator": {"params": params["generator"], "stats": stats["generator"]}}),
            extra=dict(extra or {}),
        )

    def generate(ema: dict[str, PyTree], latents: Array) -> Array:
        average = ema["generator"]
        return networks["generator"].apply(average["params"], average["stats"], latents, train=False)[0]

    return System(init, update, batches, latent, generate)
