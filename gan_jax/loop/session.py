"""A training session: begins or resumes a run, trains it, and ends it when done, on a signal, or on divergence."""

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from gan_jax import rng, rules, runs
from gan_jax.data import Dataset, Stream
from gan_jax.devices import cluster, memory, parallel
from gan_jax.errors import Diverged, UserError
from gan_jax.loop import compilation_cache, feeding, rehearsal, rollback, signals, snapshots
from gan_jax.loop.settings import Config, Run, validated
from gan_jax.loop.train import Job, train, watched_metric
from gan_jax.metrics import scoring
from gan_jax.runs import checkpoint, directories, lock, records, report
from gan_jax.types import System, TrainState

__all__ = ["Config", "Run", "run"]

ROLLBACKS = 3  # most roll-backs before a run stops


def run(build: Callable[..., System], dataset: Dataset | Stream, config: Config) -> TrainState:
    """Trains a system, or resumes it from the newest undamaged checkpoint of its directory.

    Args:
        build: The experiment's `build`: `(config, spec) -> System`.
        dataset: The training data: in memory, copied to the devices, or a stream.
        config: The experiment's config.

    Returns:
        The last state.

    Raises:
        UserError: If the settings do not fit the devices, the directory holds another run, another process trains in
            it, or a run is being opened meanwhile.
        Diverged: If a metric or a parameter is not finite; the last good checkpoint stays.
        OutOfMemory: If memory does not suffice; the message says what to lower.
        SystemExit: After SIGINT, SIGTERM or SIGHUP, once the state is saved.
    """
    runs.require_none_opening()
    rehearsal.require_sizes(config)
    options = validated(config.run)
    options = dataclasses.replace(options, stream=isinstance(dataset, Stream))
    if options.compilation_cache == "on":
        compilation_cache.keep()
    devices = _devices(options.devices, config.batch_size)
    record = records.describe(build, dataset, config)
    workdir = options.workdir or directories.default_directory(record)
    directories.require_directory(workdir, options.fresh)
    if options.fresh and directories.holds_run(workdir) and not cluster.restarted():
        cluster.wait("fresh")
        if cluster.chief():
            with lock.held(workdir):
                pass  # raises if another process trains the run
            print(f"moved the old run to {directories.move_aside(workdir)}")
        cluster.wait("moved")
    with lock.held(workdir), cluster.notes(workdir) as notes, memory.explained():
        return _run(build, dataset, config, options, devices, record, workdir, notes)


