"""Scores of a system: the choice of features, and the scores that training and `gan_jax.evaluate` compute."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from gan_jax import data
from gan_jax.data import Dataset, Spec
from gan_jax.errors import UserError
from gan_jax.metrics import duality_gap as gap
from gan_jax.metrics import features, protocol
from gan_jax.metrics.features import Features, classifier, inception, pretrained
from gan_jax.metrics.features.inception import Resize
from gan_jax.metrics.menu import Name, Scorer, enough, scorer
from gan_jax.metrics.protocol import Score
from gan_jax.types import Array, System, TrainState

FeatureName = Literal["classifier", "inception", "pixels"]


GAP_BATCHES = 10  # batches over which the duality gap is averaged


TRAINING = "training images"  # scored as samples: the reference value of a perfect generator


def features_of(
    kind: FeatureName | None,
    name: str,
    spec: Spec,
    resolution: int | None = None,
    weights: Path | None = None,
    resize: Resize = "reference",
    train: Dataset | None = None,
) -> Features:
    """Returns the features by which samples are compared with a data set.

    Args:
        kind: "classifier": that of the data set, trained once; "inception": the network of published scores; "pixels":
            raw values; None: the classifier for images, raw values for other kinds.
        name: Name of the data set.
        spec: Its specification.
        resolution: The resolution at which it was loaded.
        weights: File of Inception's weights; None uses those in the cache, or downloads them.
        resize: How images are resized for Inception.
        train: The training data, if they are in memory; other data are loaded by name to train a classifier.

    Raises:
        UserError: If the data set has no labels, so that there is no classifier, or networks for images are to judge
            another kind.
    """
    if not spec.kind.is_image:
        if kind in ("classifier", "inception"):
            raise UserError(f"features={kind!r} needs images, but {name} has {spec.kind.noun}; leave it out")
        return features.raw(spec)
    if kind == "inception":
        return inception.features(weights, resize)
    if kind == "pixels":
        return features.raw(spec)
    if not spec.classes:
        raise UserError(
            f"features: {name} has no labels to train a classifier with; give --features inception, or --features "
            "pixels, which say less about quality"
        )
    if train is not None and train.held_out is not None:
        return features.of_classifier(pretrained.fitted(train, train.held_out), name)
    name = data.images_of(name)
    return features.of_classifier(pretrained.load(name, resolution), name)


def in_training(
    system: System,
    train: Dataset,
    resolution: int | None,
    workdir: Path,
    metrics: Sequence[Name],
    kind: FeatureName | None,
    count: int,
) -> Scorer:
    """Prepares the scores of a run that is about to start, against its test images; trains the classifier if needed.

    Args:
        system: The system to be trained.
        train: Its training data.
        resolution: The resolution at which they were loaded.
        workdir: The run directory, where the scores of the training images are written as reference values.
        metrics: The scores.
        kind: See `features_of`.
        count: Number of samples per score.
    """
    if system.sample is None:
        raise UserError(
            "eval_every, best: translated images cannot be scored during training; leave --eval-every and --best out"
        )
    began = time.monotonic()
    test = train.held_out or data.load(train.name, "test", resolution, skip_damaged=True)
    remedy = "raise --eval-count; or, if the images are too few, use kid instead of fid in --eval-metrics and --best"
    counts = {"samples": count, "test_images": test.count, "training_images": train.count}
    if kind == "classifier" or (kind is None and train.spec.kind.is_image):
        enough(metrics, classifier.SIZE, remedy, **counts)  # before it is trained, which takes minutes
    judge = features_of(kind, train.name, train.spec, resolution, train=train)
    enough(metrics, judge.size, remedy, **counts)
    made = scorer(system, judge, metrics, test, train, count=count)
    protocol.write(workdir, yardstick(made, train, count, 0))
    print(
        f"prepared scores with the features {judge.name!r} and {test.count:,} test {train.spec.kind.noun} in "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return made


def equilibrium(system: System, state: TrainState, real: Dataset, batch_size: int, seed: int) -> Score:
    """Scores the distance of the discriminator's accuracy from 50/50 on held-out images and fresh samples."""
    found = gap.equilibrium(system, state, real.arrays, batch_size=batch_size, seed=seed, kind=real.spec.kind)
    value, batches = (found.distance, found.standard_error), len(real.arrays["image"]) // batch_size
    return _of_players("equilibrium", value, f"batch={batch_size}", batches * batch_size, real, state, seed)


def duality_gap(
    system: System, state: TrainState, train: Dataset, real: Dataset, batch_size: int, moves: int, seed: int
) -> Score:
    """Scores the duality gap after `moves` updates of each player, see `gan_jax.metrics.duality_gap`."""
    options = {"batch_size": batch_size, "moves": moves, "batches": GAP_BATCHES, "seed": seed, "kind": real.spec.kind}
    found = gap.duality_gap(system, state, train.arrays, real.arrays, **options)
    value, settings = (found.gap, found.standard_error), f"batch={batch_size}, moves={moves}"
    return _of_players("duality_gap", value, settings, GAP_BATCHES * batch_size, real, state, seed)


def yardstick(made: Scorer, train: Dataset, count: int, seed: int) -> list[Score]:
    """Scores training images, drawn without replacement, as samples, for a reference value."""
    order = np.random.default_rng(seed).permutation(len(train.arrays["image"]))[:count]
    return made.images(train.arrays["image"][np.sort(order)], TRAINING)


def _of_players(
    metric: str, value: tuple[Array, Array], settings: str, count: int, real: Dataset, state: TrainState, seed: int
) -> Score:
    """Makes a score without features, of `count` real images and as many samples."""
    about = ("", "", "none", settings, real.fingerprint, real.name, real.split)
    return Score(metric, float(value[0]), float(value[1]), *about, count, count, "raw", int(state.step), seed)
