"""Scores of a system: the choice of features, and the scores that training and `gan_jax.evaluate` compute."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from gan_jax import data
from gan_jax.data import Dataset, Spec
from gan_jax.errors import NotFound, UserError
from gan_jax.metrics import duality_gap as gap
from gan_jax.metrics import equilibrium as balance
from gan_jax.metrics import features, path_length, protocol
from gan_jax.metrics.features import Plan, inception, pretrained
from gan_jax.metrics.features.distance import Distance
from gan_jax.metrics.features.inception import Resize
from gan_jax.metrics.menu import Name, require
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scorer import Origin, SampleScores, Scorer, of_system, require_memory, scorer
from gan_jax.types import Array, PyTree, System, TrainState

FeatureName = Literal["classifier", "inception", "pixels"]


GAP_BATCHES = 10  # batches over which the duality gap is averaged


TRAINING = "training images"  # scored as samples: the reference value of a perfect generator


def planned(
    kind: FeatureName | None,
    name: str,
    spec: Spec,
    resolution: int | None = None,
    weights: Path | None = None,
    resize: Resize = "reference",
    train: Dataset | None = None,
) -> Plan:
    """Returns the features by which samples are compared with a data set, not loaded yet.

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
        UserError: If the data set has no labels to train a classifier with, features of images are asked for with
            another kind of examples, or there is no such file of weights.
    """
    if not spec.kind.is_image and kind in ("classifier", "inception"):
        raise UserError(f"features={kind!r} needs images, but {name} has {spec.kind.noun}; leave it out")
    if kind == "inception":
        return of_inception(weights, resize)
    if kind == "pixels" or not spec.kind.is_image:
        raw = features.raw(spec)
        return Plan(raw.name, raw.size, raw.classes, lambda: raw)
    if not spec.classes:
        raise UserError(
            f"features: {name} has no labels to train a classifier with; give --features inception (in training "
            "--eval-features), or --features pixels, which say less about quality"
        )
    if train is not None and train.held_out is not None:
        training, test = train, train.held_out
        load = lambda: features.of_classifier(pretrained.fitted(training, test), name)  # noqa: E731
        return Plan(f"classifier of {name}", pretrained.SIZE, spec.classes, load)
    name = data.images_of(name)
    title, size = f"classifier of {name}", pretrained.size(name)
    return Plan(title, size, spec.classes, lambda: features.of_classifier(pretrained.load(name, resolution), name))


def of_inception(weights: Path | None, resize: Resize = "reference") -> Plan:
    """Returns Inception's features, not loaded yet; arguments are those of `planned`.

    Raises:
        NotFound: If there is no such file of weights.
    """
    if weights is not None and not weights.is_file():
        raise NotFound(
            f"--inception {weights}: there is no such file; give that of Inception's weights, or leave it out"
        )
    return Plan(inception.NAME, inception.SIZE, inception.CLASSES, lambda: inception.features(weights, resize))


def in_training(
    system: System,
    train: Dataset,
    resolution: int | None,
    workdir: Path,
    metrics: Sequence[Name],
    kind: FeatureName | None,
    count: int,
) -> SampleScores:
    """Prepares the scores of a run that is about to start, against its test images; trains the classifier if needed.

    Args:
        system: The system to be trained.
        train: Its training data.
        resolution: The resolution at which they were loaded.
        workdir: The run directory, where the scores of the training images are written as reference values.
        metrics: The scores.
        kind: See `planned`.
        count: Number of samples per score.

    Raises:
        UserError: If they cannot be computed; raised before anything is loaded, trained or downloaded, if possible.
    """
    if system.sample is None:
        raise UserError(
            "eval_every, best: translated images cannot be scored during training; leave --eval-every and --best out"
        )
    began = time.monotonic()
    plan = planned(kind, train.name, train.spec, resolution, train=train)
    remedy = "raise --eval-count; or, if the images are too few, use kid instead of fid in --eval-metrics and --best"
    counts = {"samples": count, "training images": train.count}
    require(metrics, plan, counts, remedy, flags="--eval-")
    require_memory(system, plan, metrics, count)
    test = train.held_out or data.load(train.name, "test", resolution, skip_damaged=True)
    held_out = test.fingerprint != train.fingerprint
    require(metrics, plan, {"test images": test.count}, remedy, held_out=held_out, flags="--eval-")
    prepared = scorer(plan.load(), metrics, test, train)
    reference = yardstick(prepared, train, count, 0)
    protocol.write(workdir, reference)
    print(
        f"prepared scores with the features {plan.name!r} and {test.count:,} test {train.spec.kind.noun} in "
        f"{time.monotonic() - began:.0f} s; {TRAINING}: {', '.join(map(protocol.text, reference))}",
        flush=True,
    )
    return of_system(prepared, system, count)


def equilibrium(system: System, state: TrainState, real: Dataset, batch_size: int, seed: int) -> Score:
    """Scores the distance of the discriminator's accuracy from 50/50 on held-out images and fresh samples."""
    measured = balance.equilibrium(system, state, real.arrays, batch_size=batch_size, seed=seed, kind=real.spec.kind)
    value, batches = (measured.distance, measured.standard_error), len(real.arrays["image"]) // batch_size
    return _of_players("equilibrium", value, f"batch={batch_size}", batches * batch_size, real, state, seed)


