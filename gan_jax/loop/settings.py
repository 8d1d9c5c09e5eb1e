"""Settings of the training loop: what a run writes, when and where."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import jax

from gan_jax.devices import cluster
from gan_jax.errors import UserError
from gan_jax.loop.callbacks import Callback
from gan_jax.loop.guard import Policy
from gan_jax.metrics.menu import Name
from gan_jax.metrics.scoring import FeatureName
from gan_jax.runs.records import Record

LONGEST = 10_000  # iterations per call, which holds the metrics of each; longer calls gain nothing


@dataclasses.dataclass(frozen=True)
class Run:
    """Settings of the loop, which may change when a run is resumed, except `freeze` and `init_from`."""

    steps: int = 5_000
    """Iterations in total; a resumed run counts those done before."""
    workdir: Path | None = None
    """The run directory; by default runs/EXPERIMENT-DATASET, with -seedN if that holds a run of another seed. A
    directory with a checkpoint is continued."""
    fresh: bool = False
    """Start a new run; an older run in the directory is moved aside, not deleted."""
    steps_per_call: int = 0
    """Iterations per compiled call, at most 10,000. Ctrl-C ends a compilation at once; in training, the run stops and
    saves after the current call. 0 means 20 on CPUs, 100 elsewhere."""
    log_every: int = 50
    """Iterations between log records, each of which the guard checks."""
    sample_every: int = 250
    """Iterations between sample grids."""
    save_every: int = 1_000
    """Iterations between checkpoints."""
    keep: int = 2
    """Number of newest checkpoints to keep."""
    eval_every: int = 0
    """Iterations between scores; 0 for none, or with --best for the value of --save-every."""
    eval_metrics: tuple[Name, ...] = ("fid",)
    """Metrics to compute; see python -m gan_jax.evaluate."""
    eval_count: int = 2_000
    """Samples per score."""
    eval_features: FeatureName | None = None
    """Features of the scores; by default those of the data set's classifier, fitted once, or, if the data are not
    images, their values."""
    best: Name | None = None
    """Metric by which the best checkpoint is kept, in best/."""
    patience: int = 0
    """End training after this many scores in a row without a new best, by the metric of --best or the first of
    --eval-metrics; 0 for never."""
    guard: Policy = "warn"
    """On divergence: warn; stop at the last good checkpoint; roll back to it and resume with a new key; or off."""
    change: tuple[str, ...] = ()
    """FIELD=VALUE ...: continue the run with new values of settings such as learning rates and weights of terms. The
    run remembers them."""
    init_from: Path | None = None
    """Start a new run from the networks of another run directory, as far as they fit."""
    freeze: tuple[str, ...] = ()
    """NETWORK or NETWORK=first:N ...: freeze all layers of a network, or the first N from its input."""
    devices: int | None = None
    """Number of local devices that share each batch; by default all. Several processes always use all."""
    stream: bool = False
    """Read the data from disk during training, for sets larger than memory; batches are the same."""
    skip_damaged: bool = False
    """Replace an image that cannot be read by the next one, with a warning, instead of stopping."""
    compilation_cache: Literal["auto", "on", "off"] = "auto"
    """Keep compiled programs on disk, so that the next start need not compile; auto means on for GPUs and TPUs."""
    quiet: bool = False
    """Print only warnings, errors and how the run ended."""
    profile: bool = False
    """Write a trace of a few iterations after warm-up to RUN/profile."""


class Config(Protocol):
    """The fields of an experiment's config that the loop reads."""

    @property
    def batch_size(self) -> int:
        """Examples per batch, over all devices."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all randomness."""
        ...

    @property
    def run(self) -> Run:
        """Settings of the loop."""
        ...


class Job(NamedTuple):
    """A run that is being trained.

    Attributes:
        config: The experiment's config.
        options: The config's settings of the loop, as `validated`.
        workdir: The run directory, which holds the checkpoints.
        notes: Directory for this process's log and pictures: the run directory in the first process, another one in the
            others.
        record: The run's record, kept with each checkpoint.
        devices: Devices of all processes, which share each batch.
        callback: Called with what the run has written, see `callbacks`; None for no callback.
    """

    config: Config
    options: Run
    workdir: Path
    notes: Path
    record: Record
    devices: Sequence[Any]
    callback: Callback | None = None

    def say(self, text: str) -> None:
        """Prints a line, unless the run is quiet; warnings, and how the run ended, are printed anyway."""
        if not self.options.quiet:
            print(text, flush=True)


def watched_metric(options: Run) -> Name:
    """Returns the score that the guard watches."""
    return options.best or options.eval_metrics[0]


def validated(options: Run) -> Run:
    """Fills in settings that depend on others or on the platform; raises UserError for invalid ones."""
    on_cpu = jax.default_backend() == "cpu"
    if options.steps_per_call == 0:  # long enough to hide the cost of a call, short enough for signals
        options = dataclasses.replace(options, steps_per_call=20 if on_cpu else 100)
    options = dataclasses.replace(options, steps_per_call=min(options.steps_per_call, LONGEST))
    if options.steps >= 2**31:
        raise UserError(f"--steps {options.steps}: iterations are counted in 32-bit integers; give less than 2**31")
    if options.compilation_cache == "auto":
        options = dataclasses.replace(options, compilation_cache="off" if on_cpu else "on")
    for name in ("steps", "steps_per_call", "log_every", "sample_every", "save_every", "keep"):
        if getattr(options, name) < 1:
            raise UserError(f"{name}={getattr(options, name)} must be at least 1")
    if options.fresh and options.change:
        raise UserError("--change continues a run, and --fresh starts one: give one of them")
    if options.eval_every < 0 or not options.eval_metrics:
        raise UserError(
            f"eval_every={options.eval_every}, eval_metrics={options.eval_metrics}: give at least 0 iterations and at "
            "least one metric; --eval-every 0 computes no scores"
        )
    if options.patience < 0 or (options.patience and not (options.eval_every or options.best)):
        raise UserError(
            f"--patience {options.patience}: give a number of scores, and --eval-every or --best, without which there "
            "are none"
        )
    if options.best is None:
        return options
    metrics = tuple(dict.fromkeys((options.best, *options.eval_metrics)))
    return dataclasses.replace(options, eval_metrics=metrics, eval_every=options.eval_every or options.save_every)


def share(count: int | None, batch_size: int) -> list[Any]:
    """Returns the devices that share each batch.

    Args:
        count: Their number; None for all.
        batch_size: Examples per batch.

    Raises:
        UserError: If there are fewer, or they cannot share a batch evenly.
    """
    if cluster.several() and count is not None:
        raise UserError(f"devices={count}: several processes always use all their devices; leave --devices out")
    available = jax.devices()
    count = len(available) if count is None else count
    if not 1 <= count <= len(available):
        raise UserError(
            f"devices={count}: this machine has {len(available)}; give a number from 1 to that, or leave it out"
        )
    if batch_size % count:
        raise UserError(
            f"batch_size={batch_size} is not divisible by {count} devices; "
            f"give --batch-size {(batch_size // count + 1) * count}, or another --devices"
        )
    return available[:count]
