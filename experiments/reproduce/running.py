"""Runs of experiments, each the experiment's own command in a process of its own."""

import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_jax.files import write_json

BASELINE = {"dcgan": {"latent_size": 32, "d_learning_rate": 3e-4}}
"""Settings of the baseline, for an experiment whose own defaults differ: dcgan's are for digits."""
RESULTS = Path(__file__).parents[1] / "results"  # records and pictures


def timed(experiment: str, settings: str, seed: int, workdir: Path) -> float:
    """Makes a run, or goes on with it where it was left; returns its minutes, 0 for one that had ended.

    Args:
        experiment: Module in experiments/.
        settings: Its flags, in one string.
        seed: Its seed.
        workdir: Its directory; the time is kept beside it.
    """
    kept = workdir.with_name(f"{workdir.name}.minutes")
    if kept.exists():
        return float(kept.read_text())
    began = time.monotonic()
    command = [sys.executable, "-m", f"experiments.{experiment}", *shlex.split(settings), "--seed", str(seed)]
    subprocess.run([*command, "--workdir", str(workdir)], check=True)
    minutes = (time.monotonic() - began) / 60
    kept.write_text(f"{minutes:.2f}")
    return minutes


def command(experiment: str, settings: str) -> str:
    """Returns what a person types."""
    return " ".join(["python -m", f"experiments.{experiment}", settings]).strip()


def baseline(experiment: str) -> list[str]:
    """Returns the flags by which an experiment stands for the baseline."""
    return [f"--{key.replace('_', '-')}={value}" for key, value in BASELINE.get(experiment, {}).items()]


def write(name: str, record: Mapping[str, Any]) -> None:
    """Writes a record, `experiments/results/NAME.json`."""
    write_json(RESULTS / f"{name}.json", record)


def spread(values: Sequence[float], form: str) -> str:
    """Returns a median and a range, in a format of numbers."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
