"""A game composed by name, and how it is built."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.laboratory.menu import IN_TURNS, LOSSES, PARTS, RULES, TERMS
from gan_jax import latents, optimizers, rng, terms
from gan_jax.checks import require, require_weight
from gan_jax.data import Spec
from gan_jax.errors import UserError
from gan_jax.game import Game, discriminator, generator, system
from gan_jax.networks import dcgan, linen, mlp
from gan_jax.networks.layers.norm import Norm
from gan_jax.rules import controllers
from gan_jax.types import Metrics, Network, System, Term, TrainState


@dataclass(frozen=True)
class Choice:
    """A game composed by name, and its training."""

    dataset: str = "ring"
    """ring, grid, spiral, swiss_roll, moons; or images, as for `experiments.dcgan`."""
    loss: str = "non_saturating"
    """Name of the loss on the menu; the rule unrolled takes zero_sum, softmax, dual_contrastive or a relativistic
    loss."""
    terms: tuple[str, ...] = ("r1",)
    """Names of regularisation terms on the menu, or none."""
    weight: float = 1.0
    """Factor on the weights of all terms."""
    rule: str = "alternating"
    """Name of the update rule on the menu."""
    parts: tuple[str, ...] = ()
    """Names of parts on the menu: further options of the game."""
    d_norm: Norm = "none"
    """Normalisation of the discriminator."""
    d_steps: int = 1
    """Discriminator updates per iteration, for rules in which players take turns."""
    lookahead: int = 0
    """Iterations between lookahead steps of both players together; 0 for none."""
    batch_size: int = 256
    latent_size: int = 2
    width: int = 128
    """Units of the two hidden layers of each network; for images, channels of the largest map."""
    learning_rate: float = 3e-3
    """Initial learning rate of both players; it falls to 0 along a cosine."""
    ema_decay: float = 0.999
    steps: int = 8_000
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


def networks(choice: Choice, spec: Spec) -> dict[str, Network]:
    """Returns fully connected networks for points, convolutional ones for images.

    Raises:
        UserError: If the loss needs an autoencoder's energies, and there is no autoencoder for these data or this norm.
    """
    size = (choice.latent_size,)
    energies = choice.loss in ("energy", "began")
    if energies and (spec.kind.is_image or choice.d_norm != "none"):
        raise UserError(
            f"loss={choice.loss!r} needs an autoencoder as the discriminator, which is only available for points and "
            "without normalisation; choose another loss, or a data set of points and d_norm='none'"
        )
    if spec.kind.is_image:
        critic = dcgan.Discriminator(spec.shape, choice.width, choice.d_norm, with_features=True)
        return {
            # a path length belongs to one example, and batch norm mixes examples
            "generator": linen(
                dcgan.Generator(spec.shape, choice.width, "layer" if "path_length" in choice.terms else "batch"), size
            ),
            "discriminator": linen(critic, spec.shape),
        }
    hidden = (choice.width, choice.width)
    order = 1 if choice.loss == "began" else 2
    judge = mlp.Discriminator(hidden, choice.d_norm, with_features=True)
    critic = mlp.Autoencoder(hidden, 1, order) if energies else judge
    return {
        "generator": linen(mlp.Generator(spec.shape, hidden, norm="none", bounded=False), size),
        "discriminator": linen(critic, spec.shape),
    }


def build(choice: Choice, spec: Spec) -> System:
    """Assembles the game of a choice.

    Raises:
        UserError: If a name is not on its menu.
    """
    loss, rule = _on("loss", choice.loss, LOSSES), _on("rule", choice.rule, RULES)
    chosen = {name: _on("terms", name, TERMS) for name in choice.terms if name != "none"}
    parts = [_on("parts", name, PARTS) for name in choice.parts]
    require_weight("weight", choice.weight)
    if choice.d_steps > 1:
        if choice.rule not in IN_TURNS:
            raise UserError(
                f"d_steps={choice.d_steps}: rule {choice.rule!r} moves all players at once; leave d_steps out"
            )
        rule = functools.partial(rule, repeats={"discriminator": choice.d_steps})
    require(lambda: choice.steps >= 1, f"steps={choice.steps}: give at least 1")
    scale = optax.constant_schedule(choice.weight)

    def terms_of(player: str) -> list[Term]:
        return [
            terms.scheduled(both[player], scale)._replace(name=name) for name, both in chosen.items() if player in both
        ]

    carried = [controllers.balance()] if choice.loss == "began" else []
    adaptive = [name for name in choice.parts if name != "latent_optimisation"]
    carried += [controllers.adaptive_augmentation(choice.batch_size, name=name) for name in adaptive]
    if choice.lookahead:
        carried += [controllers.lookahead(["discriminator", "generator"], choice.lookahead)]
    rate = optimizers.cosine(choice.learning_rate, choice.steps)
    adam = optimizers.adam(rate, 0.0, 0.9, eps_root=1e-12)  # eps_root gives a derivative at 0, for unrolling
    latent = latents.normal(choice.latent_size)
    options = {name: value for part in parts for name, value in part(latent).items()}
    game = Game(networks(choice, spec), loss, latent, **options)
    players = [
        discriminator(game, adam, terms_of("discriminator")),
        generator(game, adam, terms_of("generator")),
    ]
    average = controllers.ema("generator", choice.ema_decay)
    return system(game, rule(players), [*carried, average])


def traced(choice: Choice, spec: Spec) -> tuple[TrainState, TrainState, Metrics]:
    """Builds the game and traces an iteration, so that invalid choices raise before training.

    Returns:
        Shapes of the initial state, of the state after an iteration, and of the metrics.
    """
    system = build(choice, spec)
    state = jax.eval_shape(system.init, rng.key(0))
    rows = (choice.batch_size,) if system.batches == 1 else (system.batches, choice.batch_size)
    batch = {"image": jax.ShapeDtypeStruct((*rows, *spec.shape), jnp.float32)}
    return state, *jax.eval_shape(system.update, state, batch, rng.key(0))


def _on(argument: str, name: str, menu: dict[str, Any]) -> Any:
    if name not in menu:
        raise UserError(f"{argument}: {name!r} is not on the menu; choose from {', '.join(menu)}")
    return menu[name]
