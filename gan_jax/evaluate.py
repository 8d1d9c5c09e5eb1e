"""Scores of a run's checkpoints: `python -m gan_jax.evaluate RUN`, or the functions behind it.

Scores go to `RUN/scores.jsonl`, each with its protocol (`metrics.protocol`), and to the report as curves.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from gan_jax import checkpoint, data, report, runs
from gan_jax.cli import cli
from gan_jax.data import Dataset, Spec
from gan_jax.errors import UserError
from gan_jax.metrics import classifier, features, game, inception, protocol
from gan_jax.metrics.features import Features
from gan_jax.metrics.inception import Resize
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scores import Name, Scorer, enough, scorer
from gan_jax.system import current
from gan_jax.types import Array, System, TrainState

Kind = Literal["classifier", "inception", "pixels"]
DEFAULT: tuple[Name, ...] = ("fid", "kid", "precision", "recall", "density", "coverage")
WITH_CLASSES: tuple[Name, ...] = ("classes", "class_kl")  # also by default, where there is a classifier
GAP_BATCHES = 10  # over which the duality gap is averaged
TRAINING = "training images"  # as samples, the yardstick of a perfect generator


def features_of(
    kind: Kind | None,
    name: str,
    spec: Spec,
    resolution: int | None = None,
    weights: Path | None = None,
    resize: Resize = "reference",
) -> Features:
    """Returns the features by which a data set's samples are judged.

    Args:
        kind: "classifier", of the data set, fitted once; "inception", that of published scores; "pixels"; or None for
            the classifier of images, and the coordinates of points.
        name: The data set.
        spec: Its images' shape, and number of classes.
        resolution: At which it was loaded.
        weights: The file of Inception's weights; None takes those in the cache, or downloads them.
        resize: How images are brought to Inception's size.

    Raises:
        UserError: If the data set has no labels, so that there is no classifier.
    """
    if kind == "inception":
        return inception.features(weights, resize)
    if kind == "pixels" or len(spec.shape) == 1:
        return features.pixels(spec)
    if not spec.classes:
        raise UserError(
            f"features: {name} has no labels, so no classifier; give --features inception, or pixels, which say little"
        )
    name = data.images_of(name)
    return features.of_classifier(classifier.load(name, resolution), name)


def in_training(
    system: System,
    train: Dataset,
    resolution: int | None,
    workdir: Path,
    metrics: Sequence[Name],
    kind: Kind | None,
    count: int,
) -> Scorer:
    """Prepares the scores of a run that is about to begin, beside its test images; fits the classifier if need be.

    Args:
        system: What is trained.
        train: On what.
        resolution: At which it was loaded.
        workdir: The run directory, where the yardstick is written.
        metrics: Which scores.
        kind: See `features_of`.
        count: Number of samples in each.
    """
    if system.latent.translates:
        raise UserError("eval_every, best: a translator's images are not scored in training; leave them out")
    began = time.monotonic()
    test = data.load(train.name, "test", resolution, skip_damaged=True)
    mend = "raise --eval-count or, if the images are too few, give --eval-metrics and --best without fid, such as kid"
    counts = {"samples": count, "test_images": test.count, "training_images": train.count}
    if kind == "classifier" or (kind is None and len(train.spec.shape) > 1):
        enough(metrics, classifier.SIZE, mend, **counts)  # before it is fitted, which takes minutes
    judge = features_of(kind, train.name, train.spec, resolution)
    enough(metrics, judge.size, mend, **counts)
    made = scorer(system, judge, metrics, test, train, count=count)
    protocol.write(workdir, _yardstick(made, train, count, 0))
    print(
        f"scores by {judge.name}, beside {len(test.arrays['image']):,} test images: prepared in "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    return made


def equilibrium(system: System, state: TrainState, real: Dataset, batch_size: int, seed: int) -> Score:
    """Scores how far the discriminator is from 50/50 on held-out images and fresh samples, see `game.equilibrium`."""
    found = game.equilibrium(system, state, real.arrays, batch_size=batch_size, seed=seed)
    value, batches = (found.distance, found.standard_error), len(real.arrays["image"]) // batch_size
    return _of_players("equilibrium", value, f"batch={batch_size}", batches * batch_size, real, state, seed)


def duality_gap(
    system: System, state: TrainState, train: Dataset, real: Dataset, batch_size: int, moves: int, seed: int
) -> Score:
    """Scores how much the players could gain by a number of moves each, see `game.duality_gap`."""
    options = {"batch_size": batch_size, "moves": moves, "batches": GAP_BATCHES, "seed": seed}
    found = game.duality_gap(system, state, train.arrays, real.arrays, **options)
    value, settings = (found.gap, found.standard_error), f"batch={batch_size}, moves={moves}"
    return _of_players("duality_gap", value, settings, GAP_BATCHES * batch_size, real, state, seed)


def main(
    run: tyro.conf.Positional[Path],
    metrics: tuple[Name, ...] = (),
    features: Kind | None = None,
    weights: tuple[Literal["averaged", "raw"], ...] = ("averaged",),
    steps: tuple[int, ...] = (),
    every: bool = False,
    best: bool = False,
    count: int | None = None,
    split: str = "test",
    seed: int = 0,
    few: bool = False,
    players: bool = False,
    moves: int | None = None,
    inception: Path | None = None,
    resize: Resize | None = None,
    dataset: str | None = None,
    safe: bool = False,
) -> None:
    """Scores checkpoints of a run, and adds the scores to RUN/scores.jsonl and to its report.

    Scores are comparable only with scores of the same protocol: metric, features, resize, split and numbers of real
    and fake images. Training images, scored as though they were samples, are the yardstick of a perfect generator.

    Args:
        run: A run directory, such as runs/dcgan-digits.
        metrics: Which scores; all but inception_score, uniform_kl and copying by default.
        features: By what images are compared: the data set's own classifier, fitted once (the default); the Inception
            network of published scores; or pixels.
        weights: The generator's averaged weights, or the raw ones, or both.
        steps: Which checkpoints; the newest by default. A run keeps --keep of them.
        every: Score every checkpoint.
        best: Score the best one, which training with --best keeps.
        count: Number of samples; by default as many as real images, up to 10,000.
        split: Which real images: test, or train as in many papers.
        seed: Which samples.
        few: Accept fewer images than features, for which an FID means nothing.
        players: Also how far the discriminator is from 50/50 on held-out images, and the duality gap.
        moves: Moves of each player for the duality gap (with --players); by default 100.
        inception: The file of its weights (pt_inception-2015-12-05-6726825d.pth, or .npz, .safetensors); by default
            downloaded once.
        resize: How images are brought to Inception's size: as pytorch-fid does (reference, the default), as clean-fid
            (clean), or as the original graph (tensorflow).
        dataset: Where the data of the run are now, if they have moved.
        safe: Run none of the run's own code, but this repository's experiment of the same name.

    Raises:
        UserError: If a flag does not apply, or what is asked for cannot be scored.
    """
    for idle, flag, mend in (
        (moves is not None and not players, "--moves", "give --players too"),
        (inception is not None and features != "inception", "--inception", "give --features inception too"),
        (resize is not None and features != "inception", "--resize", "give --features inception too"),
        (bool(steps) and every, "--steps", "--every scores all; give one of the two"),
        (best and (every or bool(steps)), "--best", "it scores one checkpoint; leave out --steps and --every"),
        (few and bool(metrics) and "fid" not in metrics, "--few", "it is for fid alone; leave it out"),
    ):
        if idle:
            raise UserError(f"{flag} does not apply here: {mend}")
    chosen: list[int | None] = [*sorted(set(steps))] or [None]
    if every:
        chosen = [*checkpoint.steps(run / "checkpoints")] or [None]
    opened = runs.open_run(run, chosen[0], best, dataset, safe)
    record, system = opened.record, opened.system
    if system.latent.translates:
        raise UserError(f"{run}: a translator draws no samples; see python -m experiments.results.translation")
    movers = [player.name for player in system.players]
    if players and "discriminator" not in movers:
        raise UserError(f"--players: this run has only {', '.join(movers)}; leave it out")
    train, real = runs.dataset(record), runs.dataset(record, split)
    judge = features_of(
        features, real.name, real.spec, record["config"].get("resolution"), inception, resize or "reference"
    )
    names = metrics or DEFAULT + (WITH_CLASSES if features != "inception" and judge.classes else ())
    count = min(len(real.arrays["image"]), 10_000) if count is None else count
    if not few:
        mend = "raise --count, or give --split train, or --metrics without fid, or --few to score it all the same"
        enough(names, judge.size, mend, samples=count, real_images=real.count)
    made = scorer(system, judge, names, real, train, count=count, seed=seed, few=few)
    scores = [] if real.fingerprint == train.fingerprint else _yardstick(made, train, count, seed)
    batch_size = record["config"]["batch_size"]
    for step in chosen:
        state = runs.restore_state(opened, run, step, best)
        for kind in weights:
            scores += made.samples(state.ema if kind == "averaged" else current(state), kind, int(state.step))
        if players:
            scores.append(equilibrium(system, state, real, batch_size, seed))
            scores.append(duality_gap(system, state, train, real, batch_size, 100 if moves is None else moves, seed))
    _show(scores)
    try:
        protocol.write(run, scores)
        report.write(run)
    except OSError as error:
        raise UserError(
            f"the scores above are not kept, as {run} cannot be written to: {error.strerror or error}"
        ) from error
    print(f"{run / protocol.FILE}: {len(scores)} scores; curves are in {run / 'report.html'}")


def _show(scores: list[Score]) -> None:
    """Prints a line for each checkpoint and kind of weights."""
    lines: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        error = f" ± {score.error:.2g}" if score.error == score.error else ""
        step = "" if score.step is None else f"step {score.step:,}"
        lines.setdefault((step, score.weights), []).append(f"{score.metric} {score.value:.4g}{error}")
    for about, parts in lines.items():
        print(f"{' '.join(about).strip()}:  {',  '.join(parts)}", flush=True)


def _yardstick(made: Scorer, train: Dataset, count: int, seed: int) -> list[Score]:
    """Scores training images, drawn without replacement, as though they were samples."""
    order = np.random.default_rng(seed).permutation(len(train.arrays["image"]))[:count]
    return made.images(train.arrays["image"][np.sort(order)], TRAINING)


def _of_players(
    metric: str, value: tuple[Array, Array], settings: str, count: int, real: Dataset, state: TrainState, seed: int
) -> Score:
    """Makes a score by no features, of `count` real images and as many samples."""
    about = ("", "", "none", settings, real.fingerprint, real.name, real.split)
    return Score(metric, float(value[0]), float(value[1]), *about, count, count, "raw", int(state.step), seed)


if __name__ == "__main__":
    cli(main)
