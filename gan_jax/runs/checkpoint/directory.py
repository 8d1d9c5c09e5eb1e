"""Directories of steps: listed, moved aside, copied."""

import itertools
import re
import shutil
from pathlib import Path

from gan_jax.devices import cluster


def step_name(step: int) -> str:
    """Returns the name of a step's directory."""
    return f"step_{step:08d}"


def steps(directory: Path) -> list[int]:
    """Lists the completely written steps, ascending; none if the directory does not exist."""
    try:
        names = [path.name for path in directory.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    numbers = [int(each.removeprefix("step_")) for each in names if re.fullmatch(r"step_[0-9]{8,}", each)]
    return sorted(step for step in numbers if step_name(step) in names)


def discard_after(directory: Path, step: int) -> list[Path]:
    """Moves aside all steps later than one, so that training can resume from it; deletes nothing.

    Args:
        directory: Directory of a `writer`, none of which may be open.
        step: The step to resume from.

    Returns:
        The new paths: `discarded-step_00000042`, with suffix `-1`, `-2`, ... if that exists.
    """
    moved = []
    for later in [each for each in steps(directory) if each > step and cluster.chief()]:
        names = (f"discarded-{step_name(later)}{f'-{n}' if n else ''}" for n in itertools.count())
        free = next(directory / each for each in names if not (directory / each).exists())
        moved.append((directory / step_name(later)).rename(free))
    cluster.wait("discard_after")  # else other processes might open a writer that still counts these steps
    return moved


def copy(source: Path, target: Path, step: int) -> None:
    """Copies a step to another directory of checkpoints, atomically."""
    partial = target / f"copying-{step_name(step)}"
    shutil.copytree(source / step_name(step), partial, dirs_exist_ok=True)
    partial.rename(target / step_name(step))
