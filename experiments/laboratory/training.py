"""Trains a composed game, all seeds at once, and scores its samples."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.laboratory.games import Choice, build
from gan_jax import data, rng
from gan_jax.data.sources import toys
from gan_jax.devices.batched import in_batches
from gan_jax.game import sampler
from gan_jax.loop import Run, population
from gan_jax.loop.population import Seed
from gan_jax.metrics.features import classifier, pretrained
from gan_jax.metrics.modes import modes
from gan_jax.types import PyTree, System, TrainState

SAMPLES = 10_000  # scored per seed


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
