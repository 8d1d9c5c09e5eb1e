"""The loop around the compiled step: resume, log, pictures, checkpoints, and stopping when asked or when it must."""

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

from gan_jax import checkpoint, log, parallel, progress, report, rng, rules, runs, watch
from gan_jax.data import Dataset, batches
from gan_jax.types import Metrics, System, TrainState


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run writes, when and where; none of it changes what is learnt, and all may change when a run goes on."""

    steps: int = 5_000
    """Iterations in all; a run that goes on counts those made before."""
    workdir: Path | None = None
    """Where all is written; runs/EXPERIMENT-DATASET by default. A directory with a checkpoint is continued."""
    fresh: bool = False
    """Start anew; an older run in the directory is moved aside, not deleted."""
    steps_per_call: int = 20
    """Iterations in one compiled call; signals are answered between calls."""
    log_every: int = 50
    """Iterations between log records."""
    sample_every: int = 250
    """Iterations between sample grids."""
    save_every: int = 1_000
    """Iterations between checkpoints."""
    keep: int = 2
    """Checkpoints kept, the newest."""
    devices: int | None = None
    """Local devices that share each batch; all by default."""


class Config(Protocol):
    """What the loop reads of an experiment's config."""

    @property
    def batch_size(self) -> int:
        """Examples a batch, over all devices."""
        ...

    @property
    def seed(self) -> int:
        """Everything random follows from it."""
        ...

    @property
    def run(self) -> Run:
        """Settings of the loop."""
        ...


def run(build: Callable[..., System], dataset: Dataset, config: Config) -> TrainState:
    """Trains a system, or goes on where its directory's newest good checkpoint stands.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: What to train on; it is kept on the devices.
        config: The experiment's config.

    Returns:
        The last state.

    Raises:
        ValueError: If the settings do not fit the devices, or the directory holds another run.
        FloatingPointError: If a metric or a parameter is no longer finite; the last good checkpoint stays.
        SystemExit: If SIGINT or SIGTERM came, after saving.
    """
    options = config.run
    _require_valid(options)
    devices = _devices(options.devices, config.batch_size)
    record = runs.describe(build, dataset, config)
    workdir = options.workdir or runs.default_directory(record)
    if options.fresh and workdir.exists():
        print(f"moved the old run to {runs.move_aside(workdir)}")
    saved = workdir / "checkpoints"
    resuming = bool(checkpoint.steps(saved))
    if resuming:
        runs.require_same(record, checkpoint.read_meta(saved), workdir)

    system = build(config, dataset.spec)
    draw = batches(len(dataset.arrays["image"]), config.batch_size, system.batches)
    key = jax.random.key(config.seed)
    init = jax.jit(lambda k: system.init(rng.named(k, "init")))
    state = checkpoint.restore(saved, jax.eval_shape(init, key))[0] if resuming else init(key)
    start = int(state.step)
    if start >= options.steps:
        print(f"{workdir} has made {start} iterations, and --steps is {options.steps}; give more to go on with it")
        return state
    if resuming:
        checkpoint.discard_after(saved, start)
    runs.write(record, workdir, start)

    many = rules.many(system.update, draw, options.steps_per_call)
    step = parallel.single(many) if len(devices) == 1 else parallel.pmapped(many, devices)
    state, data, train_key = parallel.replicate((state, dataset.arrays, key), devices)
    begins = f"goes on from step {start}" if resuming else "begins"
    print(
        f"{workdir}: {runs.summary(record)}, {len(devices)} x {devices[0].device_kind}; {begins}, compiling", flush=True
    )

    def iterate(state: TrainState, count: int) -> tuple[TrainState, Metrics]:
        return step(state, data, train_key, count)

    grid = watch.grids(system, rng.named(key, "grid"), dataset, workdir)
    try:
        with _signals() as received:
            state = _train(state, start, iterate, grid, received, config, workdir, record)
    except FloatingPointError as error:
        good = checkpoint.steps(saved)
        kept = f"the last good checkpoint, of step {good[-1]}, is kept" if good else "no checkpoint was made yet"
        raise FloatingPointError(
            f"{error}; {kept} in {workdir}. The same settings end there again: lower the learning rates, or "
            "change the loss"
        ) from error
    finally:
        watch.animate(workdir)
        report.write(workdir)
    if received:
        print(f"stopped by {received[0].name} at step {int(state.step)}, saved; the same command goes on")
        raise SystemExit(128 + received[0])
    print(f"done: open {workdir / 'report.html'}, or sample: python -m gan_jax.sample {workdir}")
    return state


