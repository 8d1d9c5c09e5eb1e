"""One table of the classic experiments: `python -m experiments.reproduce.comparison`.

Each is trained by its own command on one data set, with the same batch size, number of iterations and, where the paper
allows, networks; `python -m gan_jax.evaluate` scores 10,000 samples of the averaged generator by the features of the
data set's own classifier. Other settings are each experiment's defaults, but dcgan has the baseline's; those of ebgan,
began and dragan were chosen in short trials, and none were tuned further. A run that is recorded with the same settings
is not repeated without --again: to repeat experiments that have changed, give --again and --experiments.

Then iterations of all are timed in turns, each against dcgan's; keep the machine idle meanwhile. The results are
comparison.json and comparison.png, samples of each experiment's first seed.
"""

import dataclasses
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Any

import jax
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.benchmarks.throughput import looped
from experiments.reproduce import running
from gan_jax import data, files, pictures, rng, runs, sample
from gan_jax.cli import cli
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.metrics import protocol
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import records

EXPERIMENTS: dict[str, dict[str, float]] = {
    "mlp_gan": {},
    "dcgan": {},
    "lsgan": {},
    "wgan": {},
    "wgan_gp": {},
    "sngan": {},
    "dragan": {},
    "ebgan": {},
    "began": {},
    "pacgan": {},
    "unrolled_gan": {},
    "principled": {"noise_steps": 0.75},
    "improved_gan": {},
    "mode_regularized_gan": {},
    "denoising_feature_matching": {"noise_steps": 0.75},
    "mix_gan": {},
    "adagan": {"steps_per_component": 0.25, "classifier_steps": 0.05},
}
"""Experiment -> settings given as fractions of the run's iterations. bgan is left out: its images are binary."""

BASE = "dcgan"  # the reference of the times
METRICS = ("fid", "precision", "recall")
FILE = running.RESULTS.joinpath("comparison.json")


def main(
    workdir: Path,
    experiments: tuple[str, ...] = tuple(EXPERIMENTS),
    seeds: tuple[int, ...] = (0, 1, 2),
    dataset: str = "fashion_mnist",
    steps: int = 2_000,
    g_width: int = 16,
    d_width: int = 12,
    at_once: int = 1,
    rounds: int = 7,
    again: bool = False,
) -> None:
    """Trains, scores and times experiments, and records the results.

    Args:
        workdir: Directory to keep the runs in, as EXPERIMENT-SEED.
        experiments: Modules in experiments/.
        seeds: Seeds, one run of each experiment per seed.
        dataset: Data set, with labels.
        steps: Iterations per run.
        g_width: Width of every generator.
        d_width: Width of every discriminator.
        at_once: Number of parallel runs, each on an even share of the CPU cores.
        rounds: Rounds of timing; 0 for none.
        again: Repeat runs that are already recorded, and replace their records.
    """
    settings = {"dataset": dataset, "steps": steps, "g_width": g_width, "d_width": d_width}
    record = json.loads(FILE.read_text()) if FILE.exists() else {}
    if record.get("settings") != settings:
        record = {"settings": settings, "runs": {}}
    record["environment"] = records.environment()
    lock, cores = Lock(), Queue[set[int]]()
    for share in np.array_split(np.arange(os.cpu_count() or 1), at_once):
        cores.put({int(core) for core in share})

    def make(job: tuple[int, str]) -> None:
        seed, name = job
        share = cores.get()
        try:
            result = _run(name, seed, workdir / f"{name}-{seed}", settings, share)
        finally:
            cores.put(share)
        with lock:  # the record must not change while it is written
            record["runs"].setdefault(name, {})[str(seed)] = result
            save()
        print(f"{name}, seed {seed}: {result}", flush=True)

    def save() -> None:
        files.write_json(FILE, record)

    jobs = [(seed, name) for seed in seeds for name in experiments]  # all of one seed first
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(make, job) for job in jobs if again or str(job[0]) not in record["runs"].get(job[1], {})]
    for each in futures:  # all were tried: one that failed is raised after the others are recorded
        each.result()
    if others := by_other_judges(record):
        print(f"not scored by the classifier of most runs; repeat with --again: {' '.join(others)}")
    if rounds:
        record["costs"] = costs(list(record["runs"]), settings, rounds)
        save()
    panels = {name: workdir / f"{name}-{seeds[0]}" for name in EXPERIMENTS if name in record["runs"]}
    pictures.save_png(FILE.with_suffix(".png"), picture({n: path for n, path in panels.items() if path.is_dir()}))
    if BASE in record["runs"] and "costs" in record:
        print(markdown(record))


def by_other_judges(record: dict[str, Any]) -> list[str]:
    """Returns the experiments with a run that was not scored by the classifier of most runs."""
    judges = {name: [run.get("judge") for run in each.values()] for name, each in record["runs"].items()}
    usual = Counter(itertools.chain(*judges.values())).most_common(1)[0][0]
    return [name for name, each in judges.items() if set(each) != {usual}]


