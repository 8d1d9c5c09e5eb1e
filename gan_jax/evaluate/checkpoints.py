"""Scores of a run's checkpoints.

They are added to `RUN/scores.jsonl`, each with its protocol (`metrics.protocol`), and shown in the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_jax import game, runs
from gan_jax.errors import UserError
from gan_jax.evaluate import requests
from gan_jax.evaluate.requests import MOST, Request, metrics_of, require_consistent
from gan_jax.game import current
from gan_jax.metrics import path_length, protocol
from gan_jax.metrics.features import lpips
from gan_jax.metrics.features.distance import Distance, of_features
from gan_jax.metrics.menu import require
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scorer import of_system, require_memory, scorer
from gan_jax.metrics.scoring import FeatureName, duality_gap, equilibrium, path_lengths, planned, yardstick
from gan_jax.runs import checkpoint, report

CHECKPOINTS = tyro.conf.create_mutex_group(required=False)


@dataclass(frozen=True)
class Shared:
    """Options of the sub-commands that score one run."""

    steps: Annotated[tuple[int, ...], CHECKPOINTS] = ()
    """Steps of the checkpoints; by default the newest. Training keeps the last --keep of them."""
    every: Annotated[bool, CHECKPOINTS] = False
    """Score every checkpoint."""
    best: Annotated[bool, CHECKPOINTS] = False
    """Score the best checkpoint, which training with --best keeps."""
    seed: int = 0
    """Selects the samples."""
    dataset: str | None = None
    """New name of the run's data, if they have moved."""
    safe: bool = False
    """Run this repository's experiment of the same name instead of the code in the run directory."""


def samples(
    run: Path,
    shared: Shared,
    request: Request,
    weights: tuple[Literal["averaged", "raw"], ...] = ("averaged",),
    split: str = "test",
    standing: int = 0,
) -> None:
    """FID, KID, precision, recall and other scores of a run's samples.

    Scores are comparable only within one protocol: metric, features, resize, split and numbers of real and fake images.
    Training images, scored as samples, show what a perfect generator would reach.

    Args:
        weights: Weights of the generator: averaged, raw, or both.
        split: Split of the real images: test, or train as in many papers.
        standing: Batches of latents over which to re-estimate batch norm's moments for the weights scored, 100 in
            BigGAN's paper; 0 uses the running moments.

    Raises:
        UserError: If a flag does not apply, or the run cannot be scored as asked.
    """
    require_consistent(request)
    opened, steps = _opened(run, shared)
    record, system, about = opened.record, opened.system, opened.record["data"]
    plan = requests.planned(request, about["name"], opened.spec, record["config"].get("resolution"), opened.data)
    metrics, few, count = metrics_of(request, plan), request.few, request.count
    remedy = "raise --count, or give --split train, or --metrics without fid, or --few to compute fid anyway"
    asked = {} if count is None else {"samples": count}
    require(metrics, plan, asked, remedy, few=few, held_out=split != about["split"])
    if count is not None:
        require_memory(system, plan, metrics, count)
    train, real = runs.dataset(opened), runs.dataset(opened, split)
    apart = real.fingerprint != train.fingerprint
    count = min(real.count, MOST) if count is None else count
    counts = {"samples": count, "real images": real.count} | ({"training images": train.count} if apart else {})
    require(metrics, plan, counts, remedy, few=few, held_out=apart)
    prepared = scorer(plan.load(), metrics, real, train, few=few)
    scored = of_system(prepared, system, count, shared.seed)
    scores = yardstick(prepared, train, count, shared.seed) if apart else []
    for step in steps:
        state = runs.restore_state(opened, run, step, shared.best)
        for kind in weights:
            networks, name = state.ema if kind == "averaged" else current(state), str(kind)
            if standing:
                networks = game.standing(system, networks, standing, record["config"]["batch_size"])
                name = f"{kind}, {standing} standing batches"
            scores += scored(networks, name, int(state.step))
    _finish(run, scores)


