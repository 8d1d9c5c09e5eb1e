"""Runs experiments, each by its own command in its own process, and writes records."""

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
"""Settings with which an experiment equals the baseline, where its defaults differ: dcgan's are for digits."""
RESULTS = Path(__file__).parents[1] / "results"  # records and pictures


def timed(experiment: str, settings: str, seed: int, workdir: Path) -> float:
    """Runs an experiment, or resumes the run; returns the minutes taken, for a finished run those on file.

    Args:
        experiment: Module in experiments/.
        settings: Flags of the run, in one string.
        seed: Seed of the run.
        workdir: The run directory; the minutes are kept in WORKDIR.minutes.
    """
    file = workdir.with_name(f"{workdir.name}.minutes")
    if file.exists():
        return float(file.read_text())
    began = time.monotonic()
    command = [sys.executable, "-m", f"experiments.{experiment}", *shlex.split(settings), "--seed", str(seed)]
    subprocess.run([*command, "--workdir", str(workdir)], check=True)
    minutes = (time.monotonic() - began) / 60
    file.write_text(f"{minutes:.2f}")
    return minutes


def command(experiment: str, settings: str) -> str:
    """Returns the shell command of a run."""
    return " ".join(["python -m", f"experiments.{experiment}", settings]).strip()


def baseline(experiment: str) -> list[str]:
    """Returns the flags with which an experiment equals the baseline."""
    return [f"--{key.replace('_', '-')}={value}" for key, value in BASELINE.get(experiment, {}).items()]


def write(name: str, record: Mapping[str, Any]) -> None:
    """Writes a record, `experiments/results/NAME.json`."""
    write_json(RESULTS / f"{name}.json", record)


def spread(values: Sequence[float], form: str) -> str:
    """Formats the median and range of values, each with the format `form`."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
