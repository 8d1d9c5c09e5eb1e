"""What a run does at intervals: logs, sample grids, scores and checkpoints, and what the guard says of them."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax import runs
from gan_jax.devices import parallel
from gan_jax.loop import guard, progress, rollback, snapshots
from gan_jax.loop.callbacks import Event
from gan_jax.loop.settings import Job, watched_metric
from gan_jax.metrics import protocol
from gan_jax.metrics.menu import METRICS
from gan_jax.metrics.scorer import SampleScores
from gan_jax.runs import checkpoint, log, records
from gan_jax.types import TrainState


class Hook(NamedTuple):
    """Something that is done at intervals during training, and at its end.

    Attributes:
        name: What is done.
        every: Iterations from one time to the next.
        act: `(state, record)`: does it; `record` is this step's log record. Returns why training must end, or None.
    """

    name: str
    every: int
    act: Callable[[TrainState, log.Record], guard.Alarm | guard.Stale | None]


@contextmanager
def opened(
    job: Job, grid: Callable[[TrainState, int], Path], scorer: SampleScores | None, start: int, past: rollback.Past
) -> Iterator[tuple[Callable[[log.Record], None], list[Hook]]]:
    """Opens the outputs of a run at a step, and drops those of later steps.

    Args:
        job: The run.
        grid: `(state, step)`: draws the state's samples, and returns the path of the picture.
        scorer: Scores the state's samples; None for no scores.
        start: The step.
        past: The run's past until there.

    Yields:
        The function that appends to the log; and what is done during training, in the order in which it is done: a
        record before a score, as the guard reads both, and these before a checkpoint, which holds the guard's memory.
    """
    options, metric = job.options, watched_metric(job.options)
    followed, tell = job.callback is not None, job.callback or (lambda event: None)
    settings = job.record["config"] | records.changed(job.record)
    snapshots.drop_after(job.notes, start)
    protocol.drop_after(job.notes, start)
    with (
        log.writer(job.notes, start, settings) as out,
        checkpoint.writer(job.workdir / "checkpoints", options.keep, wait=followed) as save,
        checkpoint.writer(job.workdir / runs.BEST, 2) if options.best else nullcontext() as save_best,
        progress.shown(start, options.steps, options.quiet) as show,
    ):

        def write(record: log.Record) -> None:
            out.record(record)
            tell(Event("record", record["step"], record))

        def meta() -> dict[str, Any]:
            return job.record | rollback.noted(past, metric)

        def judged(record: log.Record) -> guard.Alarm | None:
            """Writes a record and updates the guard; returns the alarm if it ends training."""
            nonlocal past
            write(record)
            watched, alarm = guard.watch(past.memory, record, options.steps, metric, METRICS[metric].higher)
            past = past._replace(memory=watched)
            if alarm is None or options.guard == "off":
                return None
            write({"step": alarm.step, "event": "alarm", "message": alarm.message})
            print(f"warning: step {alarm.step}: {alarm.message}", flush=True)
            return alarm if options.guard in ("stop", "rollback") else None

        def log_record(state: TrainState, record: log.Record) -> guard.Alarm | None:
            show(record)
            return judged(record)

        def draw(state: TrainState, record: log.Record) -> None:
            path = grid(state, record["step"])
            out.picture(record["step"], path)
            tell(Event("grid", record["step"], path=path))

        def score(scorer: SampleScores, state: TrainState, record: log.Record) -> guard.Alarm | guard.Stale | None:
            at, best = record["step"], past.memory.best
            scores, entry = _scores(scorer, job.notes, state, at)
            alarm = judged(entry)
            better = past.memory.best != best
            new_best = {metric: ", new best"} if better else {}
            texts = [protocol.text(each) + new_best.get(each.metric, "") for each in scores]
            job.say(f"step {at:,}: {'; '.join(texts)}")
            if save_best and better:
                save_best(state, meta())
            if alarm or at == options.steps:
                return alarm
            if stale := guard.stale(past.memory, at, metric, options.patience):
                write({"step": at, "event": "ended early", "message": stale.message})
            return stale

        def save_checked(state: TrainState, record: log.Record) -> None:
            parallel.assert_replicated(state)
            path = save(state, meta())
            tell(Event("checkpoint", int(state.step), path=path))

        hooks = [Hook("log", options.log_every, log_record)]
        if scorer:
            hooks.append(Hook("score", options.eval_every, partial(score, scorer)))
        hooks += [Hook("grid", options.sample_every, draw), Hook("save", options.save_every, save_checked)]
        yield write, hooks


def due(hooks: Sequence[Hook], at: int, steps: int, stopping: bool) -> list[Hook]:
    """Returns what is due at a step: everything at the end, but no score if a signal ends the run before.

    A log record goes with everything.
    """
    names = {hook.name for hook in hooks if at % hook.every == 0 or at == steps or (stopping and hook.name != "score")}
    return [hook for hook in hooks if hook.name in names or (names and hook.name == "log")]


def _scores(scorer: SampleScores, notes: Path, state: TrainState, at: int) -> tuple[list[protocol.Score], log.Record]:
    """Scores the averaged generator, adds to the run's scores, and returns them and the log record."""
    began = time.monotonic()
    scores = scorer(parallel.first(state.ema), "averaged", at)
    protocol.write(notes, scores)
    values = {f"score/{score.metric}": score.value for score in scores}
    values |= {f"score/{score.metric}_error": score.error for score in scores if math.isfinite(score.error)}
    return scores, {"step": at, "eval_seconds": time.monotonic() - began} | values