def costs(
    experiments: Sequence[str], settings: dict[str, Any], rounds: int, seconds: float = 2.0
) -> dict[str, list[float]]:
    """Times iterations in turns; returns experiment -> median, least and most of the ratios to dcgan's time."""
    iterate = {name: _iterations(name, settings) for name in {BASE, *experiments}}

    def pace(name: str, count: int) -> float:
        began = time.perf_counter()
        iterate[name](count)
        return (time.perf_counter() - began) / count

    counts = {}
    for name in iterate:
        pace(name, 1)  # compiles
        counts[name] = max(2, round(seconds / pace(name, 2)))
    ratios: dict[str, list[float]] = {name: [] for name in iterate}
    for _ in range(rounds):
        for name in iterate:
            ratios[name].append(pace(name, counts[name]) / pace(BASE, counts[BASE]))
    return {name: [round(float(x), 2) for x in (np.median(r), min(r), max(r))] for name, r in ratios.items()}


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record: medians over seeds, sorted by FID, and training images as a reference."""
    rows = []
    for name in record["runs"]:
        middle = _middle(record, name)
        cost = "{:.2f} ({:.2f} to {:.2f})".format(*record["costs"][name])
        fid = f"{middle['fid']:.2f} ({middle['least']:.2f} to {middle['most']:.2f})"
        rows.append(
            (middle["fid"], f"| `{name}` | {fid} | {middle['precision']:.2f} | {middle['recall']:.2f} | {cost} |")
        )
    yardstick = next(iter(record["runs"][BASE].values()))[TRAINING]
    floor = " | ".join(f"{yardstick[key]:.2f}" for key in METRICS)
    head = ["| experiment | FID, median (range) | precision | recall | time (range) |", "| --- |" + " --- |" * 4]
    return "\n".join([*head, *(row for _, row in sorted(rows)), f"| {TRAINING} | {floor} | |"])


def sentence(record: dict[str, Any], name: str) -> str:
    """Returns the sentence about an experiment's results in its docstring, which tests check."""
    row, settings = _middle(record, name), record["settings"]
    names = [*running.BASELINE.get(name, {}), "g_width", "d_width"]
    flags = [f"--{key.replace('_', '-')} {value}" for key, value in _settings(name, settings).items() if key in names]
    time = f"; an iteration takes {record['costs'][name][0]:.2f} times as long as one of {BASE}" if name != BASE else ""
    widths = f" (`{' '.join(flags)}`)" if flags else ""
    return (
        f"{len(record['runs'][name])} runs of {settings['steps']:,} iterations on {settings['dataset']}{widths}: FID "
        f"{row['fid']:.2f} ({row['least']:.2f} to {row['most']:.2f}) by its classifier's features, precision "
        f"{row['precision']:.2f}, recall {row['recall']:.2f}{time}."
    )


def picture(directories: dict[str, Path]) -> np.ndarray:
    """Draws samples of runs, one panel per run."""
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


def _middle(record: dict[str, Any], name: str) -> dict[str, float]:
    results = record["runs"][name].values()
    fids = [each["fid"] for each in results]
    middle = {key: statistics.median(each[key] for each in results) for key in METRICS}
    return middle | {"least": min(fids), "most": max(fids)}


def _settings(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Returns an experiment's own settings."""
    known = {each.name for each in dataclasses.fields(importlib.import_module(f"experiments.{name}").Config)}
    shares = {key: round(share * settings["steps"]) for key, share in EXPERIMENTS.get(name, {}).items()}
    applicable = {key: value for key, value in settings.items() if key in known}
    return applicable | shares | running.BASELINE.get(name, {})


def _iterations(name: str, settings: dict[str, Any]) -> Callable[[int], None]:
    """Returns the function that trains an experiment for a further number of iterations."""
    experiment = importlib.import_module(f"experiments.{name}")
    config = experiment.Config(**_settings(name, settings))
    dataset = data.load(config.dataset)
    system = experiment.build(config, dataset.spec)
    key, device = rng.key(0), jax.local_devices()[:1]
    draw = data.batches(len(dataset.arrays["image"]), config.batch_size, system.batches, kind=dataset.spec.kind)
    go_on = looped(system, draw, parallel.replicate((dataset.arrays, key), device))
    state = parallel.replicate(system.init(rng.named(key, "init")), device)

    def iterate(count: int) -> None:
        nonlocal state
        state = jax.block_until_ready(go_on(state, count))

    return iterate


def _run(name: str, seed: int, run: Path, settings: dict[str, Any], cores: set[int]) -> dict[str, Any]:
    """Trains and scores one run on some CPU cores; returns the scores of samples and of training images."""

    def call(module: str, *arguments: Any) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        with (run.parent / f"{run.name}.log").open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, cores)
            if process.wait():
                raise UserError(f"{' '.join(command)} failed; see {log.name}")

    run.parent.mkdir(parents=True, exist_ok=True)
    flags = [f"--{key}={value}" for key, value in _settings(name, settings).items()]
    flags += [f"--steps={settings['steps']}", f"--seed={seed}", f"--workdir={run}", "--sample-every=500", "--devices=1"]
    call(f"experiments.{name}", *flags)
    call("gan_jax.evaluate", run, "--metrics", *METRICS)
    scores = protocol.read(run)

    def of(weights: str) -> dict[str, float]:
        return {score.metric: round(score.value, 4) for score in scores if score.weights == weights}

    return of("averaged") | {TRAINING: of(TRAINING), "judge": scores[-1].features}


if __name__ == "__main__":
    cli(main)
