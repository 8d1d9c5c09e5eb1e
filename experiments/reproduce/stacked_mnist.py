"""Modes of stacked digits for packs of 1, 2, ... images and for R3GAN, over seeds.

Each run is an experiment's own command in its own process. The networks of packs differ only in the discriminator's
first layer, which has the pack's channels; R3GAN is `experiments.r3gan --preset stacked-digits`. The benchmark scores
26,000 samples. As its count of modes ignores the quality of samples, the share of digits of which the classifier is
sure is recorded too, on 2,000 more samples. The results are stacked_mnist.json, and samples of the first seed:
stacked_mnist.png, a panel per pack, and stacked_mnist-r3gan.png. Rows recorded earlier for other games are kept.
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
R3GAN = "--preset stacked-digits"
RECORD = running.RESULTS / "stacked_mnist.json"


def main(
    packs: tuple[int, ...] = (1, 2, 3),
    r3gan: bool = True,
    seeds: tuple[int, ...] = (0, 1, 2),
    settings: str = "",
    workdir: Path | None = None,
) -> None:
    """Runs experiments.stacked_mnist over packs, and R3GAN, over seeds, and records how many modes each run covers.

    Args:
        packs: Pack sizes: numbers of images that the discriminator judges at once.
        r3gan: Run R3GAN too; --no-r3gan leaves it out.
        seeds: Seeds, one run of each game per seed.
        settings: Further flags of experiments.stacked_mnist, in one string.
        workdir: Directory to keep the runs in, as PACK-SEED or r3gan-SEED; finished runs there are not repeated.
    """
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {"rows": []}
    environment = {"environment": records.environment()}
    games = [("stacked_mnist", f"{settings} --pack {pack}".strip(), {"pack": pack}) for pack in packs]
    games += [("r3gan", R3GAN, {"game": "r3gan"})] if r3gan else []
    others = [row for row in record["rows"] if not any(labels.items() <= row.items() for *_, labels in games)]
    with tempfile.TemporaryDirectory() as temporary:
        folder, rows = workdir or Path(temporary), []
        for experiment, flags, labels in games:
            for seed in seeds:
                run = folder / f"{next(iter(labels.values()))}-{seed}"
                minutes = round(running.timed(experiment, flags, seed, run), 2)
                rows.append(labels | {"seed": seed, **_scores(run), "minutes": minutes})
                if "pack" in labels:
                    record |= _about(run, running.command(experiment, settings)) | environment
                else:
                    record["r3gan"] = {"command": running.command("r3gan", R3GAN), **_config(run), **environment}
        for name, group in (("stacked_mnist", packs), ("stacked_mnist-r3gan", ["r3gan"] if r3gan else [])):
            if group:
                panels = picture([folder / f"{game}-{seeds[0]}" for game in group])
                pictures.save_png(running.RESULTS.joinpath(f"{name}.png"), panels)
    record["rows"] = [*others, *rows]
    running.write("stacked_mnist", record)
    print(markdown(record))


def _about(run: Path, command: str) -> dict[str, Any]:
    """Returns the record's entries on the runs over packs, on training images and on perfect samples."""
    about, scores = json.loads((run / "run.json").read_text()), protocol.read(run)
    name, samples = about["data"]["name"], scores[0].fake
    floor = {s.metric: round(s.value, 4) for s in scores if s.metric in METRICS and s.weights == TRAINING}
    return {
        "command": command,
        **_config(run),
        "data": about["data"],
        "samples": samples,
        "judge": {"name": scores[0].features_name, "fingerprint": scores[0].features},
        "perfect": perfect(about["data"]["classes"], samples)._asdict(),
        TRAINING: floor | {"sure": _sure(data.load(name).arrays["image"][:SAMPLES], name)},
    }


def _config(run: Path) -> dict[str, Any]:
    """Returns a run's config, without what differs between runs, and its iterations."""
    config = json.loads((run / "run.json").read_text())["config"]
    steps = max(score.step for score in protocol.read(run) if score.step is not None)
    return {"config": {name: value for name, value in config.items() if name not in ("pack", "seed")}, "steps": steps}


def _scores(run: Path) -> dict[str, float]:
    """Returns a run's newest scores, and the share of its samples' digits of which the classifier is sure."""
    scores = [score for score in protocol.read(run) if score.metric in METRICS]
    newest = max(score.step for score in scores if score.step is not None)
    values = {score.metric: round(score.value, 4) for score in scores if score.step == newest}
    return values | {"sure": _sure(sample.samples(runs.open_run(run), 0, SAMPLES), scores[0].data_name)}


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record: median and range over seeds, and the scores of perfect samples."""
    lines = ["| discriminator judges | modes | KL, nats | sure digits | minutes |", "| --- | --- | --- | --- | --- |"]
    for game in dict.fromkeys(map(_game, record["rows"])):
        rows = [row for row in record["rows"] if _game(row) == game]
        spread = [
            running.spread([row[name] for row in rows], form)
            for name, form in (("classes", ".0f"), ("uniform_kl", ".2f"), ("sure", ".0%"))
        ]
        minutes = statistics.median(row["minutes"] for row in rows)
        lines.append(f"| {game} | {' | '.join(spread)} | {minutes:.1f} |")
    real, best = record[TRAINING], record["perfect"]
    lines.append(f"| {TRAINING} | {real['classes']:.0f} | {real['uniform_kl']:.4f} | {real['sure']:.0%} | |")
    lines.append(f"| perfect samples, by theory | {best['covered']:.0f} | {best['uniform_kl']:.4f} | | |")
    return "\n".join(lines)


def _game(row: dict[str, Any]) -> str:
    """Returns what a row's discriminator judges."""
    if "game" in row:
        return "single images, R3GAN"
    return f"packs of {row['pack']}" if row["pack"] > 1 else "single images"


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
