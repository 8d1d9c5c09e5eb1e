"""Modes of stacked digits for packs of 1, 2, ... images, over seeds: `python -m experiments.reproduce.stacked_mnist`.

Each run is the experiment's own command in its own process; the networks differ only in the discriminator's first
layer, which has the pack's channels. The benchmark scores 26,000 samples. As its count of modes ignores the quality of
samples, the share of digits of which the classifier is sure is recorded too, on 2,000 more samples. The results are
stacked_mnist.json and stacked_mnist.png, samples of the first seed, a panel per pack.
"""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reproduce import running
from experiments.stacked_mnist import METRICS
from gan_jax import data, pictures, runs, sample
from gan_jax.cli import cli
from gan_jax.data.sources import stacked
from gan_jax.metrics import protocol
from gan_jax.metrics.classes import perfect
from gan_jax.metrics.features import classifier, pretrained
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import records

SAMPLES = 2_000  # whose digits the classifier judges one by one


def main(
    packs: tuple[int, ...] = (1, 2, 3),
    seeds: tuple[int, ...] = (0, 1, 2),
    settings: str = "",
    workdir: Path | None = None,
) -> None:
    """Runs experiments.stacked_mnist over packs and seeds, and records how many modes each run covers.

    Args:
        packs: Pack sizes: numbers of images that the discriminator judges at once.
        seeds: Seeds, one run of each pack size per seed.
        settings: Further flags of the experiment, in one string.
        workdir: Directory to keep the runs in, as PACK-SEED; finished runs there are not repeated.
    """
    rows, floor, about = [], {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in seeds:
            for pack in packs:
                run = (workdir or Path(temporary)) / f"{pack}-{seed}"
                minutes = round(running.timed("stacked_mnist", f"{settings} --pack {pack}", seed, run), 2)
                scores = [score for score in protocol.read(run) if score.metric in METRICS]
                newest = max(score.step for score in scores if score.step is not None)
                found = {s.metric: round(s.value, 4) for s in scores if s.step == newest}
                floor = {s.metric: round(s.value, 4) for s in scores if s.weights == TRAINING}
                found["sure"] = _sure(sample.samples(runs.open_run(run), 0, SAMPLES), scores[0].data_name)
                rows.append({"pack": pack, "seed": seed, **found, "minutes": minutes})
                about = json.loads((run / "run.json").read_text()) | {"samples": scores[0].fake, "steps": newest}
                about["judge"] = {"name": scores[0].features_name, "fingerprint": scores[0].features}
        panels = picture([(workdir or Path(temporary)) / f"{pack}-{seeds[0]}" for pack in packs])
        pictures.save_png(running.RESULTS.joinpath("stacked_mnist.png"), panels)
    name = about["data"]["name"]
    record = {
        "command": running.command("stacked_mnist", settings),
        "config": {name: value for name, value in about["config"].items() if name not in ("pack", "seed")},
        "data": about["data"],
        **{name: about[name] for name in ("steps", "samples", "judge")},
        "perfect": perfect(about["data"]["classes"], about["samples"])._asdict(),
        TRAINING: floor | {"sure": _sure(data.load(name).arrays["image"][:SAMPLES], name)},
        "rows": rows,
        "environment": records.environment(),
    }
    running.write("stacked_mnist", record)
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record: median and range over seeds, and the scores of perfect samples."""
    lines = ["| discriminator judges | modes | KL, nats | sure digits | minutes |", "| --- | --- | --- | --- | --- |"]
    for pack in sorted({row["pack"] for row in record["rows"]}):
        rows = [row for row in record["rows"] if row["pack"] == pack]
        spread = [
            running.spread([row[name] for row in rows], form)
            for name, form in (("classes", ".0f"), ("uniform_kl", ".2f"), ("sure", ".0%"))
        ]
        minutes = statistics.median(row["minutes"] for row in rows)
        lines.append(
            f"| {f'packs of {pack}' if pack > 1 else 'single images'} | {' | '.join(spread)} | {minutes:.1f} |"
        )
    real, best = record[TRAINING], record["perfect"]
    lines.append(f"| {TRAINING} | {real['classes']:.0f} | {real['uniform_kl']:.4f} | {real['sure']:.0%} | |")
    lines.append(f"| perfect samples, by theory | {best['covered']:.0f} | {best['uniform_kl']:.4f} | | |")
    return "\n".join(lines)


def picture(directories: Sequence[Path]) -> np.ndarray:
    """Draws samples of runs side by side."""
    grids = [pictures.grid(sample.samples(runs.open_run(run), seed=0, count=64), 8) for run in directories]
    return np.concatenate([np.pad(grid, ((0, 0), (0, 16), (0, 0)), constant_values=255) for grid in grids], axis=1)


def _sure(images: np.ndarray, name: str) -> float:
    """Returns the share of the images' digits of which the classifier is sure."""
    digits = np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3], 1)
    judge = pretrained.load(stacked.SOURCES[name], images.shape[1])
    return round(classifier.verdict(judge.probabilities(digits)).sure, 4)


if __name__ == "__main__":
    cli(main)
