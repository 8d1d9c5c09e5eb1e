"""AdaGAN (Tolstikhin et al. 2017, arXiv:1701.02386): boosting: each component trains on data the mixture misses.

    for t = 0, ..., T - 1:
        beta = 1 / (t + 1)
        train a classifier C to tell data from samples of G, the mixture so far; its density ratio is d = (1 - C) / C
        weight examples by w = (lambda - (1 - beta) d)_+ / beta, with lambda such that the mean weight is 1
        train component t, a GAN of its own, on the weighted data; G <- (1 - beta) G + beta component

So w = 1 for the first component, and all components have equal weights, as in the paper's experiments. Training is one
run: the step determines which component trains. Discriminator, classifier and optimisers are reinitialised for each
component. A finished component is the average of its generator's weights, which the paper does not use. The classifier
trains first, and briefly: if it separated samples from data perfectly, all of the data would count as missed.

As in the authors' code, batches are drawn in proportion to the weights. That code weights all of the data once, before
a component trains; here each batch is drawn from a pool of several batches that are weighted together. Samples come
from the mixture of the finished components, and from the first component until it is finished.

What to expect: 3 runs of 2,000 iterations on fashion_mnist (`--g-width 16 --d-width 12`): FID 31.59 (30.67 to 33.86) by
its classifier's features, precision 0.47, recall 0.30; an iteration takes 2.57 times as long as one of dcgan.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from gan_jax import baseline, losses, rng, rules
from gan_jax.checks import require
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.devices import parallel
from gan_jax.game import Game
from gan_jax.methods import boosting, mixture
from gan_jax.methods.phases import phased
from gan_jax.networks.layers.norm import Norm
from gan_jax.types import Array, Aux, Batch, Controller, Metrics, Player, System, TrainState


@dataclass(frozen=True)
class Config(baseline.Baseline):
    """The baseline plus boosting: components, their iterations and the pool of weighted data."""

    components: int = 4
    """T, the number of components."""
    steps_per_component: int = 2_750
    """Iterations per component; samples no longer change after T times this number."""
    classifier_steps: int = 300
    """Iterations at the start of each component, except the first, in which only the classifier trains."""
    pool: int = 8
    """Data batches from which each weighted batch is drawn."""
    d_norm: Norm = "batch"
    """Normalisation of the discriminator."""


def build(config: Config, spec: Spec) -> System:
    """Assembles the game of one component, its classifier, the weighting of batches and the change of components."""
    steps, alone = config.steps_per_component, config.classifier_steps
    require(lambda: alone < steps, f"classifier_steps={alone}: give fewer than steps_per_component={steps}")
    require(
        lambda: config.accumulate == 1,
        f"accumulate={config.accumulate}: adagan cannot accumulate batches; leave --accumulate at 1",
    )
    networks = baseline.networks(config, spec, config.d_norm)
    networks["generator"] = generator = mixture.boosted(networks["generator"], config.components)
    judge = baseline.discriminator_module(config, spec, "layer")
    networks["classifier"] = classifier = baseline.network(config, judge, spec.shape)
    loss, latent = losses.non_saturating(), mixture.latent(baseline.latent(config))

    def classify(state: TrainState, images: Array) -> Array:
        return classifier.apply(state.params["classifier"], {}, images, train=False)[0]

    def classification(state: TrainState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        latents = latent.draw(rng.per_example(rng.named(key, "latent"), len(batch["unweighted"])))
        fake, _ = generator.apply(state.params["generator"], state.stats["generator"], latents, train=False)
        real, fake = classify(state, batch["unweighted"]), classify(state, fake)
        value = jnp.mean(loss.discriminator(real, fake))
        return value, Aux(metrics={"loss": value, "accuracy": (jnp.mean(real > 0) + jnp.mean(fake < 0)) / 2})

    def learns(state: TrainState) -> Array:
        done = state.stats["generator"]["trained"]
        return (done < config.components) & ((done == 0) | (state.step >= alone))

    def guarded(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        """Logs a diversity of 0 while the generator waits, or the guard would take it for collapsed."""
        names = ("discriminator/diversity_real", "generator/diversity_fake")
        return state, metrics | {name: jnp.where(learns(state), metrics[name], 0.0) for name in names}

    game = Game(networks, loss, latent)
    adam = baseline.adam(config, config.d_learning_rate)
    players = [
        baseline.discriminator(config, game, active=learns),
        baseline.generator(config, game, active=learns),
        Player("classifier", ("classifier",), classification, adam, active=lambda state: state.step < alone),
    ]
    system = baseline.system(config, game, rules.alternating(players), [Controller("diversity", guarded)])
    one_by_one = phased(system, steps, mixture.with_one_more)

    def update(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        beta = 1 / (1 + state.step // steps)
        pool = batch["image"].reshape(config.pool, -1, *spec.shape)
        rows = pool.swapaxes(0, 1).reshape(-1, *spec.shape)  # in an order that no number of devices changes
        weights = boosting.missed(parallel.gather(classify(state, rows)), beta)
        weighted = parallel.gather(rows)[boosting.places(weights, pool.shape[1], rng.named(key, "draw"))]
        state, metrics = one_by_one(state, {"image": weighted, "unweighted": pool[0]}, key)
        metrics |= {"weights/effective": 1 / jnp.mean(weights**2), "weights/zero": jnp.mean(weights == 0)}
        return state, metrics | {"mixture/components": state.stats["generator"]["trained"]}

    return system._replace(update=update, batches=config.pool)


def main(config: Config) -> None:
    """Trains AdaGAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__)
