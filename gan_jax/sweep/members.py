"""The runs of a sweep: every combination of the values that are given for an experiment's flags."""

import importlib
import itertools
import json
import pkgutil
import re
import sys
import typing
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gan_jax import runs
from gan_jax.cli import parsed
from gan_jax.errors import NotFound, UserError, nearest
from gan_jax.runs import checkpoint, importing, records

Values = tuple[str, ...]  # the words of one value, empty for a flag that takes none


class Member(NamedTuple):
    """A run of a sweep.

    Attributes:
        settings: Swept flag -> its value.
        command: The words of its command, after `python`.
        directory: The run directory.
        config: The experiment's config.
    """

    settings: dict[str, str]
    command: list[str]
    directory: Path
    config: Any


def planned(experiment: str, words: Sequence[str], out: Path | None = None) -> list[Member]:
    """Returns the runs of a sweep, each with settings that the experiment's own `Config` accepts.

    Args:
        experiment: A module, such as experiments.dcgan, or a Python file.
        words: Flags of the experiment with their values.
        out: Directory of the sweep; by default runs/sweep-EXPERIMENT-FLAGS, FLAGS those with several values.

    Raises:
        UserError: If the experiment has no `Config` with a field `run`, no flag has several values, a value is given
            twice, or a run directory has a run of other settings.
        SystemExit: With status 2, after a message, if the experiment does not accept the flags.
    """
    module, script = _imported(experiment), experiment.endswith(".py")
    kind: Any = getattr(module, "Config", None)
    if not is_dataclass(kind) or not any(field.name == "run" for field in fields(kind)):
        raise UserError(f"{experiment} has no Config with a field run, as experiments trained by loop.run have")
    grid = _grid(words, set(_sequences(kind)))
    if reserved := {"workdir", "fresh"} & set(grid):
        raise UserError(f"--{min(reserved)}: a sweep gives each run a directory of its own; give another --out instead")
    swept = [name for name, values in grid.items() if len(values) > 1]
    if not swept:
        raise UserError("no flag has several values: give some, such as --seed 0 1 2, or run the experiment itself")
    name = Path(experiment).stem if script else experiment.rpartition(".")[2]
    out = out or Path("runs") / "-".join(["sweep", name, *swept])
    members = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        settings = {name: chosen[name][0] for name in swept}
        directory = out / ",".join(re.sub(r"[^\w.+=-]+", "-", f"{name}={value}") for name, value in settings.items())
        flags = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", *value)]
        flags += ["--workdir", str(directory)]
        prefix = [experiment] if script else ["-m", experiment]
        config = parsed(kind, flags, f"python {' '.join(prefix)}", presets=getattr(module, "PRESETS", None))
        members.append(Member(settings, [*prefix, *flags], directory, config))
    _require_own_directories(members)
    return members


def finished(member: Member) -> bool:
    """Returns whether a member has all its iterations."""
    return max(checkpoint.steps(member.directory / "checkpoints"), default=0) >= member.config.run.steps


def _imported(experiment: str) -> ModuleType:
    """Imports an experiment, without training it."""
    if experiment.endswith(".py"):
        file = Path(experiment)
        if not file.is_file():
            raise NotFound(f"{file}: there is no such file; give an experiment's module or Python file")
        with runs.opening(file):
            return importing.load_file(file, f"experiment_{file.stem}", [file.absolute().parent])
    try:
        with runs.opening(Path(experiment)):
            return importlib.import_module(experiment)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{experiment}.".startswith(f"{error.name}."):
            raise
        remedy = "python -m experiments lists those of this repository, in whose folder they must be run"
        folder, _, name = experiment.rpartition(".")
        inside = getattr(sys.modules.get(folder), "__path__", ())
        suggestion = nearest(name, (each.name for each in pkgutil.iter_modules(inside)))
        raise NotFound(f"{experiment}: there is no such module; {remedy}.{suggestion}") from error


def _sequences(kind: Any) -> Iterable[str]:
    """Yields the fields of a dataclass, and of the dataclasses in it, that take several words."""
    hints = typing.get_type_hints(kind)
    for name in (field.name for field in fields(kind)):
        if is_dataclass(hints[name]):
            yield from _sequences(hints[name])
        elif any(typing.get_origin(each) is tuple for each in (hints[name], *typing.get_args(hints[name]))):
            yield name


def _grid(words: Sequence[str], sequences: set[str]) -> dict[str, list[Values]]:
    """Returns flag -> its values."""
    flags: dict[str, list[str]] = {}
    values: list[str] = []
    for word in words:
        if not word.startswith("--"):
            values.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        name = name.replace("-", "_")
        if name in flags:
            raise UserError(f"--{name} is given twice; give all its values after one --{name}")
        values = flags[name] = [value] if equals else []
    for name, each in flags.items():
        if name not in sequences and len(set(each)) < len(each):
            raise UserError(f"--{name} {' '.join(each)}: a value is given twice; give each value once")
    return {
        name: [tuple(each)] if name in sequences or not each else [(value,) for value in each]
        for name, each in flags.items()
    }


def _require_own_directories(members: Sequence[Member]) -> None:
    """Refuses a sweep if two of its runs would share a directory, or a directory has a run of other settings."""
    known: dict[Path, Member] = {}
    for member in members:
        if other := known.get(member.directory):
            raise UserError(
                f"{member.settings} and {other.settings} would both be trained in {member.directory}; "
                "sweep them separately"
            )
        known[member.directory] = member
        recorded: dict[str, Any] = {}
        with suppress(OSError, ValueError, KeyError):
            recorded = json.loads((member.directory / "run.json").read_text())["config"]
        now = records.fields(member.config)
        if differ := [name for name, value in recorded.items() if value != now.get(name)]:
            its = ", ".join(f"{name}={recorded[name]!r}" for name in differ)
            raise UserError(f"{member.directory} has a run with {its}; give another --out, or --{differ[0]} as there")