def duality_gap(
    system: System, state: TrainState, train: Dataset, real: Dataset, batch_size: int, moves: int, seed: int
) -> Score:
    """Scores the duality gap after `moves` updates of each player, see `gan_jax.metrics.duality_gap`."""
    options = {"batch_size": batch_size, "moves": moves, "batches": GAP_BATCHES, "seed": seed, "kind": real.spec.kind}
    measured = gap.duality_gap(system, state, train.arrays, real.arrays, **options)
    value, settings = (measured.gap, measured.standard_error), f"batch={batch_size}, moves={moves}"
    return _of_players("duality_gap", value, settings, GAP_BATCHES * batch_size, real, state, seed)


def path_lengths(
    system: System, distance: Distance, ema: PyTree, real: Dataset, count: int, weights: str, step: int, seed: int
) -> list[Score]:
    """Scores the perceptual path length between latents, and between styles where the generator has such a layer.

    Args:
        system: The system.
        distance: The distance between images.
        ema: The generator's weights, in the form of `TrainState.ema`.
        real: The data set, for the record.
        count: Number of paths.
        weights: "averaged" or "raw", for the record.
        step: Step of the checkpoint.
        seed: Selects the paths.
    """
    spaces: list[path_length.Space] = ["latents"]
    if path_length.has_styles(system, ema):
        spaces.append("styles")
    scores = []
    for space in spaces:
        value = path_length.path_length(distance, system, ema, count, seed, space)
        settings = f"epsilon={path_length.EPSILON}, {distance.formula}, without {path_length.TRIMMED}% at either end"
        by = (distance.fingerprint, distance.name, distance.resize, settings)
        about = (*by, real.fingerprint, real.name, real.split)
        scores.append(Score(f"{distance.prefix}path_length_{space}", *value, *about, 0, count, weights, step, seed))
    return scores


def yardstick(scorer: Scorer, train: Dataset, count: int, seed: int) -> list[Score]:
    """Scores some training examples as samples, for a reference value."""
    return scorer.examples(drawn(train.arrays["image"], count, seed), Origin(TRAINING, seed=seed))


def drawn(examples: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draws at most `count` examples without replacement, in random order: a set may be sorted by class."""
    return examples[np.random.default_rng(seed).permutation(len(examples))[:count]]


def _of_players(
    metric: str, value: tuple[Array, Array], settings: str, count: int, real: Dataset, state: TrainState, seed: int
) -> Score:
    """Makes a score without features, of `count` real images and as many samples."""
    about = ("", "", "none", settings, real.fingerprint, real.name, real.split)
    return Score(metric, float(value[0]), float(value[1]), *about, count, count, "raw", int(state.step), seed)