def _train(
    state: TrainState,
    at: int,
    iterate: Callable[[TrainState, int], tuple[TrainState, Metrics]],
    grid: Callable[[TrainState, int], None],
    received: list[signal.Signals],
    config: Config,
    workdir: Path,
    record: runs.Record,
) -> TrainState:
    """Makes the iterations from `at` on; returns early, having saved, once a signal is received."""
    options = config.run
    intervals = (options.log_every, options.sample_every, options.save_every)
    seconds = max((line.get("seconds", 0.0) for line in log.read(workdir) if line["step"] <= at), default=0.0)
    with (
        log.writer(workdir, at) as write,
        checkpoint.writer(workdir / "checkpoints", options.keep) as save,
        progress.shown(at, options.steps) as show,
    ):
        began = time.monotonic()
        state, _ = jax.block_until_ready(iterate(state, 0))  # makes no iteration, and compiles
        event = "resumed" if at else "started"
        write({"step": at, "event": event, "compile_seconds": round(time.monotonic() - began, 1)})
        if at == 0:
            grid(state, at)
        watch.drop_after(workdir, at)
        began, logged, calls = time.monotonic(), at, []
        stopping = False
        while not stopping:
            count = min(options.steps_per_call, options.steps - at, *(every - at % every for every in intervals))
            state, metrics = iterate(state, count)
            if calls:
                jax.block_until_ready(calls[-1])  # one call ahead of the device, no more: a signal is soon answered
            calls.append((count, metrics))
            at += count
            stopping = at == options.steps or bool(received)
            due = [stopping or at % every == 0 for every in intervals]
            if not any(due):
                continue
            try:
                means = _means(calls, logged)
                elapsed = time.monotonic() - began
                seconds += elapsed
                speed = (at - logged) * config.batch_size / elapsed
                line = {"step": at, "seconds": seconds, "images_per_second": speed} | means
                write(line)
                show(line)
                if due[1]:
                    grid(state, at)
                if due[2]:
                    parallel.assert_replicated(state)
                    save(state, record)
            except FloatingPointError as error:
                write({"step": logged, "event": "diverged", "message": str(error)})
                raise
            began, logged, calls = time.monotonic(), at, []
    return state


def _means(calls: list[tuple[int, Metrics]], first: int) -> dict[str, float]:
    """Fetches the metrics of some calls and averages them over their iterations.

    Raises:
        FloatingPointError: Naming the first iteration and metric that is not finite.
    """
    fetched = [{name: np.asarray(values)[:count] for name, values in metrics.items()} for count, metrics in calls]
    series = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    bad = {
        name: int(np.argmin(np.isfinite(values))) for name, values in series.items() if not np.isfinite(values).all()
    }
    if bad:
        name = min(bad, key=lambda n: bad[n])
        raise FloatingPointError(f"{name} is {series[name][bad[name]]} at step {first + bad[name] + 1}")
    return {name: float(np.mean(values)) for name, values in series.items()}


@contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT and SIGTERM, so that the loop can save before it ends; a second one kills."""
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return

    def note(number: int, frame: Any) -> None:
        received.append(signal.Signals(number))
        print("\nstopping after this call, and saving", flush=True)
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _devices(count: int | None, batch_size: int) -> list[Any]:
    available = jax.local_devices()
    count = count or len(available)
    if not 1 <= count <= len(available):
        raise ValueError(f"devices={count}: this machine has {len(available)}")
    if batch_size % count:
        raise ValueError(
            f"batch_size={batch_size} is not divisible by the {count} devices; "
            f"give --batch-size {(batch_size // count + 1) * count}, or --devices another number"
        )
    return available[:count]


def _require_valid(options: Run) -> None:
    for name in ("steps", "steps_per_call", "log_every", "sample_every", "save_every", "keep"):
        if getattr(options, name) < 1:
            raise ValueError(f"{name}={getattr(options, name)} must be at least 1")
