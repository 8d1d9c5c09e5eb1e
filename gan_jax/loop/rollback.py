"""Roll-back from a diverged state to the last good checkpoint; nothing is deleted."""

import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax import runs
from gan_jax.devices import cluster
from gan_jax.loop import guard
from gan_jax.loop.guard import Alarm, Memory
from gan_jax.loop.settings import Job, watched_metric
from gan_jax.metrics.menu import METRICS, Name
from gan_jax.runs import checkpoint, log
from gan_jax.types import TrainState

ROLLBACKS = 3  # most roll-backs before a run stops


class Past(NamedTuple):
    """What determines a run's future besides its state; every checkpoint holds it, so that the log is not needed.

    Attributes:
        rollbacks: Number of roll-backs so far; the random key depends on it.
        memory: The guard's state.
    """

    rollbacks: int = 0
    memory: Memory = Memory()


def noted(past: Past, metric: Name) -> dict[str, Any]:
    """Returns the past, and the score that the guard watches, as entries of a checkpoint's meta."""
    return {"past": {"rollbacks": past.rollbacks, "metric": metric, "memory": guard.packed(past.memory)}}


def recalled(meta: dict[str, Any], job: Job) -> Past:
    """Returns the past of a checkpoint.

    Args:
        meta: The checkpoint's meta. If it is old and holds no past, or the guard watched another score, the guard's
            memory is derived from the log.
        job: The run.
    """
    past, metric = meta.get("past", {}), watched_metric(job.options)
    if past.get("metric") == metric:
        return Past(past["rollbacks"], guard.unpacked(past["memory"]))
    records = [record for record in log.read(job.workdir) if record["step"] <= meta["step"]]
    counted = sum(record.get("event") == "rolled back" for record in records)
    memory = guard.replay(records, job.options.steps, metric, METRICS[metric].higher)
    return Past(past.get("rollbacks", counted), memory)


def ended(meta: dict[str, Any], job: Job) -> guard.Stale | None:
    """Returns why --patience has ended the run of a checkpoint, if it has; arguments are those of `recalled`."""
    if not job.options.patience:
        return None
    memory = recalled(meta, job).memory
    return guard.stale(memory, meta["step"], watched_metric(job.options), job.options.patience)


def final(job: Job, past: Past) -> bool:
    """Returns whether the next divergence stops the run, instead of rolling it back."""
    return job.options.guard == "stop" or past.rollbacks == ROLLBACKS


def go_back(job: Job, alarm: Alarm, past: Past, init: Callable[[], TrainState]) -> tuple[TrainState, Past]:
    """Restores the best checkpoint, if one is kept, else the newest from before the divergence, or the initial state.

    If that checkpoint is damaged, the next in this order is taken. Later checkpoints are moved aside, the log is copied
    to `metrics-abandoned-1.jsonl` before it is cut, and the event is logged.

    Args:
        job: The run; no writer may be open in its directory.
        alarm: The divergence.
        past: The run's past until now.
        init: Returns the initial state.

    Returns:
        The state, and its past, which counts this roll-back unless it is `final`; the checkpoint's meta is updated
        likewise.

    Raises:
        checkpoint.Damaged: If every checkpoint is damaged.
    """
    workdir, last = job.workdir, final(job, past)
    saved, best = workdir / "checkpoints", workdir / runs.BEST
    rollbacks = past.rollbacks + (not last)
    source, state, meta = _newest_sound(saved, best, alarm, jax.eval_shape(init)) or (None, init(), {"step": 0})
    step = meta["step"]
    past = recalled(meta, job)._replace(rollbacks=rollbacks) if source else Past(rollbacks)
    for directory in (saved, best):
        checkpoint.discard_after(directory, step if source else -1)
    if source == best:
        checkpoint.discard_after(saved, step - 1)
    if cluster.chief():
        if source == best:
            checkpoint.copy(best, saved, step)
        if source:
            checkpoint.amend(saved, step, noted(past, watched_metric(job.options)))
        event = "stopped" if last else "rolled back"
        _cut(workdir, {"step": step, "event": event, "from": alarm.step, "message": alarm.message})
    cluster.wait("rolled back")
    return state, past


def _newest_sound(
    saved: Path, best: Path, alarm: Alarm, like: TrainState
) -> tuple[Path, TrainState, dict[str, Any]] | None:
    """Restores the first undamaged checkpoint, in the order of `go_back`; None if there are no checkpoints at all."""
    known = checkpoint.steps(saved)
    choices = [(best, step) for step in reversed(checkpoint.steps(best))]
    choices += [(saved, step) for step in reversed(known) if step <= alarm.since]
    choices += [(saved, step) for step in known if step > alarm.since]
    for source, step in choices:
        try:
            return source, *checkpoint.restore(source, like, step)
        except checkpoint.Damaged as error:
            if (source, step) == choices[-1]:
                raise
            warnings.warn(f"skipped a damaged checkpoint: {error}", stacklevel=3)
    return None


def _cut(workdir: Path, event: log.Record) -> None:
    """Copies the log, cuts it after the step of an event, and appends the event."""
    if (workdir / "metrics.jsonl").exists():
        free = next(p for n in itertools.count(1) if not (p := workdir / f"metrics-abandoned-{n}.jsonl").exists())
        shutil.copyfile(workdir / "metrics.jsonl", free)
    with log.writer(workdir, event["step"]) as out:
        out.record(event)
