"""Scoring of a run's checkpoints: `python -m gan_jax.evaluate RUN`.

Scores are added to `RUN/scores.jsonl`, each with its protocol (`metrics.protocol`), and shown in the report.
"""

from pathlib import Path
from typing import Literal

import tyro

from gan_jax import runs
from gan_jax.cli import cli
from gan_jax.errors import UserError
from gan_jax.game import current
from gan_jax.metrics import protocol
from gan_jax.metrics.features.inception import Resize
from gan_jax.metrics.menu import Name, enough, scorer
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.scoring import Kind, duality_gap, equilibrium, features_of, yardstick
from gan_jax.runs import checkpoint, report

DEFAULT: tuple[Name, ...] = ("fid", "kid", "precision", "recall", "density", "coverage")
WITH_CLASSES: tuple[Name, ...] = ("classes", "class_kl")  # default too, if a classifier of the data exists


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
    """Scores checkpoints of a run, and adds the scores to RUN/scores.jsonl and to the run's report.

    Scores are comparable only within one protocol: metric, features, resize, split and numbers of real and fake images.
    Training images, scored as samples, show what a perfect generator would reach.

    Args:
        run: A run directory, such as runs/dcgan-digits.
        metrics: Metrics to compute; by default all but inception_score, uniform_kl and copying.
        features: Features by which images are compared: the data set's own classifier, fitted once (the default); the
            Inception network of published scores; or pixels.
        weights: Weights of the generator: averaged, raw, or both.
        steps: Steps of the checkpoints; by default the newest. Training keeps the last --keep of them.
        every: Score every checkpoint.
        best: Score the best checkpoint, which training with --best keeps.
        count: Number of samples; by default that of the real images, up to 10,000.
        split: Split of the real images: test, or train as in many papers.
        seed: Selects the samples.
        few: Accept fewer images than features, for which an FID means nothing.
        players: Also score the discriminator's distance from 50/50 on held-out images, and the duality gap.
        moves: Updates of each player for the duality gap (with --players); by default 100.
        inception: File of Inception's weights (pt_inception-2015-12-05-6726825d.pth, or .npz, .safetensors); by default
            downloaded once.
        resize: Resizing of images for Inception: as in pytorch-fid (reference, the default), as in clean-fid (clean),
            or as in the original graph (tensorflow).
        dataset: New name of the run's data, if they have moved.
        safe: Run this repository's experiment of the same name instead of the code in the run directory.

    Raises:
        UserError: If a flag does not apply, or the run cannot be scored as asked.
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
    if system.sample is None:
        raise UserError(f"{run}: a translator draws no samples; see python -m experiments.reproduce.translation")
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
    scores = [] if real.fingerprint == train.fingerprint else yardstick(made, train, count, seed)
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
    """Prints one line per checkpoint and kind of weights."""
    lines: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        error = f" ± {score.error:.2g}" if score.error == score.error else ""
        step = "" if score.step is None else f"step {score.step:,}"
        lines.setdefault((step, score.weights), []).append(f"{score.metric} {score.value:.4g}{error}")
    for about, parts in lines.items():
        print(f"{' '.join(about).strip()}:  {',  '.join(parts)}", flush=True)


if __name__ == "__main__":
    cli(main)
