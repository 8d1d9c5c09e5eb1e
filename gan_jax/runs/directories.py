"""Where a run is kept: its default directory, opening it, moving an old run aside, and undoing a failed start."""

import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gan_jax.data import names
from gan_jax.devices import cluster
from gan_jax.errors import UserError
from gan_jax.runs import checkpoint, lock, log, records
from gan_jax.runs.records import Record
from gan_jax.runs.reopen import BEST

# names, without suffixes, of what a run writes before its first iteration
EARLY = {"run", "experiment", "metrics", "tensorboard", "checkpoints", BEST, "samples", "real", "codes"}


def default_directory(record: Record) -> Path:
    """Returns runs/EXPERIMENT-DATASET, relative; with "-seedN" if that directory holds a run of another seed."""
    plain = Path("runs") / f"{records.stem(record['experiment'])}-{names.stem(record['data']['name'])}"
    seed = record["config"].get("seed")
    seeded = plain.with_name(f"{plain.name}-seed{seed}")
    if holds_run(seeded):
        return seeded  # the same command resumes there, even if the other run is gone
    with suppress(OSError, ValueError, KeyError):
        if json.loads((plain / "run.json").read_text())["config"]["seed"] != seed:
            return seeded
    return plain


def holds_run(directory: Path) -> bool:
    """Returns whether a directory is a run directory."""
    return (directory / "run.json").is_file() or (directory / "checkpoints").is_dir()


def require_directory(directory: Path, fresh: bool) -> None:
    """Refuses to train in a directory of other files, where that is likely a mistake.

    Raises:
        UserError: If the directory holds files but no run, and is the working directory (also as `--workdir ""`), or
            `fresh` would move the files away.
    """
    if not directory.exists() or holds_run(directory):
        return
    if {path.name for path in directory.iterdir()} <= {lock.LOCK, lock.HOLDER}:  # empty, or killed at its start
        return
    if fresh:
        raise UserError(
            f"--fresh: {directory} has files but no run, and they would be moved aside: give another --workdir"
        )
    if directory == Path():
        raise UserError("--workdir: the current directory has other files and no run: give another directory")


def move_aside(directory: Path) -> Path:
    """Renames a directory to the first free NAME.old-1, NAME.old-2, …; returns the new path."""
    aside = next(p for i in itertools.count(1) if not (p := directory.with_name(f"{directory.name}.old-{i}")).exists())
    return directory.rename(aside)


def trained(directory: Path) -> bool:
    """Returns whether a directory holds results of training: a checkpoint, or records of iterations."""
    learnt = (line for line in log.read(directory) if line.get("event") != log.STARTED)
    return bool(checkpoint.steps(directory / "checkpoints")) or any(learnt)


@contextmanager
def undone(directory: Path) -> Iterator[None]:
    """Deletes what has been written to a run directory if an exception ends the block before anything is trained.

    Args:
        directory: The directory, locked by this process. If it holds a run already, nothing is deleted.
    """
    before = {path.name for path in directory.iterdir()} if directory.exists() else set()
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it must not hide the error that ended the run
            if cluster.chief() and not trained(directory):
                for path in directory.iterdir():
                    if path.stem in EARLY and path.name not in before:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


@contextmanager
def opened(workdir: Path | None, record: Record, fresh: bool, quiet: bool) -> Iterator[Path]:
    """Opens and locks the directory in which a run is trained; with `fresh`, first moves an old run there aside.

    If an exception ends the block before anything is trained, the directory is left as it was, with the old run in it.

    Args:
        workdir: The directory; None for the default.
        record: The run's record.
        fresh: Whether the run starts anew.
        quiet: Whether to move an old run without printing so.

    Yields:
        The directory.

    Raises:
        UserError: If the directory cannot be trained in, see `require_directory`, or another process trains in it.
    """
    workdir, aside = workdir or default_directory(record), None
    require_directory(workdir, fresh)
    if fresh and holds_run(workdir) and not cluster.restarted():
        cluster.wait("fresh")
        if cluster.chief():
            with lock.held(workdir):
                pass  # raises if another process trains the run
            aside = move_aside(workdir)
            if not quiet:
                print(f"moved the old run to {aside}")
        cluster.wait("moved")
    try:
        with lock.held(workdir), undone(workdir):
            yield workdir
    finally:
        if aside and not workdir.exists():
            with suppress(OSError):  # it must not hide the error that ended the run
                aside.rename(workdir)
                if not quiet:
                    print(f"moved the old run back to {workdir}")
