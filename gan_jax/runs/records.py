"""The record of a run: experiment, config, data and environment; in `run.json` and in every checkpoint."""

import dataclasses
import importlib.metadata
import inspect
import json
import os
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Collection
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import jax

from gan_jax.data import Dataset, Stream, kinds
from gan_jax.data.dataset import marks
from gan_jax.files import atomic, write_json
from gan_jax.runs import notebooks

Record = dict[str, Any]

# JAX's settings that change the numbers drawn from a key, and their defaults, for records that lack them
NUMERICS = {"jax_enable_x64": False, "jax_threefry_partitionable": True, "jax_random_seed_offset": 0}
FORMAT = 3
"""Format of records. Experiments of formats 1 (without "format") and 2 import from the package's former layouts, and
their configs may have settings that had no effect, which this repository's experiments no longer have."""
SUPPLY = "write Config, build and everything that they need to experiment.py in the run directory"


def describe(build: Callable, dataset: Dataset | Stream, config: Any) -> Record:
    """Returns the record of a run: experiment, config, data and environment, as JSON types.

    Args:
        build: The experiment's `build`, which identifies its module.
        dataset: The training data.
        config: The experiment's config, a dataclass; its field `run` is left out, as it does not define the trajectory
            (`freeze`, which does, is recorded by `loop.run`).
    """
    shape = list(dataset.spec.shape)
    data = {"name": dataset.name, "split": dataset.split, "shape": shape, "classes": dataset.spec.classes}
    data |= {"kind": kinds.to_record(dataset.spec.kind)}
    data |= {"source": list(dataset.spec.source)} if dataset.spec.source else {}
    data |= {"unpaired": dataset.spec.unpaired, "few_labels": dataset.spec.few_labels}
    data |= {"class_names": list(dataset.spec.class_names)} if dataset.spec.class_names else {}
    data |= {"count": dataset.count} | marks(dataset)
    text = notebooks.source(build, config) if build.__module__ == "__main__" else None
    source = None if text else _source(build)
    if text is source is None:
        warnings.warn(
            "build and Config are defined neither in a file nor in cells of a notebook, so the run keeps no copy of "
            f"their source: to open the run later, {SUPPLY}",
            stacklevel=3,
        )
    file, commit = (str(source), _commit(source)) if source else (None, None)
    source_text = {"text": text} if text else {}
    return {
        "format": FORMAT,
        "experiment": {"module": _module_name(build), "file": file, "commit": commit} | source_text,
        "config": fields(config),
        "defaults": defaults(config),
        "data": data,
        "environment": environment(),
    }


def fields(config: Any) -> dict[str, Any]:
    """Returns the fields of a config that determine the trajectory, as JSON types: all but `run`."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "run"}
    return json.loads(json.dumps(values, default=str))


def environment() -> dict[str, Any]:
    """Returns versions, device, host, the package's commit, JAX's settings and the command line."""
    versions = {name: _version(name) for name in ("gan_jax", "jax", "flax", "optax")}
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    main = _main_spec()
    command = ["python", *(["-m", main.name] if main else sys.argv[:1]), *sys.argv[1:]]
    return versions | {
        "python": platform.python_version(),
        "device": f"{cores} CPU core{'s' * (cores > 1)}" if device.platform == "cpu" else device.device_kind,
        "devices": jax.device_count(),
        "host": f"{platform.system()} {platform.machine()}",
        "commit": _commit(Path(__file__)),
        "numerics": {name: getattr(jax.config, name) for name in NUMERICS},
        "command": shlex.join(command),
    }


def write(record: Record, directory: Path, step: int) -> None:
    """Writes a run's record, and a copy of its experiment's source.

    If the run is at a step above 0 and the source has changed, a warning says so, and the old copy is kept. If it
    is not known, nothing is copied, and an existing `experiment.py` stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "run.json", record)
    experiment, copy = record["experiment"], directory / "experiment.py"
    if experiment["file"] is None and "text" not in experiment:
        return
    source = experiment["text"].encode() if "text" in experiment else Path(experiment["file"]).read_bytes()
    if step and copy.exists() and copy.read_bytes() != source:
        old = copy.rename(directory / f"experiment-to-{step:08d}.py")
        warnings.warn(
            f"the experiment's source has changed since step {step}; the earlier source is in {old}", stacklevel=2
        )
    with atomic(copy) as file:
        file.write(source)


def summary(record: Record) -> str:
    """Returns a run's experiment and data in one line."""
    data = record["data"]
    shape = "x".join(map(str, data["shape"]))
    return f"{stem(record['experiment'])} on {data['name']} ({data['count']:,} examples, {shape})"


def stem(experiment: Record) -> str:
    """Returns an experiment's name: the last part of its module's, or its file's."""
    return (experiment["module"] or Path(experiment["file"] or "notebook").stem).split(".")[-1]


def defaults(config: Any) -> dict[str, Any]:
    """Returns the defaults of a config's fields that have one, as JSON types."""
    known = {field.name: field.default for field in dataclasses.fields(config)}
    values = {name: value for name, value in known.items() if value is not dataclasses.MISSING}
    return json.loads(json.dumps(values, default=str))


def changed(record: Record) -> dict[str, Any]:
    """Returns the newest values of the settings that were changed during the run, as JSON types."""
    return {change["field"]: change["new"] for change in record.get("changes", ())}


def settings(record: Record, known: Collection[str]) -> dict[str, Any]:
    """Returns the config with which a run began; of an older format, without settings that are no longer known."""
    older = record.get("format", 1) < FORMAT
    return {name: value for name, value in record["config"].items() if name in known or not older}


def _source(build: Callable) -> Path | None:
    """Returns the file that defines a function; None if there is none, as in a notebook or at a prompt."""
    try:
        path = inspect.getsourcefile(build)
    except TypeError:  # a class of a notebook, or an object without a definition
        return None
    return Path(path).absolute() if path and Path(path).is_file() else None


def _commit(file: Path) -> str | None:
    """Returns the commit of the repository that tracks a file; None without such a repository or without git."""
    try:
        tracked, described = (
            subprocess.run(["git", "-C", file.parent, *command], capture_output=True, text=True, timeout=30)
            for command in (["ls-files", "--error-unmatch", file.name], ["describe", "--always", "--dirty"])
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None if tracked.returncode == 0 else None


def _version(name: str) -> str | None:
    """Returns a package's version; None if it is on the path but not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _module_name(build: Callable) -> str | None:
    """Returns an experiment's import name, None for a script or a notebook."""
    if build.__module__ != "__main__":
        return build.__module__
    spec = _main_spec()
    return spec.name if spec else None


def _main_spec() -> ModuleSpec | None:
    """Returns the spec of the module that `python -m` runs, None for a script, a notebook or a prompt."""
    return getattr(sys.modules["__main__"], "__spec__", None)
