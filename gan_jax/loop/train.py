"""Training from a state to the end, a signal or an alarm, with logs, scores, pictures and checkpoints when due."""

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
    """The constant parts of a run.

    Attributes:
        options: Settings of the loop.
        batch_size: Examples per batch.
        workdir: The run directory, which holds the checkpoints.
        notes: Directory for this process's log: the run directory in the first process, another one in the others.
        record: The run's record, kept with each checkpoint.
        iterate: `(state, data, key, count) -> (state, metrics)`: compiled iterations.
        feed: Opens the data from a step on, see `feeding.Feeding.open`.
        place: Places a tree on the devices.
        grid: `(state, step)`: draws the state's samples.
        scorer: Scores the state's samples; None for no scores.
        received: Signals that ask the run to end; grows as they arrive.
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
    """Iterates until all iterations are done, a signal arrives, or the guard ends training.

    Args:
        job: The constant parts of the run.
        state: The state to begin from.
        at: Its step.
        key: Key of all randomness, together with the number of roll-backs.
        before: The run's past, see `rollback.Past`.

    Returns:
        The last state, which is saved; or the diverged state, and the alarm.

    Raises:
        Diverged: If a metric or parameter is not finite, and the guard is set neither to stop nor to roll back.
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
        state, _ = jax.block_until_ready(job.iterate(state, eaten, key, 0))  # compiles; makes no iteration
        event, compiling = "resumed" if at else "started", time.monotonic() - began
        write({"step": at, "event": event, "compile_seconds": round(compiling, 1)})
        print(f"compiled in {compiling:.1f} s", flush=True)
        if at == 0:
            job.grid(state, at)
        snapshots.drop_after(job.notes, at)
        protocol.drop_after(job.notes, at)

        def judged(record: log.Record) -> guard.Alarm | None:
            """Writes a record and updates the guard; returns the alarm if it ends training."""
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
                jax.block_until_ready(calls[-1])  # at most one call ahead of the device: signals are handled soon
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
    """Refuses a game whose state differs between devices: after one call, not only at the first checkpoint."""
    try:
        parallel.assert_replicated(state)
    except AssertionError as error:
        raise UserError(
            f"{error}. Flax's nn.BatchNorm takes the moments of one device's rows: use "
            'gan_jax.networks.layers.norm.normalise(x, "batch", train), and in terms and controllers '
            "parallel.pmean; or give --devices 1"
        ) from error


def _scores(job: Job, scorer: Scorer, state: TrainState, at: int) -> log.Record:
    """Scores the averaged generator, adds to the run's scores, and returns the log record."""
    began = time.monotonic()
    found = scorer.samples(parallel.first(state.ema), "averaged", at)
    protocol.write(job.notes, found)
    values = {f"score/{score.metric}": score.value for score in found}
    values |= {f"score/{score.metric}_error": score.error for score in found if math.isfinite(score.error)}
    return {"step": at, "eval_seconds": time.monotonic() - began} | values
