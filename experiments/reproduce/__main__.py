"""Runs an experiment over seeds and records the results: `python -m experiments.reproduce dcgan --seeds 0 1 2`.

Each run is the experiment's own command in its own process, timed from start to end. A classifier of the data set
judges 2,000 samples of each checkpoint, unless `--no-judge` is given, and for comparison real test images and samples
of the untrained generator. The record goes to `experiments/results/NAME.json`, and the first run's last grid of samples
to `NAME.png`.
"""

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import jax
import tyro

from experiments.reproduce import running
from gan_jax import rng, runs, sample
from gan_jax.cli import cli
from gan_jax.data import load
from gan_jax.metrics.features import classifier, pretrained
from gan_jax.runs import checkpoint, log

SAMPLES = 2_000


def main(
    experiment: tyro.conf.Positional[str],
    seeds: tuple[int, ...] = (0,),
    settings: str = "",
    name: str | None = None,
    judge: bool = True,
    animation: bool = False,
    workdir: Path | None = None,
) -> None:
    """Runs an experiment over seeds and records the results.

    Args:
        experiment: Module in experiments/, such as dcgan.
        seeds: Seeds, one run each.
        settings: Further flags of the experiment, in one string.
        name: Name of the record; by default the experiment's.
        judge: Judge samples by a classifier of the data set; --no-judge leaves it out.
        animation: Whether to keep the first run's animation too.
        workdir: Directory to keep the runs in, as SEED; finished runs there are not repeated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = workdir or Path(temporary)
        flags = f"{settings} --keep 1000"  # all checkpoints, to judge each
        minutes = [running.timed(experiment, flags, seed, root / str(seed)) for seed in seeds]
        record = _record(experiment, settings, list(seeds), minutes, root)
        if judge:
            record["figures"] = _judge(record, root)
        directory = running.RESULTS
        first = root / str(seeds[0])
        shutil.copyfile(first / "samples" / f"{record['steps']:08d}.png", directory / f"{name or experiment}.png")
        if animation:
            shutil.copyfile(first / "animation.gif", directory / f"{name or experiment}.gif")
    running.write(name or experiment, record)
    print(sentence(record))


def sentence(record: dict[str, Any]) -> str:
    """Returns the sentence about a record in README and docstrings, which tests check."""
    runs_made = f"{len(record['seeds'])} runs" if len(record["seeds"]) > 1 else "One run"
    data = record["data"]["name"].removeprefix("folder:").rstrip("/").split("/")[-1]
    text = (
        f"{runs_made} of {record['steps']:,} iterations on {data}, {statistics.median(record['minutes']):.1f} minutes "
        f"on {record['device']}"
    )
    if "figures" not in record:
        return text + "."
    sure = [each["sure"] for each in record["figures"]["final"]]
    untrained = max(each["sure"] for each in record["figures"]["untrained"])
    rarest = min(each["smallest_share"] for each in record["figures"]["final"])
    return (
        f"{text}: the classifier is sure of {statistics.median(sure):.0%} of the samples (worst run {min(sure):.0%}; "
        f"real test images {record['figures']['real']['sure']:.0%}; untrained generator {untrained:.0%}), "
        f"and the rarest class makes up {rarest:.1%}."
    )


def _record(experiment: str, settings: str, seeds: list[int], minutes: list[float], root: Path) -> dict[str, Any]:
    run = runs.open_run(root / str(seeds[0]))
    environment = run.record["environment"]
    return {
        "command": running.command(experiment, settings),
        "config": run.record["config"],
        "data": run.record["data"],
        "commit": environment["commit"],
        "device": environment["device"]
        if environment["devices"] == 1
        else f"{environment['devices']} x {environment['device']}",
        "versions": {name: environment[name] for name in ("python", "jax", "flax", "optax")},
        "steps": run.step,
        "seeds": seeds,
        "minutes": [round(m, 2) for m in minutes],
        "losses": _losses(root / str(seeds[0])),
    }


def _losses(run: Path, points: int = 20) -> list[list[float]]:
    """Returns about `points` rows of a run's log: step, discriminator loss, generator loss."""
    rows = [row for row in log.read(run) if "discriminator/loss" in row]
    chosen = rows[:: max(1, len(rows) // points)]
    chosen += [] if chosen[-1] is rows[-1] else rows[-1:]
    return [[row["step"], round(row["discriminator/loss"], 4), round(row["generator/loss"], 4)] for row in chosen]


def _judge(record: dict[str, Any], root: Path) -> dict[str, Any]:
    """Judges samples of every checkpoint, real test images, and samples of untrained generators."""
    data = record["data"]
    judged = pretrained.load(data["name"])

    def verdict(images: Any) -> dict[str, float]:
        result = classifier.verdict(judged.probabilities(images))
        return {"sure": round(result.sure, 4), "smallest_share": round(min(result.shares), 4)}

    final, untrained, curves = [], [], []
    for seed in record["seeds"]:
        directory = root / str(seed)
        steps = checkpoint.steps(directory / "checkpoints")
        opened = [runs.open_run(directory, step) for step in steps]
        curve = [{"step": run.step} | verdict(sample.samples(run, seed, SAMPLES)) for run in opened]
        state = jax.jit(opened[0].system.init)(rng.named(rng.key(seed), "init"))
        fresh = opened[0]._replace(ema=state.ema)
        untrained.append(verdict(sample.samples(fresh, seed, SAMPLES)))
        final.append({name: value for name, value in curve[-1].items() if name != "step"})
        curves.append(curve)
    return {
        "judge": {"accuracy": round(judged.accuracy, 4), "fingerprint": judged.fingerprint, "samples": SAMPLES},
        "real": verdict(load(data["name"], "test").arrays["image"]),
        "untrained": untrained,
        "final": final,
        "curves": curves,
    }


if __name__ == "__main__":
    cli(main)
