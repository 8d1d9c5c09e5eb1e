"""Going back: from a state that has gone wrong to the last good checkpoint, with nothing deleted."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

from gan_jax import checkpoint, cluster, log, runs
from gan_jax.guard import Alarm
from gan_jax.types import TrainState


def go_back(workdir: Path, alarm: Alarm, like: TrainState, init: Callable[[], TrainState], event: str) -> TrainState:
    """Returns to the best checkpoint, if one is kept, else to the newest from before the trouble, or to the beginning.

    Later checkpoints are moved aside, the log is copied to `metrics-abandoned-1.jsonl` before it is cut, and the event
    is written to it.

    Args:
        workdir: The run directory; no writer is open in it.
        alarm: What has gone wrong.
        like: A state, or its `jax.eval_shape`, as it is to be restored.
        init: Makes the first state.
        event: "rolled back" or "stopped".
    """
    saved, best = workdir / "checkpoints", workdir / runs.BEST
    if known := checkpoint.steps(best):
        source, step = best, known[-1]
    elif known := checkpoint.steps(saved):
        source, step = saved, max([each for each in known if each <= alarm.since], default=known[0])
    else:
        source, step = None, 0
    state = checkpoint.restore(source, like, step)[0] if source else init()
    for directory in (saved, best):
        checkpoint.discard_after(directory, step if source else -1)
    if not cluster.chief():
        cluster.wait("rolled back")
        return state
    if source == best and step not in checkpoint.steps(saved):
        checkpoint.copy(best, saved, step)
    free = next(p for n in itertools.count(1) if not (p := workdir / f"metrics-abandoned-{n}.jsonl").exists())
    shutil.copyfile(workdir / "metrics.jsonl", free)
    with log.writer(workdir, step) as write:
        write({"step": step, "event": event, "from": alarm.step, "message": alarm.message})
    cluster.wait("rolled back")
    return state


def count(workdir: Path) -> int:
    """Returns how often a run has been rolled back, up to where its log stands."""
    return sum(line.get("event") == "rolled back" for line in log.read(workdir))
