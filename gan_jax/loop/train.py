"""Training from a state to the end, a signal or an alarm, with logs, scores, pictures and checkpoints when due."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from gan_jax import rng
from gan_jax.devices import cluster, compilation, memory, parallel
from gan_jax.errors import Diverged, UserError
from gan_jax.loop import hooks, profiling, rollback, signals
from gan_jax.loop.feeding import Feeding
from gan_jax.loop.guard import Alarm, Stale
from gan_jax.loop.settings import Job
from gan_jax.metrics.scorer import SampleScores
from gan_jax.runs import checkpoint, log
from gan_jax.types import Array, Metrics, TrainState


class Program(NamedTuple):
    """The prepared parts of a run.

    Attributes:
        key: Key of all randomness, together with the number of roll-backs.
        init: Returns the initial state.
        feeding: The data.
        iterate: `(state, data, key, count) -> (state, metrics)`: compiled iterations.
        grid: `(state, step)`: draws the state's samples, and returns the path of the picture.
        scorer: Scores the state's samples; None for no scores.
    """

    key: Array
    init: Callable[[], TrainState]
    feeding: Feeding
    iterate: Callable[[TrainState, Any, Array, int], tuple[TrainState, Metrics]]
    grid: Callable[[TrainState, int], Path]
    scorer: SampleScores | None


class Stretch(NamedTuple):
    """The iterations since the last log record.

    Attributes:
        first: The step before them.
        seconds: Time in which the run was trained before, without the time of the hooks.
        began: When they began, in seconds of the monotonic clock.
        calls: For each compiled call, the number of its iterations, its metrics, and the time spent waiting for data.
    """

    first: int
    seconds: float
    began: float
    calls: list[tuple[int, Metrics, dict[str, float]]]


def train(
    job: Job, program: Program, state: TrainState, past: rollback.Past, received: Sequence[Any]
) -> tuple[TrainState, Alarm | Stale | None]:
    """Trains a run to its end, with roll-backs.

    Args:
        job: The run.
        program: Its prepared parts.
        state: The state to begin from.
        past: The run's past until there.
        received: Signals that ask the run to end; grows as they arrive.

    Returns:
        The last state, which is saved; or, if the guard has stopped the run, the state gone back to. And why it ended
        before its last iteration, unless by a signal.

    Raises:
        Diverged: If a metric or parameter is not finite, and the guard is set neither to stop nor to roll back.
    """
    saved = job.workdir / "checkpoints"
    try:
        while True:
            state, alarm = _advanced(job, program, state, past, received)
            if not isinstance(alarm, Alarm):
                return state, alarm
            last = rollback.final(job, past)
            state, past = rollback.go_back(job, alarm, past, program.init)
            if last:
                return state, alarm
            print(f"warning: rolled back to step {state.step}; continuing with a new key", flush=True)
    except Diverged as error:
        good = checkpoint.steps(saved)
        note = f"the last good checkpoint, of step {good[-1]}, is kept" if good else "no checkpoint has been saved yet"
        raise Diverged(
            f"{error}; {note} in {job.workdir}. The same settings would diverge again: lower the learning "
            "rates, or change the loss; or give --guard rollback, which continues with a new key"
        ) from error


def _advanced(
    job: Job, program: Program, state: TrainState, past: rollback.Past, received: Sequence[Any]
) -> tuple[TrainState, Alarm | Stale | None]:
    """Iterates until all iterations are done, a signal arrives, or the guard or a stale score ends training.

    Arguments and errors are those of `train`. Returns the last state, which is saved unless it diverged; and why
    training ended, unless by a signal.
    """
    steps, start = job.options.steps, int(state.step)
    key = jax.random.fold_in(rng.named(program.key, "rollback"), past.rollbacks) if past.rollbacks else program.key

    def calls_from(step: int) -> int:
        stops = [*(hook.every - step % hook.every for hook in acting), *(b - step for b in bounds if b > step)]
        return min(program.feeding.capacity, steps - step, *stops)

    with (
        hooks.opened(job, program.grid, program.scorer, start, past) as (write, acting),
        profiling.traced(job.notes / profiling.FOLDER if job.options.profile else None, start) as (bounds, mark),
        program.feeding.open(key, start, calls_from) as take,
    ):
        with signals.at_once(received):
            state, key = parallel.replicate((state, key), job.devices)
            data, _ = take()
            began = time.monotonic()
            state, _ = jax.block_until_ready(
                compilation.interruptible(program.iterate)(state, data, key, 0)  # no iterations: only compiles
            )
            compiling = time.monotonic() - began
            event = log.RESUMED if start else log.STARTED
            write({"step": start, "event": event, "compile_seconds": round(compiling, 1)})
            job.say(f"compiled in {compiling:.1f} s")
            if start == 0:
                next(hook for hook in acting if hook.name == "grid").act(state, {"step": 0})

        stretch = Stretch(start, _seconds(job.workdir, start), time.monotonic(), [])
        at, stopping, alarm = start, False, None
        while not (stopping or alarm):
            mark(at, state)
            count = calls_from(at)
            state, metrics = program.iterate(state, data, key, count)
            if at == start:
                _require_replicated(state)
            if stretch.calls:
                jax.block_until_ready(stretch.calls[-1])  # at most one call ahead of the device: signals wait for calls
            data, waited = take()
            at += count
            stretch.calls.append((count, metrics, waited))
            stopping = at == steps or bool(received) or cluster.preempted(at - count, at)
            due = hooks.due(acting, at, steps, stopping)
            if not due:
                continue
            try:
                record = _measured(stretch, at, job.config.batch_size)
                for hook in acting:
                    ended = isinstance(alarm, Stale)  # then everything is due, as after the last iteration
                    if (ended or hook in due) and not (isinstance(alarm, Alarm) and hook.name == "save"):
                        reason = hook.act(state, record)  # a diverged state is not saved
                        alarm = alarm or reason
                stretch = Stretch(at, record["seconds"], time.monotonic(), [])
            except Diverged as error:
                write({"step": stretch.first, "event": "diverged", "message": str(error)})
                if job.options.guard not in ("stop", "rollback"):
                    raise
                alarm = Alarm(at, stretch.first, "finite", str(error))
    return state, alarm


def _seconds(workdir: Path, step: int) -> float:
    """Returns the time in which a run was trained up to a step, by its log."""
    return max((line.get("seconds", 0.0) for line in log.read(workdir) if line["step"] <= step), default=0.0)


def _measured(stretch: Stretch, at: int, batch_size: int) -> log.Record:
    """Returns the log record of a stretch that ends at a step; waits for the device."""
    means = log.means([(count, metrics) for count, metrics, _ in stretch.calls], stretch.first)
    elapsed = time.monotonic() - stretch.began
    waited = [waited for *_, waited in stretch.calls]
    return {
        "step": at,
        "seconds": stretch.seconds + elapsed,
        "images_per_second": (at - stretch.first) * batch_size / elapsed,
        "peak_bytes": float(memory.peak()),
        **means,
        **{name: sum(each[name] for each in waited) / elapsed for name in waited[0]},
    }


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
