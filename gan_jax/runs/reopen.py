"""Reopening of runs: rebuilds system, networks and data from a run directory.

A run directory holds `run.json`, `experiment.py` (a copy of the experiment's source), `metrics.jsonl`, `tensorboard/`,
`samples/`, `checkpoints/`, and at the end `animation.gif` and `report.html`. Every checkpoint carries the record too.
Rebuilding a system runs the experiment's code: open only runs that you trust, or give `safe`, which runs none of it.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax

from gan_jax import rng
from gan_jax.data import Dataset, Spec, kinds, names
from gan_jax.errors import NotFound, UserError
from gan_jax.runs import checkpoint, identity, importing, records
from gan_jax.runs.records import Record
from gan_jax.types import PyTree, System, TrainState

BEST = "best"  # directory of the best checkpoint, in the run directory
_opening: ContextVar[Path | None] = ContextVar("_opening", default=None)  # the experiment that is being imported


class Restored(NamedTuple):
    """A reopened run, for sampling and evaluation.

    Attributes:
        system: The system, rebuilt from the recorded config.
        ema: The averaged networks of one checkpoint.
        step: That checkpoint's step.
        record: The run's record.
        spec: The shape and kind of the examples.
        data: The run's training data, if it was opened with a data set in memory; else they are loaded by name.
        trusted: Whether a function that is named in the record may be called to load the data.
    """

    system: System
    ema: dict[str, PyTree]
    step: int
    record: Record
    spec: Spec
    data: Dataset | None = None
    trusted: bool = True


def open_run(
    directory: Path,
    step: int | None = None,
    best: bool = False,
    dataset: str | Dataset | None = None,
    safe: bool = False,
) -> Restored:
    """Rebuilds a run's system and restores its averaged networks, from the directory alone.

    Args:
        directory: A run directory.
        step: Step of the checkpoint; by default the newest undamaged one.
        best: Whether to use the best checkpoint, which `--best` keeps, instead.
        dataset: New name of the run's data, as in `data.load`, if they have moved; or the data themselves, such as
            `data.from_arrays` makes.
        safe: Whether to run this repository's experiment of the same name instead of the directory's code. If the two
            differ, samples may differ, or an error may follow. It refuses a kind of examples that neither the package
            nor that experiment defines, and a function that the record names as the source of the data.

    Raises:
        NotFound: If it is no run directory, or has no checkpoint yet, or no best one.
        UserError: If the checkpoint and the experiment's code do not fit each other, the code raises an error, or the
            kind of the examples is not found.
    """
    ema, record = checkpoint.restore_averaged(_checkpoints(directory, step, best), step)
    identity.require_same_numerics(record, directory)
    with opening(directory / "experiment.py"):
        experiment = importing.load_experiment(record, directory, safe)
        spec = _spec(record, experiment, safe)
        with importing.blamed(Path(str(experiment.__file__))):
            system = experiment.build(_config(record, experiment), spec)
            expected = jax.eval_shape(system.init, rng.key(0)).ema
    _require_shapes(expected, ema, directory)
    if dataset is not None:
        name = names.resolved(dataset) if isinstance(dataset, str) else dataset.name
        record = record | {"data": record["data"] | {"name": name}}
    in_memory = dataset if isinstance(dataset, Dataset) else None
    trusted = not safe or dataset is not None
    return Restored(system, jax.tree.map(jax.numpy.asarray, ema), record["step"], record, spec, in_memory, trusted)


@contextmanager
def opening(file: Path) -> Iterator[None]:
    """Context manager within which an experiment is imported and built, and starting to train is an error."""
    token = _opening.set(file)
    try:
        yield
    finally:
        _opening.reset(token)


def require_none_opening() -> None:
    """Refuses to train while a run is being opened, as happens if the run's script trains on import.

    Raises:
        UserError: If an experiment is being imported; names its file.
    """
    if (file := _opening.get()) is not None:
        raise UserError(
            f"importing {file}, which starts to train when imported: put its training code under `if __name__ == "
            '"__main__":`; if it is the experiment.py of a run, both there and in the original script'
        )


def restore_state(run: Restored, directory: Path, step: int | None = None, best: bool = False) -> TrainState:
    """Restores the whole state of an opened run, including all that is not averaged.

    Args:
        run: A run opened by `open_run`, at any step.
        directory: Its run directory.
        step: Step of the checkpoint; by default the newest undamaged one.
        best: Whether to use the best checkpoint instead.
    """
    like = jax.eval_shape(run.system.init, rng.key(0))
    state = checkpoint.restore(_checkpoints(directory, step, best), like, step)[0]
    return jax.tree.map(jax.numpy.asarray, state)


def _checkpoints(directory: Path, step: int | None, best: bool) -> Path:
    if not (directory / "checkpoints").is_dir():
        raise NotFound(
            f"{directory} is not a run directory: it has no checkpoints/; give the directory of a run, such as "
            "runs/dcgan-digits"
        )
    if best and step is not None:
        raise UserError(f"--step {step} and --best exclude each other: give one of them")
    if not checkpoint.steps(directory / "checkpoints"):
        raise NotFound(f"{directory} has no checkpoint: the run ended before saving the first one; train it again")
    if best and not (directory / BEST).is_dir():
        raise NotFound(f"{directory} has no best checkpoint: train again with --best fid --fresh, or leave --best out")
    return directory / (BEST if best else "checkpoints")


def _config(record: Record, experiment: ModuleType) -> Any:
    """Returns the experiment's config of a record."""
    known = {field.name for field in dataclasses.fields(experiment.Config)}
    config = records.settings(record, known) | records.changed(record)
    if unknown := config.keys() - known:
        raise UserError(
            f"the run's config has {sorted(unknown)}, which Config in {experiment.__file__} lacks; restore it"
        )
    return experiment.Config(**config)


def _spec(record: Record, experiment: ModuleType, safe: bool) -> Spec:
    """Returns the spec of a record's data; a kind of the experiment's own is that of the imported module."""
    about, module = record["data"], record["experiment"]
    stem = Path(module["file"] or "experiment").stem
    kind = kinds.find(kinds.of_record(about), safe, {module["module"] or stem: experiment, stem: experiment})
    task = names.parsed(about["name"]).task  # for records of format 1, which lack the other entries
    unpaired, few_labels = about.get("unpaired", task == "unpaired"), about.get("few_labels", task == "few")
    source = tuple(about["source"]) if "source" in about else None
    named = tuple(about.get("class_names", ()))  # older records have none
    return Spec(tuple(about["shape"]), about["classes"], source, unpaired, few_labels, kind, named)


def _require_shapes(expected: dict[str, PyTree], ema: dict[str, PyTree], directory: Path) -> None:
    """Checks that restored averages have the shapes that the rebuilt system expects."""
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (expected, ema)
    ]
    if shapes[0] != shapes[1]:
        odd = sorted(set(map(str, shapes[0].items())) ^ set(map(str, shapes[1].items())))[0]
        raise UserError(
            f"{directory}: its generator differs from the one that the experiment's code builds now, at {odd}; "
            "restore the code as it was when the run was trained"
        )
