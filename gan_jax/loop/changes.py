"""Changes of settings during a run, recorded as a history on top of its first config.

`--change g_learning_rate=1e-4` continues a run from its newest checkpoint with another value. A setting may change if
`build` reads it and if it leaves the state's arrays and the order of the data as they are: rates, decays, weights of
terms, strengths of augmentations, schedules. The record, in run.json and in every checkpoint, keeps the first config,
and the changes as `[{"step", "field", "old", "new"}]`, so that the run continues without the flag, and is opened with
the newest values.
"""

import dataclasses
import typing
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from typing import Any

import jax
import tyro

from gan_jax import rng, runs, trees
from gan_jax.cli import TYPES
from gan_jax.data import Spec
from gan_jax.devices import cluster
from gan_jax.errors import UserError, nearest
from gan_jax.loop.settings import Config, Job, Run
from gan_jax.loop.swept_fields import is_float
from gan_jax.runs import checkpoint, identity, log, records
from gan_jax.runs.records import Record
from gan_jax.types import System

Build = Callable[..., System]
Change = dict[str, Any]  # "step", "field", "old", "new"
ELSEWHERE = {
    "batch_size": "the order of the data depends on it",
    "seed": "all randomness depends on it, also the order of the data",
    "dataset": "the state, the scores and the order of the data belong to one data set",
    "resolution": "the data have been read with it",
}


def continued(job: Job, previous: Record | None, build: Build, spec: Spec) -> tuple[Job, list[Change]]:
    """Returns a run with its newest settings, and the changes that `--change` asks for.

    Args:
        job: The run, with the settings of the command.
        previous: The record of the newest checkpoint; None in a new run.
        build: The experiment's `build`.
        spec: The spec of the data.

    Returns:
        The run, with all changes in its config and the earlier ones in its record; and the new changes, without "step".

    Raises:
        UserError: If the directory holds another run, or one with other settings, or a setting cannot change.
    """
    asked = dict(_parsed(text, job.config) for text in job.options.change)
    if previous is None:
        if asked:
            raise UserError(f"--change: {job.workdir} has no checkpoint to continue; give the settings as flags")
        return job, []
    ours, known = job.record, records.defaults(job.config)
    first = {name: known[name] for name in ours["config"] if name in known} | records.settings(previous, ours["config"])
    then = first | records.changed(previous)
    requested = ours | {"config": ours["config"] | {name: then[name] for name in asked if name in then}}
    before = _with(job.config, then, (records.changed(previous) | asked).keys() & then.keys())

    def possible(fields: list[str]) -> bool:
        with suppress(Exception):  # only a hint in an error message depends on it
            wanted = {name: getattr(job.config, name) for name in fields}
            was = _with(job.config, then, then.keys())
            require_possible(build, spec, was, dataclasses.replace(was, **wanted))
            return True
        return False

    identity.require_same(requested, previous, job.workdir, known, possible)
    identity.require_same_numerics(previous, job.workdir)
    new = {name: value for name, value in asked.items() if value != getattr(before, name)}
    after = dataclasses.replace(before, **new)
    if new:
        require_possible(build, spec, before, after)
    history = previous.get("changes", [])
    record = ours | {"config": ours["config"] | {name: first[name] for name in records.changed(previous) | new}}
    record |= {"changes": history} if history else {}
    old, now = records.fields(before), records.fields(after)
    changes = [{"field": name, "old": old[name], "new": now[name]} for name in new]
    return job._replace(config=after, record=record), changes


def text(new: Sequence[Change]) -> str:
    """Returns changes as a line of text, empty if there are none."""
    parts = [f"{change['field']} from {change['old']} to {change['new']}" for change in new]
    return f"changed: {', '.join(parts)}" if parts else ""


def noted(job: Job, new: Sequence[Change], step: int) -> Job:
    """Records changes at the step from which the run continues, in the log and in all its checkpoints.

    Earlier checkpoints hold them too: a run that goes back before a change keeps it.
    """
    if not new:
        return job
    entries = [{"step": step, **change} for change in new]
    job = job._replace(record=job.record | {"changes": [*job.record.get("changes", []), *entries]})
    if cluster.chief():
        for folder in (job.workdir / "checkpoints", job.workdir / runs.BEST):
            for saved in reversed(checkpoint.steps(folder)):
                with suppress(checkpoint.Damaged):
                    checkpoint.amend(folder, saved, {"changes": job.record["changes"]})
    cluster.wait("changed")
    with log.writer(job.notes, step) as out:
        for change in entries:
            out.record({"step": step, "event": "changed"} | change)
    return job


