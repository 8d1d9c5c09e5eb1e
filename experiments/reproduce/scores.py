"""FID over time, of averaged and raw weights: `python -m experiments.reproduce.scores`.

Each run is the experiment's own command with all checkpoints kept; `python -m gan_jax.evaluate` scores each checkpoint
by the features of the data set's own classifier. The results are scores.json, and scores.png with the curves.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.reproduce import running
from gan_jax import files, pictures
from gan_jax.cli import cli
from gan_jax.metrics import protocol
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import records

COLOURS = {"averaged": "#2f6fb3", "raw": "#d0702a", TRAINING: "#69717b"}


def main(
    experiment: str = "dcgan",
    datasets: tuple[str, ...] = ("digits", "fashion_mnist"),
    steps: int = 11_000,
    every: int = 1_000,
    workdir: Path | None = None,
) -> None:
    """Trains an experiment on data sets, and scores every checkpoint.

    Args:
        experiment: Module in experiments/.
        datasets: Data sets, one run each.
        steps: Iterations per run.
        every: Iterations between checkpoints.
        workdir: Directory to keep the runs in, as DATASET; by default they are temporary.
    """
    curves: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for dataset in datasets:
            run = (workdir or Path(temporary)) / dataset
            flags = ["--dataset", dataset, "--steps", steps, "--save-every", every, "--keep", 10_000, "--workdir", run]
            _call(f"experiments.{experiment}", *flags, *running.baseline(experiment))
            _call("gan_jax.evaluate", run, "--every", "--weights", "averaged", "raw", "--metrics", "fid")
            scores = protocol.read(run)
            first = scores[0]
            curves[dataset] = {
                "features": {"name": first.features_name, "fingerprint": first.features},
                "real": {"split": first.split, "count": first.real, "fingerprint": first.data},
                "samples": first.fake,
                "fid": [[s.weights, s.step, round(s.value, 4), round(s.error, 4)] for s in scores],
            }
    record = {"experiment": experiment, "steps": steps, "curves": curves, "environment": records.environment()}
    files.write_json(running.RESULTS.joinpath("scores.json"), record)
    pictures.save_png(running.RESULTS.joinpath("scores.png"), picture(record))
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record: a row per checkpoint, a column per data set and kind of weights."""
    curves = record["curves"]
    columns = [(dataset, weights) for dataset in curves for weights in ("averaged", "raw")]
    values = {(d, weights, step): value for d in curves for weights, step, value, _ in curves[d]["fid"]}
    steps = sorted({step for _, weights, step in values if weights == "averaged"})
    lines = [
        "| iterations | " + " | ".join(f"{d}, {w}" for d, w in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for step in steps:
        lines.append(f"| {step:,} | " + " | ".join(f"{values[d, w, step]:#.3g}" for d, w in columns) + " |")
    floor = " | ".join(f"{values[d, TRAINING, None]:#.3g}" for d, _ in columns)
    return "\n".join([*lines, f"| {TRAINING} | {floor} |"])


def picture(record: dict[str, Any]) -> np.ndarray:
    """Draws the curves: a panel per data set, a line per kind of weights, and training images as a reference."""
    canvas = FigureCanvasAgg(Figure(figsize=(4 * len(record["curves"]), 3), dpi=120, layout="constrained"))
    panels = np.ravel(canvas.figure.subplots(1, len(record["curves"])))
    for axes, (dataset, curve) in zip(panels, record["curves"].items(), strict=True):
        for weights, colour in COLOURS.items():
            steps, values, errors = zip(*[row[1:] for row in curve["fid"] if row[0] == weights], strict=True)
            if weights == TRAINING:
                axes.axhline(values[0], color=colour, lw=1, ls="--", label=weights)
            else:
                axes.errorbar(steps, values, errors, color=colour, marker=".", capsize=2, lw=1.5, label=weights)
        axes.set(yscale="log", title=f"{record['experiment']} on {dataset}", xlabel="iterations", ylabel="FID")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _call(module: str, *arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True)


if __name__ == "__main__":
    cli(main)
