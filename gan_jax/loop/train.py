"""Training from one state to the next stop: iterations, logs, scores, pictures and checkpoints, each when due."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax import rng, runs
from gan_jax.data.streaming import Take
from gan_jax.devices import cluster, memory, parallel
from gan_jax.errors import Diverged, UserError
from gan_jax.loop import guard, progress, rollback, snapshots
from gan_jax.loop.settings import Run
from gan_jax.metrics import protocol
from gan_jax.metrics.menu import METRICS, Name, Scorer
from gan_jax.runs import checkpoint, log, records
from gan_jax.types import Array, Metrics, TrainState


class Job(NamedTuple):
    """What stays the same from a run's first iteration to its last.

    Attributes:
        options: Of the loop.
        batch_size: Examples a batch.
        workdir: The run directory, of checkpoints.
        notes: Where this process writes the log: the run directory, or on all processes but one a place of its own.
        record: What the run records of itself, kept with each checkpoint.
        iterate: `(state, data, key, count) -> (state, metrics)`: compiled iterations.
        feed: Opens the data from a step on, see `feeding.Feeding.open`.
        place: Places a tree on the devices.
        grid: `(state, step)`: pictures the state's samples.
        scorer: Scores the state's samples, where that is asked for.
        received: Signals that ask the run to end, as they come.
    """

    options: Run
    batch_size: int
    workdir: Path
    notes: Path
    record: records.Record
    iterate: Callable[[TrainState, Any, Array, int], tuple[TrainState, Metrics]]
    feed: Callable[[Array, int, Callable[[int], int]], AbstractContextManager[Take]]
    place: Callable[[Any], Any]
    grid: Callable[[TrainState, int], None]
    scorer: Scorer | None
    received: list[Any]


def train(
    job: Job, state: TrainState, at: int, key: Array, before: rollback.Past
) -> tuple[TrainState, guard.Alarm | None]:
    """Makes iterations until all are made, a signal has come, or the guard ends it.

    Args:
        job: What stays the same.
        state: Where to begin.
        at: Its step.
        key: All that is random follows from it, and from how often the run has been rolled back.
        before: What decides how the run continues, besides its state.

    Returns:
        The last state, which is saved; or a state that has gone wrong, and the alarm.

    Raises:
        Diverged: If a metric or parameter is not finite, and the guard is neither to stop nor to roll back.
    """
    options, workdir = job.options, job.workdir
    metric = watched_metric(options)
    intervals = [options.log_every, options.sample_every, options.save_every]
    intervals += [options.eval_every] if job.scorer else []
    state = job.place(state)
    rollbacks, watched = before
    key = jax.random.fold_in(rng.named(key, "rollback"), rollbacks) if rollbacks else key

    def noted() -> records.Record:
        return job.record | rollback.noted(rollback.Past(rollbacks, watched), metric)

    def calls_from(step: int) -> int:
        return min(options.steps_per_call, options.steps - step, *(every - step % every for every in intervals))

    with (
        job.feed(key, at, calls_from) as take,
        log.writer(job.notes, at) as write,
        checkpoint.writer(workdir / "checkpoints", options.keep) as save,
        checkpoint.writer(workdir / runs.BEST, 2) if options.best else nullcontext() as save_best,
        progress.shown(at, options.steps) as show,
    ):
        seconds = max((line.get("seconds", 0.0) for line in log.read(workdir) if line["step"] <= at), default=0.0)
        key = job.place(key)
        eaten, waiting = take()
        began = time.monotonic()
        state, _ = jax.block_until_ready(job.iterate(state, eaten, key, 0))  # makes no iteration, and compiles
        event, compiling = "resumed" if at else "started", time.monotonic() - began
        write({"step": at, "event": event, "compile_seconds": round(compiling, 1)})
        print(f"compiled in {compiling:.1f} s", flush=True)
        if at == 0:
            job.grid(state, at)
        snapshots.drop_after(job.notes, at)
        protocol.drop_after(job.notes, at)

        def judged(record: log.Record) -> guard.Alarm | None:
            """Writes a record, and looks at it; returns the alarm that ends the training, if it does."""
            nonlocal watched
            write(record)
            watched, alarm = guard.watch(watched, record, options.steps, metric, METRICS[metric].higher)
            if alarm is None or options.guard == "off":
                return None
            write({"step": alarm.step, "event": "alarm", "message": alarm.message})
            print(f"warning: step {alarm.step}: {alarm.message}", flush=True)
            return alarm if options.guard in ("stop", "rollback") else None

        began, logged, calls, waiting = time.monotonic(), at, [], 0.0
        stopping, first = False, True
        while not stopping:
            count = calls_from(at)
            state, metrics = job.iterate(state, eaten, key, count)
            if first:
                _require_replicated(state)
                first = False
            if calls:
                jax.block_until_ready(calls[-1])  # one call ahead of the device, no more: a signal is soon answered
            calls.append((count, metrics))
            at += count
            if at < options.steps:
                eaten, waited = take()
                waiting += waited
            stopping = at == options.steps or bool(job.received) or cluster.preempted(at - count, at)
            due = [stopping or at % every == 0 for every in intervals]
            if not any(due):
                continue
            try:
                means = log.means(calls, logged)
                elapsed = time.monotonic() - began
                seconds += elapsed
                speed = (at - logged) * job.batch_size / elapsed
                line = {"step": at, "seconds": seconds, "images_per_second": speed, "peak_bytes": float(memory.peak())}
                line |= means | ({"waiting_for_data": waiting / elapsed} if options.stream else {})
                show(line)
                alarm = judged(line)
                if due[1]:
                    job.grid(state, at)
                if job.scorer and (at % options.eval_every == 0 or at == options.steps):
                    best = watched.best
                    alarm = judged(_scores(job, job.scorer, state, at)) or alarm
                    if save_best and watched.best != best:
                        save_best(state, noted())
                if due[2] and alarm is None:
                    parallel.assert_replicated(state)
                    save(state, noted())
            except Diverged as error:
                write({"step": logged, "event": "diverged", "message": str(error)})
                if options.guard not in ("stop", "rollback"):
                    raise
                alarm = guard.Alarm(at, logged, "finite", str(error))
            if alarm:
                return state, alarm
            began, logged, calls, waiting = time.monotonic(), at, [], 0.0
    return state, None


def watched_metric(options: Run) -> Name:
    """Returns the score that the guard watches."""
    return options.best or options.eval_metrics[0]


def _require_replicated(state: TrainState) -> None:
    """Refuses, after one call and not only at the first checkpoint, a game whose state differs between devices."""
    try:
        parallel.assert_replicated(state)
    except AssertionError as error:
        raise UserError(
            f"{error}. Flax's nn.BatchNorm takes the moments of one device's rows: use "
            'gan_jax.networks.layers.norm.normalise(x, "batch", train), and in terms and controllers '
            "parallel.pmean; or give --devices 1"
        ) from error


def _scores(job: Job, scorer: Scorer, state: TrainState, at: int) -> log.Record:
    """Scores the averaged generator; returns the log's record of it, and adds to the run's scores."""
    began = time.monotonic()
    found = scorer.samples(parallel.first(state.ema), "averaged", at)
    protocol.write(job.notes, found)
    values = {f"score/{score.metric}": score.value for score in found}
    values |= {f"score/{score.metric}_error": score.error for score in found if math.isfinite(score.error)}
    return {"step": at, "eval_seconds": time.monotonic() - began} | values
