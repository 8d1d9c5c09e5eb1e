"""A training session: begins or resumes a run, trains it, and ends it when done, on a signal, or on divergence."""

import io
import shlex
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout
from functools import partial
from signal import Signals

import jax

from gan_jax import rng, rules, runs
from gan_jax.data import Dataset, Spec, Stream
from gan_jax.devices import cluster, compilation, memory, parallel
from gan_jax.loop import (
    changes,
    compilation_cache,
    feeding,
    fine_tuning,
    profiling,
    rehearsal,
    rollback,
    signals,
    snapshots,
)
from gan_jax.loop.callbacks import Callback, guarded
from gan_jax.loop.feeding import Feeding
from gan_jax.loop.guard import Alarm, Stale
from gan_jax.loop.settings import Config, Job, share, validated
from gan_jax.loop.train import Program, train
from gan_jax.metrics import scoring
from gan_jax.runs import checkpoint, directories, log, records, report
from gan_jax.types import Array, System, TrainState


def run(
    build: Callable[..., System], dataset: Dataset | Stream, config: Config, callbacks: Sequence[Callback] = ()
) -> TrainState:
    """Trains a system, or resumes it from the newest undamaged checkpoint of its directory.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: The training data: in memory, copied to the devices, or a stream.
        config: The experiment's config.
        callbacks: Called with every log record, sample grid and checkpoint, see `callbacks.Event`.

    Returns:
        The last state.

    Raises:
        UserError: If the settings do not fit the devices, the directory holds another run, another process trains in
            it, or a run is being opened meanwhile.
        Diverged: If a metric or a parameter is not finite, unless the guard then stops the run or rolls it back; the
            last good checkpoint stays.
        OutOfMemory: If memory does not suffice; the message says what to lower.
        SystemExit: After SIGINT, SIGTERM or SIGHUP: at once before the first iteration, else once the state is saved.
    """
    runs.require_none_opening()
    rehearsal.require_sizes(config)
    options = validated(config.run)
    if options.compilation_cache == "on":
        compilation_cache.keep()
    devices = share(options.devices, config.batch_size)
    record = records.describe(build, dataset, config)
    record |= {"freeze": sorted(options.freeze)} if options.freeze else {}
    with (
        directories.opened(options.workdir, record, options.fresh, options.quiet) as workdir,
        cluster.notes(workdir) as notes,
        memory.explained(),
    ):
        job = Job(config, options, workdir, notes, record, devices, guarded(callbacks) if callbacks else None)
        with signals.at_once():
            job, program, state, past = _prepared(job, build, dataset)
        if program is None:
            return state
        with signals.noted() as received:
            try:
                state, alarm = train(job, program, state, past, received)
            finally:
                if directories.trained(notes):
                    _shown(job)
        _end(job, dataset.spec, state, alarm, received)
        return state


def _prepared(
    job: Job, build: Callable[..., System], dataset: Dataset | Stream
) -> tuple[Job, Program | None, TrainState, rollback.Past]:
    """Prepares a run: builds and checks its system, and restores or initialises the state.

    Returns:
        The run, with its newest settings and its complete record; the program that training calls, None if the run is
        done; the state to continue from; and the run's past up to there.
    """
    options, saved = job.options, job.workdir / "checkpoints"
    newest = checkpoint.read_meta(saved) if checkpoint.steps(saved) else None
    job, new = changes.continued(job, newest, build, dataset.spec)
    _announce(job)
    system = build(job.config, dataset.spec)
    like = rehearsal.state(system, dataset.spec)
    rehearsal.require_memory(like, feeding.size(dataset), job.devices)
    key = rng.key(job.config.seed)
    init = partial(compilation.interruptible(jax.jit(lambda key: system.init(rng.named(key, "init")))), key)
    init, parent, inherited = fine_tuning.begun(options.init_from, job.record, newest, system, like, init)
    rehearsal.update(system, like, dataset, job.config.batch_size)
    system, frozen = fine_tuning.frozen(system, like, options.freeze)
    state, meta = checkpoint.restore(saved, like) if newest else (init(), None)
    ended = rollback.ended(meta, job) if meta and int(state.step) < options.steps else None
    if ended or int(state.step) >= options.steps:
        return job, None, _left_alone(job, state, ended), rollback.Past()
    fed = feeding.prepared(job, dataset, system.batches)
    job = job._replace(record=job.record | parent | _shapes(system, like, fed))
    job, past = _continued(job, meta, int(state.step), new)
    begins = f"continues from step {int(state.step)}" if meta else "starts"
    lines = [
        f"state {memory.text(memory.size(state))}, data {fed.text}; {begins}, compiling, which takes minutes for large "
        "networks",
        inherited,
        frozen,
        changes.text(new),
    ]
    job.say("\n".join(filter(None, lines)))
    return job, _program(job, system, fed, key, init), state, past


