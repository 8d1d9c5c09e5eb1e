"""Scores a set of examples against real ones, such as the samples of a system or the images of a folder."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gan_jax import game, latents
from gan_jax.data import Dataset
from gan_jax.data.kinds import Kind
from gan_jax.devices import memory
from gan_jax.devices.batched import joined
from gan_jax.metrics import features, precision_recall
from gan_jax.metrics.features import Features, Plan, Stream
from gan_jax.metrics.menu import GROUPS, METRICS, Name, Sets, require
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.statistics import summarise
from gan_jax.types import PyTree, System


class Origin(NamedTuple):
    """Where scored examples come from, for the record.

    Attributes:
        weights: "averaged" or "raw" of a system's samples; else what the examples are, such as "training images".
        step: Step of the checkpoint; None where there is none.
        seed: Seed of the samples, or of their choice from a larger set.
        fingerprint: Fingerprint of the set; "" of a system's samples.
    """

    weights: str
    step: int | None = None
    seed: int = 0
    fingerprint: str = ""


class Scorer(NamedTuple):
    """Scores sets of examples against real ones.

    Attributes:
        judge: The features that are compared.
        kind: Kind of the examples.
        stream: `(features of the examples, their number, origin) -> scores`.
        examples: `(examples as stored [n, ...], origin) -> scores`; they must be in random order, as errors come from
            groups of them.
    """

    judge: Features
    kind: Kind
    stream: Callable[[Stream, int, Origin], list[Score]]
    examples: Callable[[np.ndarray, Origin], list[Score]]


SampleScores = Callable[[PyTree, str, int | None], list[Score]]  # (averaged networks, weights, step) -> scores


def scorer(
    judge: Features, metrics: Sequence[Name], real: Dataset, train: Dataset | None = None, *, few: bool = False
) -> Scorer:
    """Prepares scores: computes the features of the real examples once.

    Args:
        judge: The features that are compared.
        metrics: The scores.
        real: The real examples.
        train: The generator's training examples, for "copying".
        few: Whether to accept an FID with no more examples than features.

    Raises:
        UserError: If a metric needs probabilities or held-out examples that are not there, or there are too few.
    """
    held_out = train is not None and train.fingerprint != real.fingerprint
    remedy = "give more, or accept this with few=True"
    require(metrics, judge, {"real examples": real.count}, remedy, few=few, held_out=held_out)
    keep = any(METRICS[name].keep for name in metrics)
    of_examples = features.extractor(judge, features.of_data(real.spec.kind))
    reference = summarise(of_examples(None, real.arrays["image"]), real.count, groups=1, keep=keep)
    training = None
    if train is not None and "copying" in metrics:
        training = joined(of_examples(None, train.arrays["image"]))[0]

    def scores(stream: Stream, count: int, origin: Origin) -> list[Score]:
        fake = summarise(stream, count, GROUPS, keep)
        overlap = functools.cache(lambda: precision_recall.overlap(reference, fake))
        sets = Sets(reference, fake, training, few, real.spec.shape, overlap)
        results = []
        for name in metrics:
            value, error = METRICS[name].of(sets)
            about = (judge.fingerprint, judge.name, judge.resize, METRICS[name].settings)
            data = (real.fingerprint, real.name, real.split, reference.count)
            results.append(Score(name, value, error, *about, *data, count, *origin))
        return results

    return Scorer(
        judge,
        real.spec.kind,
        scores,
        lambda examples, origin: scores(of_examples(None, examples), len(examples), origin),
    )


def of_system(scorer: Scorer, system: System, count: int, seed: int = 0) -> SampleScores:
    """Returns the scores of a system's samples: those that `gan_jax.sample` draws with the same seed.

    Args:
        scorer: A scorer.
        system: The system whose generator is scored.
        count: Number of samples.
        seed: Seed of the samples.
    """
    latent, generate = game.sampler(system)
    of_samples = features.extractor(scorer.judge, features.of_samples(scorer.kind, generate))
    drawn = latents.numbered(latent, seed, count)
    return lambda ema, weights, step: scorer.stream(of_samples(ema, drawn), count, Origin(weights, step, seed))


def require_memory(system: System, judge: Features | Plan, metrics: Sequence[Name], count: int) -> None:
    """Checks that host memory can hold what scoring `count` samples of a system keeps.

    Raises:
        OutOfMemory: If it cannot, with the number of bytes.
    """
    keep = any(METRICS[name].keep for name in metrics)
    held = 4 * count * (game.sampler(system)[0].size + keep * judge.size)
    memory.require(held, f"scoring {count:,} samples", "use fewer samples or metrics")