def _run(
    build: Callable[..., System],
    dataset: Dataset | Stream,
    config: Config,
    options: Run,
    devices: Sequence[Any],
    record: records.Record,
    workdir: Path,
    notes: Path,
) -> TrainState:
    saved = workdir / "checkpoints"
    resuming = bool(checkpoint.steps(saved))
    if resuming:
        found = checkpoint.read_meta(saved)
        records.require_same(record, found, workdir, records.defaults(config))
        records.require_same_numerics(found, workdir)

    system = build(config, dataset.spec)
    key = rng.key(config.seed)
    init = jax.jit(lambda k: system.init(rng.named(k, "init")))
    like = rehearsal.state(system, dataset.spec)
    data = 0 if isinstance(dataset, Stream) else memory.size(dataset.arrays)
    rehearsal.require_memory(like, data, devices)
    state, meta = checkpoint.restore(saved, like) if resuming else (init(key), {})
    start = int(state.step)
    if start >= options.steps:
        mend = "give more to go on with it, or --fresh"
        print(f"{workdir} has made {start} iterations, and --steps is {options.steps}; {mend}")
        if report.outdated(notes):
            _shown(notes)  # the run was killed between its last save and its report
        return jax.tree.map(jax.numpy.asarray, state)
    checkpoint.require_writable(saved)
    metric = watched_metric(options)
    past = rollback.recalled(meta, workdir, options.steps, metric) if resuming else rollback.Past()
    if resuming:
        checkpoint.discard_after(saved, start)
        checkpoint.discard_after(workdir / runs.BEST, start)
    records.write(record, notes, start)

    sizes = (config.batch_size, system.batches, options.steps_per_call, devices)
    if isinstance(dataset, Stream):
        fed = feeding.streamed(dataset, *sizes, max(1024, options.eval_count), options.skip_damaged)
    else:
        fed = feeding.whole(dataset, *sizes)
    options = dataclasses.replace(options, steps_per_call=fed.capacity)
    step = parallel.spread(rules.many(system.update, fed.draw, fed.capacity), devices, fed.specs)
    begins = f"goes on from step {start}" if resuming else "begins"
    about = f"{records.summary(record)}, {len(devices)} x {devices[0].device_kind}"
    if cluster.several():
        about += f" of {jax.process_count()} processes"
    held = f"state {memory.text(memory.size(state))}, data {fed.text}"
    print(f"{workdir}: {about}, {held}; {begins}, compiling", flush=True)
    scorer = None
    if options.eval_every:
        scorer = scoring.in_training(
            system,
            fed.near,
            getattr(config, "resolution", None),
            notes,
            options.eval_metrics,
            options.eval_features,
            options.eval_count,
        )
    with signals.noted() as received:
        job = Job(
            options,
            config.batch_size,
            workdir,
            notes,
            record,
            iterate=step,
            feed=fed.open,
            place=lambda tree: parallel.replicate(tree, devices),
            grid=snapshots.grids(system, rng.named(key, "grid"), fed.near, notes),
            scorer=scorer,
            received=received,
        )
        try:
            while True:
                state, alarm = train(job, state, start, key, past)
                if alarm is None:
                    break
                last = options.guard == "stop" or past.rollbacks == ROLLBACKS
                event = "stopped" if last else "rolled back"
                state, past = rollback.go_back(
                    workdir, alarm, past, like, lambda: init(key), event, options.steps, metric
                )
                start = int(state.step)
                if last:
                    stands = f"stands at step {start}, and later checkpoints are moved aside"
                    if not checkpoint.steps(saved):
                        stands = "has no checkpoint from before it; lower the learning rates, or give --save-every less"
                    print(f"stopped: {alarm.message}; {workdir} {stands}")
                    return state
                print(f"rolled back to step {start}; going on with a new key", flush=True)
        except Diverged as error:
            good = checkpoint.steps(saved)
            kept = f"the last good checkpoint, of step {good[-1]}, is kept" if good else "no checkpoint was made yet"
            raise Diverged(
                f"{error}; {kept} in {workdir}. The same settings end there again: lower the learning rates, or "
                "change the loss; or give --guard rollback, which goes on with a new key"
            ) from error
        finally:
            _shown(notes)
    step_reached = int(state.step)
    if step_reached < options.steps:
        name = received[0].name if received else "SIGTERM"
        print(f"stopped by {name} at step {step_reached}, saved; the same command goes on")
        raise SystemExit(128 + received[0] if received else 0)
    quoted = shlex.quote(str(workdir))
    use = f"sample: python -m gan_jax.sample {quoted}"
    if dataset.spec.source:
        use = f"translate: python -m gan_jax.translate {quoted} --input DIRECTORY --output DIRECTORY"
    print(f"done, in {memory.text(memory.peak())} of memory at most: open {workdir / 'report.html'}, or {use}")
    if received:  # the signal asked the whole program to end, not only this run
        raise SystemExit(128 + received[0])
    return state


def _shown(notes: Path) -> None:
    """Writes the animation and the report; only prints an error, so as not to hide the one that ended the run."""
    try:
        snapshots.animate(notes)
        report.write(notes)
    except Exception as error:
        print(f"warning: no report: {error}", flush=True)


def _devices(count: int | None, batch_size: int) -> list[Any]:
    if cluster.several() and count is not None:
        raise UserError(f"devices={count}: several processes share batches over all their devices; leave it out")
    available = jax.devices()
    count = len(available) if count is None else count
    if not 1 <= count <= len(available):
        raise UserError(f"devices={count}: this machine has {len(available)}; give 1 to that, or leave it out")
    if batch_size % count:
        raise UserError(
            f"batch_size={batch_size} is not divisible by the {count} devices; "
            f"give --batch-size {(batch_size // count + 1) * count}, or --devices another number"
        )
    return available[:count]
