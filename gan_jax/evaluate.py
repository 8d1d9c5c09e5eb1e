"""Scoring of a run's checkpoints: `python -m gan_jax.evaluate RUN`, one function for each sub-command.

Scores are added to `RUN/scores.jsonl`, each with its protocol (`metrics.protocol`), and shown in the report.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_jax import runs
from gan_jax.cli import cli
from gan_jax.errors import UserError
from gan_jax.game import current
from gan_jax.metrics import protocol
from gan_jax.metrics.features.inception import Resize
from gan_jax.metrics.menu import Name, enough, scorer
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scoring import FeatureName, duality_gap, equilibrium, features_of, yardstick
from gan_jax.runs import checkpoint, report

DEFAULT: tuple[Name, ...] = ("fid", "kid", "precision", "recall", "density", "coverage")
WITH_CLASSES: tuple[Name, ...] = ("classes", "class_kl")  # default too, if a classifier of the data exists
CHECKPOINTS = tyro.conf.create_mutex_group(required=False)


@dataclass(frozen=True)
class Shared:
    """Shared by all sub-commands."""

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
    metrics: tuple[Name, ...] = (),
    features: FeatureName | None = None,
    weights: tuple[Literal["averaged", "raw"], ...] = ("averaged",),
    count: int | None = None,
    split: str = "test",
    few: bool = False,
    inception: Path | None = None,
    resize: Resize | None = None,
) -> None:
    """FID, KID, precision, recall and other scores of samples.

    Scores are comparable only within one protocol: metric, features, resize, split and numbers of real and fake images.
    Training images, scored as samples, show what a perfect generator would reach.

    Args:
        metrics: Metrics to compute; by default all but inception_score, uniform_kl and copying.
        features: Features by which images are compared: the data set's own classifier, fitted once (the default); the
            Inception network of published scores; or pixels.
        weights: Weights of the generator: averaged, raw, or both.
        count: Number of samples; by default that of the real images, up to 10,000.
        split: Split of the real images: test, or train as in many papers.
        few: Compute FID even from fewer images than features, where it is meaningless.
        inception: File of Inception's weights (pt_inception-2015-12-05-6726825d.pth, or .npz, .safetensors); by default
            downloaded once.
        resize: Resizing of images for Inception: as in pytorch-fid (reference, the default), as in clean-fid (clean),
            or as in the original graph (tensorflow).

    Raises:
        UserError: If a flag does not apply, or the run cannot be scored as asked.
    """
    if features != "inception" and (inception or resize):
        raise UserError("--inception and --resize need Inception's features; give --features inception too")
    if few and metrics and "fid" not in metrics:
        raise UserError("--few applies only to fid; leave it out, or add fid to --metrics")
    opened, steps = _opened(run, shared)
    record, system = opened.record, opened.system
    train, real = runs.dataset(opened), runs.dataset(opened, split)
    judge = features_of(
        features, real.name, real.spec, record["config"].get("resolution"), inception, resize or "reference", train
    )
    names = metrics or DEFAULT + (WITH_CLASSES if features != "inception" and judge.classes else ())
    count = min(len(real.arrays["image"]), 10_000) if count is None else count
    if not few:
        remedy = "raise --count, or give --split train, or --metrics without fid, or --few to compute fid anyway"
        enough(names, judge.size, remedy, samples=count, real_images=real.count)
    made = scorer(system, judge, names, real, train, count=count, seed=shared.seed, few=few)
    scores = [] if real.fingerprint == train.fingerprint else yardstick(made, train, count, shared.seed)
    for step in steps:
        state = runs.restore_state(opened, run, step, shared.best)
        for kind in weights:
            scores += made.samples(state.ema if kind == "averaged" else current(state), kind, int(state.step))
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


def _opened(run: Path, shared: Shared) -> tuple[runs.Restored, list[int | None]]:
    """Opens a run; returns it and the steps to be scored, None for the newest or best."""
    steps = checkpoint.steps(run / "checkpoints") if shared.every else sorted(set(shared.steps))
    opened = runs.open_run(run, next(iter(steps), None), shared.best, shared.dataset, shared.safe)
    if opened.system.sample is None:
        raise UserError(f"{run} is a translator and draws no samples; see python -m experiments.reproduce.translation")
    return opened, [*steps] or [None]


def _finish(run: Path, scores: list[Score]) -> None:
    """Prints scores, and adds them to a run's."""
    _show(scores)
    try:
        protocol.write(run, scores)
        report.write(run)
    except OSError as error:
        raise UserError(
            f"the scores above are not saved, because {run} cannot be written to: {error.strerror or error}"
        ) from error
    print(f"{run / protocol.FILE}: {len(scores)} scores; curves are in {run / 'report.html'}")


def _show(scores: list[Score]) -> None:
    """Prints one line per checkpoint and kind of weights."""
    lines: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        error = f" ± {score.error:.2g}" if score.error == score.error else ""
        step = "" if score.step is None else f"step {score.step:,}"
        lines.setdefault((step, score.weights), []).append(f"{score.metric} {score.value:.4g}{error}")
    for about, parts in lines.items():
        print(f"{' '.join(about).strip()}:  {',  '.join(parts)}", flush=True)


if __name__ == "__main__":
    cli(
        [samples, players],
        "Scores checkpoints of the run directory RUN; the scores go to RUN/scores.jsonl and its report.",
    )