def _left_alone(job: Job, state: TrainState, ended: Stale | None) -> TrainState:
    """Says that a run is done, and returns its state."""
    why, more = f"and --steps is {job.options.steps}", "more"
    if ended:
        why, more = f"and {ended.message}", "a higher --patience"
    remedy = f"give {more} to continue it, or --fresh to start anew"
    print(f"{job.workdir} has already run {state.step} iterations, {why}; {remedy}")
    if report.outdated(job.notes):
        _shown(job)  # the run was killed between its last save and its report
    return jax.tree.map(jax.numpy.asarray, state)


def _continued(
    job: Job, meta: records.Record | None, start: int, new: Sequence[changes.Change]
) -> tuple[Job, rollback.Past]:
    """Prepares the run directory for training from a step; returns the run with its changes, and its past.

    Args:
        job: The run.
        meta: The meta of the checkpoint to go on from; None in a new run.
        start: The step; later checkpoints are dropped.
        new: Settings that change there.
    """
    saved = job.workdir / "checkpoints"
    checkpoint.require_writable(saved)
    past = rollback.recalled(meta, job) if meta else rollback.Past()
    if meta:
        checkpoint.discard_after(saved, start)
        checkpoint.discard_after(job.workdir / runs.BEST, start)
    job = changes.noted(job, new, start)
    records.write(job.record, job.notes, start)
    return job, past


def _shapes(system: System, like: TrainState, fed: Feeding) -> records.Record:
    """Returns what a run's record says of its networks and pictures."""
    counts = {name: sum(x.size for x in jax.tree.leaves(params)) for name, params in like.params.items()}
    return {"parameters": counts, "captions": snapshots.captions(system, fed.near)}


def _announce(job: Job) -> None:
    about = f"{records.summary(job.record)}, {len(job.devices)} x {job.devices[0].device_kind}"
    if cluster.several():
        about += f" of {jax.process_count()} processes"
    job.say(f"{job.workdir}: {about}; preparing the networks")


def _program(job: Job, system: System, fed: Feeding, key: Array, init: Callable[[], TrainState]) -> Program:
    """Prepares what training calls: compiled iterations, sample grids, scores."""
    options, scorer = job.options, None
    if options.eval_every:
        with redirect_stdout(io.StringIO()) if options.quiet else nullcontext():
            scorer = scoring.in_training(
                system,
                fed.near,
                getattr(job.config, "resolution", None),
                job.notes,
                options.eval_metrics,
                options.eval_features,
                options.eval_count,
            )
    iterate = parallel.spread(rules.many(system.update, fed.draw, fed.capacity), job.devices, fed.specs)
    grid = snapshots.grids(system, rng.named(key, "grid"), fed.near, job.notes)
    return Program(key, init, fed, iterate, grid, scorer)


def _end(job: Job, spec: Spec, state: TrainState, alarm: Alarm | Stale | None, received: Sequence[Signals]) -> None:
    """Says how a run ended; raises SystemExit after a signal, which asked the whole program to end."""
    workdir, step = job.workdir, int(state.step)
    if isinstance(alarm, Alarm):
        stands = f"is back at step {step}, and later checkpoints are moved aside"
        if not checkpoint.steps(workdir / "checkpoints"):
            stands = "has no earlier checkpoint; lower the learning rates, or save more often with a lower --save-every"
        print(f"stopped: {alarm.message}; {workdir} {stands}")
        return
    if alarm:
        print(f"ended at step {step:,}: {alarm.message}")
    elif step < job.options.steps:
        name = received[0].name if received else "SIGTERM"
        print(f"stopped by {name} at step {step} and saved; the same command continues the run")
        raise SystemExit(128 + received[0] if received else 0)
    quoted = shlex.quote(str(workdir))
    use = f"sample: python -m gan_jax.sample {quoted}"
    if spec.source:
        use = f"translate: python -m gan_jax.translate {quoted} --input DIRECTORY --output DIRECTORY"
    peak = memory.text(log.peak(log.read(job.notes)) or memory.peak())
    print(f"done, with a memory peak of {peak}: open {workdir / 'report.html'}, or {use}")
    if job.options.profile:
        print(profiling.use(job.notes))
    if received:
        raise SystemExit(128 + received[0])


def _shown(job: Job) -> None:
    """Writes the animation and the report; only prints an error, so as not to hide the one that ended the run."""
    job.say(f"writing {job.notes / 'animation.gif'} and {job.notes / 'report.html'}")
    try:
        snapshots.animate(job.notes)
        report.write(job.notes)
    except Exception as error:
        print(f"warning: cannot write the report: {error}", flush=True)
