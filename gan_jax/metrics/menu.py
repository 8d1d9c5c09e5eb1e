"""The menu of scores, and `scorer`, which computes several in one pass over a checkpoint's samples."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from gan_jax import game, latents
from gan_jax.data import Dataset
from gan_jax.devices import memory
from gan_jax.devices.batched import joined
from gan_jax.errors import UserError
from gan_jax.metrics import classes, features, fid, inception_score, kid, precision_recall
from gan_jax.metrics.estimate import Estimate
from gan_jax.metrics.features import Features, Stream
from gan_jax.metrics.precision_recall import Overlap
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.statistics import Summary, summarise
from gan_jax.types import PyTree, System

Name = Literal[
    "fid",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "classes",
    "class_kl",
    "uniform_kl",
    "copying",
]


GROUPS = 10  # groups of samples, from which the errors of some scores are estimated


class Metric(NamedTuple):
    """One score on the menu.

    Attributes:
        of: The score, `(Sets) -> Estimate`.
        settings: Its fixed settings, for the record.
        higher: Whether higher is better.
        keep: Whether it needs all features at once.
        probabilities: Whether it needs a classifier's probabilities.
    """

    of: Callable[["Sets"], Estimate]
    settings: str = ""
    higher: bool = False
    keep: bool = False
    probabilities: bool = False


class Sets(NamedTuple):
    """The image sets that a score compares.

    Attributes:
        real: Real images.
        fake: Samples.
        train: Features of the generator's training images, where needed.
        few: Whether an FID with no more images than features is accepted.
        overlap: Returns precision, recall, density and coverage, which share their searches; computed once.
    """

    real: Summary
    fake: Summary
    train: np.ndarray | None
    few: bool
    overlap: Callable[[], Overlap]


METRICS: dict[Name, Metric] = {
    "fid": Metric(lambda sets: fid.fid(sets.real, sets.fake, sets.few)),
    "kid": Metric(lambda sets: kid.kid(sets.real, sets.fake), keep=True),
    "inception_score": Metric(
        lambda sets: inception_score.inception_score(sets.fake), f"{GROUPS} groups", higher=True, probabilities=True
    ),
    "precision": Metric(lambda sets: sets.overlap().precision, "k=3", higher=True, keep=True),
    "recall": Metric(lambda sets: sets.overlap().recall, "k=3", higher=True, keep=True),
    "density": Metric(lambda sets: sets.overlap().density, "k=5", higher=True, keep=True),
    "coverage": Metric(lambda sets: sets.overlap().coverage, "k=5", higher=True, keep=True),
    "classes": Metric(lambda sets: classes.covered(sets.fake), higher=True, probabilities=True),
    "class_kl": Metric(lambda sets: classes.class_kl(sets.real, sets.fake), probabilities=True),
    "uniform_kl": Metric(lambda sets: classes.uniform_kl(sets.fake), probabilities=True),
    "copying": Metric(
        lambda sets: precision_recall.copying(sets.train, sets.real.features, sets.fake.features), keep=True
    ),
}


def enough(metrics: Sequence[Name], size: int, remedy: str, **counts: int) -> None:
    """Refuses an FID with no more images than features, before anything is computed.

    Args:
        metrics: The scores.
        size: Number of features.
        remedy: The remedy that the error message suggests.
        **counts: Numbers of images, by a name for the message, such as `test_images`.

    Raises:
        UserError: If one of them is too small.
    """
    for name, count in counts.items():
        if "fid" in metrics and count <= size:
            raise UserError(
                f"fid: {count:,} {name.replace('_', ' ')} are too few for an FID of {size:,} features; {remedy}"
            )


class Scorer(NamedTuple):
    """Functions that compute scores.

    Attributes:
        samples: `(ema, weights, step) -> scores` of the generator with these averaged networks.
        images: `(images uint8 [n, H, W, C], weights) -> scores` of images scored as samples, for a reference value.
    """

    samples: Callable[[PyTree, str, int | None], list[Score]]
    images: Callable[[np.ndarray, str], list[Score]]


def scorer(
    system: System,
    features_: Features,
    metrics: Sequence[Name],
    real: Dataset,
    train: Dataset | None = None,
    *,
    count: int,
    seed: int = 0,
    few: bool = False,
) -> Scorer:
    """Prepares scores: computes the features of the real images once.

    The samples are those of `gan_jax.sample` with the same seed.

    Args:
        system: The system whose generator is scored.
        features_: The features that are compared.
        metrics: The scores.
        real: The real images.
        train: The generator's training images, for "copying".
        count: Number of samples.
        seed: Seed of the samples.
        few: Whether to accept an FID with no more images than features.

    Raises:
        UserError: If a metric needs probabilities or held-out images that are not there, there are too few images, or
            the samples do not fit in memory.
    """
    if count < GROUPS:
        raise UserError(f"count={count}: standard errors need {GROUPS} samples; give 2,000 or more (papers use 50,000)")
    for name in metrics:
        if METRICS[name].probabilities and not features_.classes:
            raise UserError(
                f"metrics: {name} needs probabilities, which the features {features_.name!r} do not give; leave it out"
            )
        if name == "copying" and (train is None or train.fingerprint == real.fingerprint):
            raise UserError("metrics: copying needs images held out from training; give --split test")
    keep = any(METRICS[name].keep for name in metrics)
    latent, generate = game.sampler(system)
    held = 4 * count * (latent.size + keep * features_.size)
    memory.require(held, f"scoring {count:,} samples", "use fewer samples or metrics")
    of_images = features.extractor(features_, features.of_data(real.spec.kind))
    of_samples = features.extractor(features_, features.of_samples(real.spec.kind, generate))
    reference = summarise(of_images(None, real.arrays["image"]), len(real.arrays["image"]), groups=1, keep=keep)
    seen = None
    if train is not None and "copying" in metrics:
        seen = joined(of_images(None, train.arrays["image"]))[0]
    drawn = latents.numbered(latent, seed, count)

    def scores(stream: Stream, size: int, weights: str, step: int | None) -> list[Score]:
        fake = summarise(stream, size, GROUPS, keep)
        sets = Sets(reference, fake, seen, few, functools.cache(lambda: precision_recall.overlap(reference, fake)))
        found = []
        for name in metrics:
            value, error = METRICS[name].of(sets)
            about = (features_.fingerprint, features_.name, features_.resize, METRICS[name].settings)
            data = (real.fingerprint, real.name, real.split, reference.count)
            found.append(Score(name, value, error, *about, *data, size, weights, step, seed))
        return found

    return Scorer(
        samples=lambda ema, weights, step: scores(of_samples(ema, drawn), count, weights, step),
        images=lambda images, weights: scores(of_images(None, images), len(images), weights, None),
    )
