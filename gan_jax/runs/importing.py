"""The source of a run's experiment: found, imported, and named in its errors."""

import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from gan_jax.errors import UserError
from gan_jax.runs import records
from gan_jax.runs.records import Record

ROOT = Path(__file__).parents[2]  # of the repository, if the package runs from a checkout


def load_experiment(record: Record, directory: Path, safe: bool = False) -> ModuleType:
    """Imports an experiment from the run's copy, so that later edits change nothing; if `safe`, this repository's.

    The copy of a record of an older format imports modules by their former names; if the experiment is one of this
    repository, the current one is used instead.
    """
    experiment = record["experiment"]
    ours = safe or (record.get("format", 1) < records.FORMAT and _in_package(experiment) is not None)
    file = _of_package(experiment, directory, warn=safe) if ours else _of_run(experiment, directory)
    original = file if ours else Path(experiment["file"] or file)
    packages = (experiment["module"] or "").count(".")
    # folders for imports of sibling modules, and by package
    return load_file(file, f"experiment_{original.stem}", [original.parent, original.parents[packages]])


def load_file(file: Path, name: str, folders: Sequence[Path]) -> ModuleType:
    """Imports a Python file.

    Args:
        file: The file.
        name: Name of the module.
        folders: Folders that are searched for its imports, after those of `sys.path`.

    Raises:
        UserError: In place of any exception that the file raises; names the line.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader, f"{file} is not a Python source file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look up their module
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]
    with blamed(file):
        spec.loader.exec_module(module)
    return module


def _of_run(experiment: Record, directory: Path) -> Path:
    """Returns the run's copy of an experiment; if it is missing, the original file."""
    copy = directory / "experiment.py"
    if not copy.exists() and experiment["file"] is None:
        raise UserError(
            f"{directory}: its experiment.py is missing, and it was not defined in a file; {records.SUPPLY}"
        )
    original = Path(experiment["file"] or copy)
    if not copy.exists() and not original.exists():
        raise UserError(
            f"{directory}: its experiment.py is missing, and {original} does not exist either; restore one of them"
        )
    return copy if copy.exists() else original


def _in_package(experiment: Record) -> Path | None:
    """Returns this repository's file of the experiment of that name, None if there is none."""
    name = experiment["module"] or ""
    file = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return file if re.fullmatch(r"experiments(\.\w+)+", name) and file.is_file() else None


def _of_package(experiment: Record, directory: Path, warn: bool) -> Path:
    """Returns this repository's file of the experiment; if `warn`, warns if the run's copy differs from it."""
    file, copy = _in_package(experiment), directory / "experiment.py"
    if file is None:
        name = experiment["module"] or experiment["file"]
        raise UserError(
            f"--safe: {directory} is a run of {name}, which is not in {ROOT / 'experiments'}; if "
            f"you trust {copy}, leave --safe out"
        )
    if warn and copy.exists() and copy.read_bytes() != file.read_bytes():
        warnings.warn(f"--safe: using {file}, which differs from the run's {copy}", stacklevel=2)
    return file


@contextmanager
def blamed(file: Path) -> Iterator[None]:
    """Turns any error of an experiment's source into one that names the file, the line and the remedy.

    Raises:
        UserError: In place of any other exception, `SystemExit` included.
    """
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        remedy = "add the folder that contains it to PYTHONPATH"
        if (error.name or "").startswith("gan_jax."):
            remedy = "gan_jax's modules have moved since the run was made: change its imports, see gan_jax/README.md"
        raise UserError(f"{file} imports {error.name!r}, which cannot be found; {remedy}") from error
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(file)] or [getattr(error, "lineno", None)]
        where = f"{file}, line {lines[-1]}" if lines[-1] else str(file)
        remedy = (
            "fix the file, or restore it as it was when the run was trained; or, if the experiment is one of this "
            "repository, open the run with --safe"
        )
        if isinstance(error, SystemExit):
            remedy = 'put what it runs under `if __name__ == "__main__":`'
        raise UserError(f"{where}: {type(error).__name__}: {error}; {remedy}") from error
