"""One table of the classic experiments: `python -m experiments.results.comparison`.

Each is trained by its own command on one data set, all with the same batch, number of iterations of the generator and,
where the paper allows, networks; 10,000 samples of the averaged generator are scored by `python -m gan_jax.evaluate`,
by the features of the data set's own classifier. Other settings are each experiment's defaults, tuned for none of them.
A run that is recorded already, of the same settings, is not made again.

It writes comparison.json and comparison.png, samples of each experiment's first seed.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gan_jax import pictures, records, runs, sample
from gan_jax.cli import cli
from gan_jax.evaluate import TRAINING
from gan_jax.metrics import protocol

EXPERIMENTS = (
    "dcgan",
    "lsgan",
    "wgan",
    "wgan_gp",
    "sngan",
    "dragan",
    "ebgan",
    "began",
    "pacgan",
    "unrolled_gan",
    "principled",
    "improved_gan",
    "mode_regularized_gan",
    "denoising_feature_matching",
    "mix_gan",
    "adagan",
)
METRICS = ("fid", "precision", "recall")
FILE = Path(__file__).with_name("comparison.json")


def main(
    workdir: Path,
    experiments: tuple[str, ...] = EXPERIMENTS,
    seeds: tuple[int, ...] = (0, 1, 2),
    dataset: str = "fashion_mnist",
    steps: int = 2_000,
    at_once: int = 1,
) -> None:
    """Trains and scores experiments, and records it.

    Args:
        workdir: Where the runs are kept, EXPERIMENT-SEED each.
        experiments: Modules in experiments/.
        seeds: One run each.
        dataset: On what; it has labels.
        steps: Iterations of each.
        at_once: Runs side by side, each on an even share of the CPU cores. The minutes are of such a share.
    """
    settings = {"dataset": dataset, "steps": steps, "cores": (os.cpu_count() or 1) // at_once}
    record = json.loads(FILE.read_text()) if FILE.exists() else {}
    if record.get("settings") != settings:
        record = {"settings": settings, "runs": {}}
    record["environment"] = records.environment()
    cores: Queue[set[int]] = Queue()
    for share in np.array_split(np.arange(os.cpu_count() or 1), at_once):
        cores.put({int(core) for core in share})

    def make(job: tuple[int, str]) -> None:
        seed, name = job
        share = cores.get()
        try:
            made = _run(name, seed, workdir / f"{name}-{seed}", settings, share)
        finally:
            cores.put(share)
        record["runs"].setdefault(name, {})[str(seed)] = made
        with pictures.atomic(FILE) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        print(f"{name}, seed {seed}: {made}", flush=True)

    jobs = [(seed, name) for seed in seeds for name in experiments]  # all of one seed first
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(make, [job for job in jobs if str(job[0]) not in record["runs"].get(job[1], {})]))
    panels = {name: workdir / f"{name}-{seeds[0]}" for name in EXPERIMENTS if name in record["runs"]}
    pictures.save_png(FILE.with_suffix(".png"), picture({n: path for n, path in panels.items() if path.is_dir()}))
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the table of a record: medians over the seeds, sorted by FID, and below the yardstick."""
    rows = []
    for name, made in record["runs"].items():
        values = {key: [each[key] for each in made.values()] for key in (*METRICS, "minutes")}
        middle = {key: statistics.median(each) for key, each in values.items()}
        spread = f"{middle['fid']:.2f} ({min(values['fid']):.2f} to {max(values['fid']):.2f})"
        cells = [f"`{name}`", spread, *(f"{middle[key]:.2f}" for key in METRICS[1:]), f"{middle['minutes']:.1f}"]
        rows.append((middle["fid"], "| " + " | ".join(cells) + " |"))
    yardstick = next(iter(next(iter(record["runs"].values())).values()))[TRAINING]
    floor = " | ".join(f"{yardstick[key]:.2f}" for key in METRICS)
    head = ["| experiment | FID, median (range) | precision | recall | minutes |", "| --- |" + " --- |" * 4]
    return "\n".join([*head, *(row for _, row in sorted(rows)), f"| {TRAINING} | {floor} | |"])


def sentence(record: dict[str, Any], name: str) -> str:
    """Returns what an experiment's docstring says of its row; the tests hold it to that."""
    made = list(record["runs"][name].values())
    middle = {key: statistics.median(each[key] for each in made) for key in (*METRICS, "minutes")}
    dataset, steps, cores = (record["settings"][key] for key in ("dataset", "steps", "cores"))
    return (
        f"{len(made)} runs of {steps:,} iterations on {dataset}, {middle['minutes']:.1f} minutes each on {cores} CPU "
        f"core{'s' if cores > 1 else ''}: FID {middle['fid']:.2f} ({min(each['fid'] for each in made):.2f} to "
        f"{max(each['fid'] for each in made):.2f}; by the classifier's features), precision {middle['precision']:.2f}, "
        f"recall {middle['recall']:.2f}."
    )


def picture(directories: dict[str, Path]) -> np.ndarray:
    """Draws samples of runs, a panel each."""
    columns = 4
    rows = -(-len(directories) // columns)
    canvas = FigureCanvasAgg(Figure(figsize=(2.4 * columns, 2.6 * rows), dpi=110, layout="constrained"))
    panels = np.ravel(canvas.figure.subplots(rows, columns))
    for axes in panels:
        axes.set_axis_off()
    for axes, (name, directory) in zip(panels, directories.items(), strict=False):
        grid = pictures.grid(sample.samples(runs.open_run(directory), seed=0, count=36), 6)
        axes.imshow(grid.squeeze(), cmap="gray", interpolation="nearest")
        axes.set_title(name, fontsize=9)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _run(name: str, seed: int, run: Path, settings: dict[str, Any], cores: set[int]) -> dict[str, Any]:
    """Trains and scores one; returns its minutes and scores."""

    def call(module: str, *arguments: Any) -> float:
        began = time.monotonic()
        command = [sys.executable, "-m", module, *map(str, arguments)]
        with (run.parent / f"{run.name}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, cores)
            if process.wait():
                raise RuntimeError(f"{' '.join(command)} failed; see {log.name}")
        return (time.monotonic() - began) / 60

    run.parent.mkdir(parents=True, exist_ok=True)
    flags = ["--dataset", settings["dataset"], "--steps", settings["steps"], "--seed", seed, "--workdir", run]
    minutes = call(f"experiments.{name}", *flags, "--sample-every", 500, "--devices", 1)
    call("gan_jax.evaluate", run, "--metrics", *METRICS)
    scores = protocol.read(run)

    def of(weights: str) -> dict[str, float]:
        return {score.metric: round(score.value, 4) for score in scores if score.weights == weights}

    return {"minutes": round(minutes, 2)} | of("averaged") | {TRAINING: of(TRAINING)}


if __name__ == "__main__":
    cli(main)