def require_possible(build: Build, spec: Spec, before: Config, after: Config) -> None:
    """Checks that a run can continue with another config.

    Args:
        build: The experiment's `build`.
        spec: The spec of the data.
        before: The config so far.
        after: The config to continue with.

    Raises:
        UserError: If a setting that differs is not read by `build`, or sets the arrays of the state or the order of the
            data.
    """
    names = [field.name for field in dataclasses.fields(typing.cast(Any, before))]
    differ = [name for name in names if name != "run" and getattr(before, name) != getattr(after, name)]
    text = " ".join(f"{name}={getattr(after, name)}" for name in differ)
    remedy = (
        "train a new run with it, in another --workdir; --init-from starts it from this run's arrays, where they fit"
    )
    for name in differ:
        if name in ELSEWHERE:
            raise UserError(f"--change {name}: {ELSEWHERE[name]}; {remedy}")
    (old, read), (new, _) = (_built(build, config, spec) for config in (before, after))
    if unread := [name for name in differ if name not in read]:
        raise UserError(
            f"--change {unread[0]}: the experiment's build does not read it, so it would change nothing here"
        )
    if old.batches != new.batches:
        raise UserError(
            f"--change {text}: an iteration would take {new.batches} batches instead of {old.batches}, and the order "
            f"of the data depends on that; {remedy}"
        )
    shapes = [_shapes(system) for system in (old, new)]
    for path in sorted(shapes[0] | shapes[1]):
        was, would = (tree.get(path, "absent") for tree in shapes)
        if was != would:
            raise UserError(f"--change {text}: the state would change, {path} from {was} to {would}; {remedy}")


def _parsed(text: str, config: Any) -> tuple[str, Any]:
    """Returns the field and the value of FIELD=VALUE."""
    name, sign, value = text.partition("=")
    name = name.removeprefix("--").replace("-", "_")
    types = typing.get_type_hints(type(config))
    hints = {each.name: types[each.name] for each in dataclasses.fields(typing.cast(Any, config))}
    if name in (field.name for field in dataclasses.fields(Run)):
        raise UserError(
            f"--change {text}: this setting may change without --change; give --{name.replace('_', '-')} itself"
        )
    if not sign or name not in hints:
        floats = ", ".join(field for field, hint in hints.items() if is_float(hint))
        raise UserError(
            f"--change {text}: give FIELD=VALUE, where FIELD is a setting that leaves the state's arrays and the order "
            f"of the data as they are, such as {floats}.{'' if name in hints else nearest(name, hints)}"
        )
    words = value.split(",") if typing.get_origin(hints[name]) is tuple else [value]
    try:
        return name, tyro.cli(hints[name], args=words, console_outputs=False, registry=TYPES)
    except SystemExit:
        kind = getattr(hints[name], "__name__", hints[name])
        raise UserError(f"--change {text}: {value!r} is no value of {name}, which is of type {kind}") from None


def _with(config: Any, values: Record, names: Set[str]) -> Any:
    """Returns a config with recorded values, where they are not the config's own; JSON has lists for tuples."""
    fields = records.fields(config)
    new = {name: values[name] for name in names & fields.keys() if fields[name] != values[name]}
    return dataclasses.replace(config, **{n: tuple(v) if isinstance(v, list) else v for n, v in new.items()})


def _built(build: Build, config: Any, spec: Spec) -> tuple[System, set[str]]:
    """Returns the system of a config, and the fields that `build` has read."""
    read: set[str] = set()

    def note(self: Any, name: str) -> Any:
        read.add(name)
        return object.__getattribute__(self, name)

    noting = type(type(config).__name__, (type(config),), {"__getattribute__": note})
    config = noting(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.init})
    read.clear()  # of what __post_init__ has read
    return build(config, spec), read


def _shapes(system: System) -> dict[str, str]:
    leaves = trees.flat(jax.eval_shape(system.init, rng.key(0)))
    return {path: f"{x.dtype}{list(x.shape)}" for path, x in leaves.items()}
