"""Games composed by name: menus of losses, terms, rules and other parts; how a choice is built, trained and scored.

The names are for the command lines of `experiments.toy2d` and `experiments.loss_zoo` only; in code, pass functions.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_jax import augment, data, latents, losses, optimizers, penalties, rng, rules, terms
from gan_jax.checks import require, require_weight
from gan_jax.data import Spec
from gan_jax.data.sources import toys
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.game import Game, discriminator, generator, sampler, system
from gan_jax.loop import Run, population
from gan_jax.loop.population import Seed
from gan_jax.losses import f_divergences, labels
from gan_jax.methods.latent_optimisation import natural_step
from gan_jax.methods.pseudo_augmentation import pseudo_augmentation
from gan_jax.metrics.features import classifier, pretrained
from gan_jax.metrics.modes import modes
from gan_jax.networks import dcgan, linen, mlp
from gan_jax.networks.layers.norm import Norm
from gan_jax.rules import controllers
from gan_jax.types import Latent, Loss, Metrics, Network, PyTree, Rule, System, Term, TrainState

SAMPLES = 10_000  # scored per seed

LOSSES: dict[str, Loss] = {
    "minimax": losses.minimax(),
    "non_saturating": losses.non_saturating(),
    "zero_sum": losses.zero_sum(losses.non_saturating()),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(losses.non_saturating()),
    "relativistic_hinge": losses.relativistic(losses.hinge()),
    "relativistic_average": losses.relativistic_average(losses.non_saturating()),
    "boundary_seeking": losses.boundary_seeking(),
    "softmax": losses.softmax(),
    "dual_contrastive": losses.dual_contrastive(),
    "kl": f_divergences.f_gan(f_divergences.kl()),
    "reverse_kl": f_divergences.f_gan(f_divergences.reverse_kl()),
    "pearson": f_divergences.f_gan(f_divergences.pearson()),
    "neyman": f_divergences.f_gan(f_divergences.neyman()),
    "squared_hellinger": f_divergences.f_gan(f_divergences.squared_hellinger()),
    "jensen_shannon": f_divergences.f_gan(f_divergences.jensen_shannon()),
    "total_variation": f_divergences.f_gan(f_divergences.total_variation()),
    "smoothed": labels.smooth(losses.non_saturating()),
    "flipped": labels.flip(losses.non_saturating(), 0.05),
    "top_k": losses.top_k(losses.non_saturating(), optax.linear_schedule(1.0, 0.5, 5_000)),
    "energy": losses.energy(margin=1.0),
    "began": losses.balanced(),
}
"""energy and began have an autoencoder as the discriminator."""

TERMS: dict[str, dict[str, Term]] = {
    "r1": {"discriminator": penalties.r1(1.0)},
    "r2": {"discriminator": penalties.r2(1.0)},
    "gradient_penalty": {"discriminator": penalties.gradient_penalty(0.1)},
    "one_sided": {"discriminator": penalties.gradient_penalty(0.1, one_sided=True)},
    "zero_centred": {"discriminator": penalties.gradient_penalty(0.1, target=0.0)},
    "dragan": {"discriminator": penalties.dragan(0.1)},
    "max_gradient": {"discriminator": penalties.max_gradient(0.1)},
    "lecam": {"discriminator": penalties.lecam(0.1)},
    "approximated_r1": {"discriminator": terms.approximated_r1(50.0, 0.1)},
    "approximated_r2": {"discriminator": terms.approximated_r2(50.0, 0.1)},
    "lazy_r1": {"discriminator": terms.lazy(penalties.r1(1.0), 4)},
    "consistency": {"discriminator": terms.consistency(augment.instance_noise(0.05), real=1.0, fake=1.0)},
    "latent_consistency": {
        "discriminator": terms.latent_consistency(1.0),
        "generator": terms.latent_diversity(0.1),
    },
    "feature_matching": {"generator": terms.feature_matching(1.0)},
    "pull_away": {"generator": terms.pull_away(0.1)},
    "mode_seeking": {"generator": terms.mode_seeking(0.1)},
    "path_length": {"generator": terms.path_length(0.1)},
    "orthogonal": {"discriminator": terms.orthogonal(1e-4, "discriminator")},
    "historical": {"discriminator": terms.historical_averaging(1e-3, "discriminator")},
}
"""The weights suit points about 2 from the origin; images need weights of another order."""

RULES: dict[str, Callable[..., Rule]] = {
    "alternating": rules.alternating,
    "simultaneous": rules.simultaneous,
    "unrolled": functools.partial(rules.unrolled, steps=5),
    "extragradient": rules.extragradient,
    "consensus": functools.partial(rules.consensus, strength=0.1),
    "symplectic": functools.partial(rules.symplectic, strength=0.1),
}
PARTS: dict[str, Callable[[Latent], dict[str, Any]]] = {
    "diffusion": lambda latent: {"augment": augment.diffusion("diffusion", std=0.5)},
    "pseudo_augmentation": lambda latent: {"pseudo": pseudo_augmentation("pseudo_augmentation")},
    "latent_optimisation": lambda latent: {"refine": natural_step(latent, 0.9, 5.0, bound=None)},
}
"""Options of `Game`. The noise of diffusion and the share of samples shown as real are adaptive."""
IN_TURNS = ("alternating", "unrolled")
"""Rules under which the players move one after another, so that one can move more often."""

MENU = "\n\n".join(
    f"{name}: {', '.join(menu)}"
    for name, menu in (("loss", LOSSES), ("terms", TERMS), ("rule", RULES), ("parts", PARTS))
)


@dataclasses.dataclass(frozen=True)
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


def play(
    choice: Choice,
    watch: Callable[[System, TrainState], PyTree] = lambda system, state: None,
    every: int | None = None,
) -> tuple[System, TrainState, PyTree]:
    """Trains all seeds in one compiled call, see `population.train`.

    Returns:
        The system; the last states `[seeds, ...]`; and what was watched, `[seeds, 1 + stops, ...]`.
    """
    dataset, run = data.load(choice.dataset), Run(steps=choice.steps)
    system = build(choice, dataset.spec)
    configs = [Seed(choice.batch_size, seed, run) for seed in choice.seeds]
    members = population.train(lambda config, spec: system, dataset, configs, watch, every)
    return system, members.states, members.watched


def scores(choice: Choice, trained: System, states: TrainState) -> list[dict[str, float]]:
    """Scores samples of the averaged generator of every seed.

    On a mixture: `modes.Modes`. On a curve: the share of samples within 3 standard deviations. On images: the share of
    samples that a classifier of the data set is sure of, and the share of the rarest class.
    """
    latent, generate = sampler(trained)
    generate = jax.jit(generate)

    def samples(ema: PyTree, count: int) -> np.ndarray:
        drawn = latent.draw(rng.numbered(rng.key(1), count))
        return in_batches(functools.partial(generate, ema), 500, drawn)

    def score(ema: PyTree) -> dict[str, float]:
        if choice.dataset in toys.MIXTURES:
            result = modes(jnp.asarray(samples(ema, SAMPLES)), toys.MIXTURES[choice.dataset]())
            return {name: float(value) for name, value in result._asdict().items()}
        if choice.dataset in toys.CURVES:
            curves = toys.CURVES[choice.dataset]()
            return {
                "high_quality": float(np.mean(toys.nearest(samples(ema, SAMPLES), curves).distance < 3 * curves.std))
            }
        judge = pretrained.load(choice.dataset)
        result = classifier.verdict(judge.probabilities(samples(ema, 2_000)))
        return {"sure": result.sure, "rarest": min(result.shares)}

    return [score(jax.tree.map(lambda x, i=i: x[i], states.ema)) for i in range(len(choice.seeds))]


def _on(argument: str, name: str, menu: dict[str, Any]) -> Any:
    if name not in menu:
        raise UserError(f"{argument}: {name!r} is not on the menu; choose from {', '.join(menu)}")
    return menu[name]
