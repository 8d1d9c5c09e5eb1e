"""Where a run is kept: its default directory, whether a directory holds a run, and moving one aside."""

import itertools
import json
from contextlib import suppress
from pathlib import Path

from gan_jax.data import names
from gan_jax.devices import cluster
from gan_jax.errors import UserError
from gan_jax.runs import lock, records
from gan_jax.runs.records import Record


def default_directory(record: Record) -> Path:
    """Returns runs/EXPERIMENT-DATASET, relative; with "-seedN" if that directory holds a run of another seed."""
    plain = Path("runs") / f"{records.stem(record['experiment'])}-{names.stem(record['data']['name'])}"
    seed = record["config"].get("seed")
    own = plain.with_name(f"{plain.name}-seed{seed}")
    if holds_run(own):
        return own  # the same command resumes there, even if the other run is gone
    with suppress(OSError, ValueError, KeyError):
        if json.loads((plain / "run.json").read_text())["config"]["seed"] != seed:
            return own
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


def chosen(workdir: Path | None, record: Record, fresh: bool, quiet: bool) -> Path:
    """Returns the directory in which a run is trained; with `fresh`, first moves an old run there aside.

    Args:
        workdir: The directory; None for the default.
        record: The run's record.
        fresh: Whether the run starts anew.
        quiet: Whether to move an old run without printing so.

    Raises:
        UserError: If the directory cannot be trained in, see `require_directory`, or another process trains in it.
    """
    workdir = workdir or default_directory(record)
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
    return workdir
