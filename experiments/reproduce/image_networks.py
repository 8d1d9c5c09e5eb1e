"""FID over time of the larger image networks: `python -m experiments.reproduce.image_networks`.

Each network is trained once by its experiment's own command, narrow and on images of side 32, and scored while it
trains by the features of the data set's own classifier. Runs this short show that a network learns, and not how good it
becomes. The results are image_networks.json; image_networks.png, the curves; and image_networks_samples.png.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.reproduce import comparison, running
from gan_jax import files, pictures, runs
from gan_jax.cli import cli
from gan_jax.metrics import protocol
from gan_jax.metrics.scoring import TRAINING

RUNS: dict[str, str] = {
    "progan": "--batch-size 32 --g-width 8 --d-width 8 --stable-images 15000 --fading-images 15000 --steps 4500",
    "projection_gan": "--g-width 4 --d-width 4 --steps 2400",
    "sagan": "--g-width 4 --d-width 4 --steps 1800",
    "biggan": "--g-width 4 --d-width 4 --steps 1800",
    "r3gan": "--mirror --latent-size 64 --schedule-images 28800 --steps 1800",
    "fastgan": "--mirror --latent-size 64 --steps 1200",
    "stylegan2": "--path-length 0 --mixing 0 --r1 1 --half-life 5000 --steps 1800",
}
"""Experiment -> flags of its run."""

POINTS = 6  # scores of a run
SAMPLES = 2_000  # per score
FILE = running.RESULTS.joinpath("image_networks.json")


def main(workdir: Path, experiments: tuple[str, ...] = tuple(RUNS), dataset: str = "cifar10") -> None:
    """Trains and scores networks, and records the results; keeps the records of other networks.

    Args:
        workdir: Directory to keep the runs in, as EXPERIMENT; finished runs there are not repeated.
        experiments: Experiments that the module's RUNS lists.
        dataset: Data set, with labels.
    """
    record = json.loads(FILE.read_text()) if FILE.exists() else {"dataset": dataset, "runs": {}}
    for name in experiments:
        record["runs"][name] = _run(name, f"--dataset {dataset} {RUNS[name]}", workdir / name)
        files.write_json(FILE, record)
    pictures.save_png(FILE.with_suffix(".png"), curves(record))
    directories = {name: workdir / name for name in record["runs"] if (workdir / name).is_dir()}
    pictures.save_png(FILE.with_name("image_networks_samples.png"), comparison.picture(directories))
    print(markdown(record))


def markdown(record: Mapping[str, Any]) -> str:
    """Returns the Markdown table of a record: a row per network, with FID after each sixth of its run."""
    shares = " | ".join(f"{place}/{POINTS}" for place in range(1, POINTS))
    lines = [f"| experiment | iterations | {shares} | end | minutes |", "| --- |" + " --- |" * (POINTS + 2)]
    for name, run in record["runs"].items():
        values = " | ".join(f"{value:.1f}" for _, value, _ in run["fid"])
        lines.append(f"| `{name}` | {run['fid'][-1][0]:,} | {values} | {run['minutes']:.0f} |")
    floor = next(iter(record["runs"].values()))[TRAINING]
    return "\n".join([*lines, f"| {TRAINING} | |" + " |" * (POINTS - 1) + f" {floor:.1f} | |"])


def curves(record: Mapping[str, Any]) -> np.ndarray:
    """Draws FID over the minutes of each run."""
    canvas = FigureCanvasAgg(Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained"))
    axes = canvas.figure.subplots()
    for name, run in record["runs"].items():
        steps, values, errors = zip(*run["fid"], strict=True)
        minutes = run["minutes"] * np.asarray(steps) / steps[-1]
        axes.errorbar(minutes, values, errors, marker=".", capsize=2, lw=1.5, label=name)
    axes.set(yscale="log", xlabel="minutes", ylabel="FID")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _run(name: str, settings: str, run: Path) -> dict[str, Any]:
    """Trains and scores one run; returns its settings, environment and scores, and the score of training images."""
    flags = shlex.split(settings)
    steps = int(flags[flags.index("--steps") + 1])
    scored = f"--eval-every {steps // POINTS} --eval-count {SAMPLES}"
    minutes = running.timed(name, f"{settings} {scored}", 0, run)
    evaluate = [sys.executable, "-m", "gan_jax.evaluate", str(run), "--metrics", "fid", "--count", str(SAMPLES)]
    subprocess.run(evaluate, check=True)
    scores = [score for score in protocol.read(run) if score.metric == "fid"]
    fid = {score.step: score for score in scores if score.step is not None}
    (training,) = [score for score in scores if score.weights == TRAINING]
    opened = runs.open_run(run)
    return {
        "command": running.command(name, settings),
        "protocol": protocol.described(fid[steps]),
        "data": opened.record["data"],
        "environment": {key: value for key, value in opened.record["environment"].items() if key != "command"},
        "minutes": round(minutes, 1),
        "fid": [[step, round(fid[step].value, 3), round(fid[step].error, 3)] for step in sorted(fid)],
        TRAINING: round(training.value, 3),
    }


if __name__ == "__main__":
    cli(main, __doc__)