def players(run: Path, shared: Shared, moves: int = 100) -> None:
    """The discriminator's distance from 50/50 on held-out images, and the duality gap, both of raw weights.

    Args:
        moves: Updates of each player for the duality gap.

    Raises:
        UserError: If the run has no discriminator.
    """
    opened, steps = _opened(run, shared)
    names = [player.name for player in opened.system.players]
    if "discriminator" not in names:
        raise UserError(f"players: this run has no discriminator, only {', '.join(names)}; score its samples instead")
    train, real = runs.dataset(opened), runs.held_out(opened)
    batch_size, scores = opened.record["config"]["batch_size"], []
    for step in steps:
        state = runs.restore_state(opened, run, step, shared.best)
        scores.append(equilibrium(opened.system, state, real, batch_size, shared.seed))
        scores.append(duality_gap(opened.system, state, train, real, batch_size, moves, shared.seed))
    _finish(run, scores)


def path(
    run: Path,
    shared: Shared,
    features: FeatureName | None = None,
    lpips: Path | None = None,
    count: int = 10_000,
    weights: Literal["averaged", "raw"] = "averaged",
) -> None:
    """Perceptual path length: how far samples move along paths between latents and between styles.

    Lengths are comparable only if they are measured by the same features, or all by LPIPS.

    Args:
        features: Features that measure lengths: the classifier of the data set (the default), inception or pixels.
        lpips: File of LPIPS's weights (.npz or .safetensors, see gan_jax/metrics/README.md), to measure lengths by
            LPIPS, as in the papers of StyleGAN.
        count: Number of paths.
        weights: Weights of the generator.

    Raises:
        UserError: If the run draws no samples, `features` and `lpips` are both given, or `lpips` is given for samples
            that are not images.
    """
    if lpips and features:
        raise UserError(f"--features {features} and --lpips each measure lengths; give one of them")
    opened, steps = _opened(run, shared)
    if lpips and not opened.spec.kind.is_image:
        name, noun = opened.record["data"]["name"], opened.spec.kind.noun
        raise UserError(f"--lpips needs images, but {name} has {noun}; leave it out")
    real = runs.dataset(opened)
    distance, scores = _distance(opened, features, lpips), []
    print(f"{count:,} paths of step {path_length.EPSILON:g}, by {distance.name}", flush=True)
    for step in steps:
        state = runs.restore_state(opened, run, step, shared.best)
        ema, step = state.ema if weights == "averaged" else current(state), int(state.step)
        scores += path_lengths(opened.system, distance, ema, real, count, weights, step, shared.seed)
    _finish(run, scores)


def show(scores: Sequence[Score]) -> None:
    """Prints one line per checkpoint and kind of weights, or per set of images."""
    lines: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        step = "" if score.step is None else f"step {score.step:,}"
        lines.setdefault((step, score.weights), []).append(protocol.text(score))
    for about, parts in lines.items():
        print(f"{' '.join(about).strip()}:  {',  '.join(parts)}", flush=True)


def _opened(run: Path, shared: Shared) -> tuple[runs.Restored, list[int | None]]:
    """Opens a run; returns it and the steps to be scored, None for the newest or best."""
    steps = checkpoint.steps(run / "checkpoints") if shared.every else sorted(set(shared.steps))
    opened = runs.open_run(run, next(iter(steps), None), shared.best, shared.dataset, shared.safe)
    if opened.system.sample is None:
        raise UserError(f"{run} is a translator and draws no samples; see python -m experiments.reproduce.translation")
    return opened, [*steps] or [None]


def _distance(opened: runs.Restored, features: FeatureName | None, weights: Path | None) -> Distance:
    """Returns LPIPS if there is a file of its weights, else the distance of features."""
    if weights:
        return lpips.distance(weights)
    name, resolution = opened.record["data"]["name"], opened.record["config"].get("resolution")
    return of_features(planned(features, name, opened.spec, resolution, train=opened.data).load())


def _finish(run: Path, scores: list[Score]) -> None:
    """Prints scores, and adds them to a run's."""
    show(scores)
    try:
        protocol.write(run, scores)
        report.write(run)
    except OSError as error:
        raise UserError(
            f"the scores above are not saved, because {run} cannot be written to: {error.strerror or error}"
        ) from error
    print(f"{run / protocol.FILE}: {len(scores)} score{'s' * (len(scores) != 1)}; curves are in {run / 'report.html'}")
