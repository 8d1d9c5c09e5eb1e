"""Settings of the loop: what a run writes, when and where."""

import dataclasses
from pathlib import Path
from typing import Literal, Protocol

import jax

from gan_jax.errors import UserError
from gan_jax.loop.guard import Policy
from gan_jax.metrics.menu import Name
from gan_jax.metrics.scoring import Kind

LONGEST = 10_000  # iterations in a call, which holds the metrics of each; longer calls gain nothing


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run writes, when and where: all may change when it goes on, and only roll-backs change what is learnt."""

    steps: int = 5_000
    """Iterations in all; a run that goes on counts those made before."""
    workdir: Path | None = None
    """The run directory; by default runs/EXPERIMENT-DATASET, with -seedN if that holds a run of another seed. A
    directory with a checkpoint is continued."""
    fresh: bool = False
    """Start anew; an older run in the directory is moved aside, not deleted."""
    steps_per_call: int = 0
    """Iterations in one compiled call, at most 10,000; signals are answered between calls. 0 takes 20 on CPUs, 100
    elsewhere."""
    log_every: int = 50
    """Iterations between log records; the guard looks at each."""
    sample_every: int = 250
    """Iterations between sample grids."""
    save_every: int = 1_000
    """Iterations between checkpoints."""
    keep: int = 2
    """Checkpoints kept, the newest."""
    eval_every: int = 0
    """Iterations between scores; 0 makes none, but with --best it is save_every."""
    eval_metrics: tuple[Name, ...] = ("fid",)
    """Scores to make; see python -m gan_jax.evaluate."""
    eval_count: int = 2_000
    """Samples in each score."""
    eval_features: Kind | None = None
    """Features to score by; by default those of the data set's classifier, which is fitted once, or points."""
    best: Name | None = None
    """Keep the checkpoint that is best by this score, in best/."""
    guard: Policy = "warn"
    """When training diverges: warn; stop at the best checkpoint; roll back to it and go on with a new key; or off."""
    devices: int | None = None
    """Local devices that share each batch; all by default, and of several processes always all."""
    stream: bool = False
    """Leave the data on disk and read them as training goes, for sets larger than memory; batches are the same."""
    skip_damaged: bool = False
    """Replace an image that cannot be read by the next one, with a warning, rather than stop."""
    compilation_cache: Literal["auto", "on", "off"] = "auto"
    """Keep compiled programs on disk, so that the next start need not compile; auto does on GPUs and TPUs."""


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


def validated(options: Run) -> Run:
    """Returns options that fit each other, or says which do not."""
    on_cpu = jax.default_backend() == "cpu"
    if options.steps_per_call == 0:  # a call is to last long beside what making it costs, and to end soon
        options = dataclasses.replace(options, steps_per_call=20 if on_cpu else 100)
    options = dataclasses.replace(options, steps_per_call=min(options.steps_per_call, LONGEST))
    if options.steps >= 2**31:
        raise UserError(f"--steps {options.steps}: iterations are counted by 32-bit integers; give less than 2**31")
    if options.compilation_cache == "auto":
        options = dataclasses.replace(options, compilation_cache="off" if on_cpu else "on")
    for name in ("steps", "steps_per_call", "log_every", "sample_every", "save_every", "keep"):
        if getattr(options, name) < 1:
            raise UserError(f"{name}={getattr(options, name)} must be at least 1")
    if options.eval_every < 0 or not options.eval_metrics:
        raise UserError(
            f"eval_every={options.eval_every}, eval_metrics={options.eval_metrics}: give 0 to make no scores"
        )
    if options.best is None:
        return options
    metrics = tuple(dict.fromkeys((options.best, *options.eval_metrics)))
    return dataclasses.replace(options, eval_metrics=metrics, eval_every=options.eval_every or options.save_every)
