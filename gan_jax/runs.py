"""Run directories: what a run records of itself, and how a system is rebuilt from it.

A run holds `run.json`, `experiment.py` (a copy of the experiment's source), `metrics.jsonl`, `tensorboard/`,
`samples/`, `checkpoints/`, and at the end `animation.gif` and `report.html`. Every checkpoint carries the record too.
Rebuilding a system runs the experiment's code: open only runs that you trust.
"""

import dataclasses
import importlib.metadata
import importlib.util
import inspect
import itertools
import json
import os
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax

from gan_jax import checkpoint
from gan_jax.data import Dataset, Spec, load
from gan_jax.pictures import atomic
from gan_jax.types import PyTree, System, TrainState

Record = dict[str, Any]
BEST = "best"  # the directory of the best checkpoint, beside checkpoints/


class Restored(NamedTuple):
    """What sampling and evaluation need of a run.

    Attributes:
        system: Rebuilt from the recorded config.
        ema: The averaged networks of one checkpoint.
        step: That checkpoint's step.
        record: What the run recorded of itself.
    """

    system: System
    ema: dict[str, PyTree]
    step: int
    record: Record


def describe(build: Callable, dataset: Dataset, config: Any) -> Record:
    """Returns what a run records of itself: experiment, config, data and environment, as JSON types.

    Args:
        build: The experiment's `build`, by which its module is known.
        dataset: What it trains on.
        config: The experiment's config, a dataclass; its field `run` is left out, as it changes nothing that is learnt.
    """
    shape = list(dataset.spec.shape)
    data = {"name": dataset.name, "split": dataset.split, "shape": shape, "classes": dataset.spec.classes}
    data |= {"count": len(dataset.arrays["image"]), "fingerprint": dataset.fingerprint}
    source = inspect.getsourcefile(build)
    if source is None:
        raise ValueError(
            "build: its source file is not to be found; define it in a module, so that runs can be reopened"
        )
    return {
        "experiment": {"module": _module_name(build), "file": str(Path(source).absolute())},
        "config": fields(config),
        "data": data,
        "environment": environment(),
    }


def fields(config: Any) -> dict[str, Any]:
    """Returns the fields of a config that define the trajectory, as JSON types."""
    kept = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name != "run"}
    return json.loads(json.dumps(kept, default=str))


def environment() -> dict[str, Any]:
    """Returns versions, device, host, commit and command, for the record."""
    here = Path(__file__).parent
    git = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True)
    versions = {name: importlib.metadata.version(name) for name in ("gan_jax", "jax", "flax", "optax")}
    device = jax.devices()[0]
    main = sys.modules["__main__"].__spec__
    command = ["python", *(["-m", main.name] if main else sys.argv[:1]), *sys.argv[1:]]
    return versions | {
        "python": platform.python_version(),
        "device": f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else device.device_kind,
        "devices": jax.device_count(),
        "host": f"{platform.system()} {platform.machine()}",
        "commit": git.stdout.strip() or None,
        "command": shlex.join(command),
    }


def default_directory(record: Record) -> Path:
    """Returns runs/EXPERIMENT-DATASET, under the working directory."""
    data = record["data"]["name"].removeprefix("folder:").rstrip("/").split("/")[-1]
    return Path("runs") / f"{_stem(record['experiment'])}-{data}"


def write(record: Record, directory: Path, step: int) -> None:
    """Writes the record of a run that stands at a step, and a copy of its experiment's source.

    A source that has changed since may be a new remark or a new algorithm: a warning says so, and the old copy is kept.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source, copy = Path(record["experiment"]["file"]).read_bytes(), directory / "experiment.py"
    if step and copy.exists() and copy.read_bytes() != source:
        old = copy.rename(directory / f"experiment-to-{step:08d}.py")
        warnings.warn(f"the experiment's source has changed since step {step} was made; see {old}", stacklevel=2)
    with atomic(directory / "run.json") as file:
        file.write(json.dumps(record, indent=2).encode())
    with atomic(copy) as file:
        file.write(source)


def move_aside(directory: Path) -> Path:
    """Renames a directory to the first free NAME.old-1, NAME.old-2, …, and returns that."""
    aside = next(p for i in itertools.count(1) if not (p := directory.with_name(f"{directory.name}.old-{i}")).exists())
    return directory.rename(aside)


def summary(record: Record) -> str:
    """Returns what a run is, in a few words."""
    data = record["data"]
    shape = "x".join(map(str, data["shape"]))
    return f"{_stem(record['experiment'])} on {data['name']} ({data['count']:,} examples, {shape})"


def require_same(record: Record, found: Record, directory: Path) -> None:
    """Checks that a run is the one that a directory's checkpoints belong to.

    Raises:
        ValueError: Naming what differs, and the mends.
    """
    mend = "give another --workdir, or --fresh to move the old run aside"
    name, old_name = (_stem(r["experiment"]) for r in (record, found))
    if name != old_name:
        raise ValueError(f"{directory} holds a run of {old_name}, and this is {name}: {mend}")
    config, old = record["config"], found["config"]
    if differ := [key for key in old | config if config.get(key) != old.get(key)]:
        its, ours = (", ".join(f"{key}={values.get(key)!r}" for key in differ) for values in (old, config))
        flags = " ".join(f"--{key.replace('_', '-')} {old.get(key)}" for key in differ)
        raise ValueError(
            f"{directory} holds a run with {its}, and this one has {ours}: {mend}, or {flags} to continue it"
        )
    if record["data"]["fingerprint"] != found["data"]["fingerprint"]:
        raise ValueError(f"{directory} holds a run on other contents of {record['data']['name']!r}: {mend}")


def open_run(directory: Path, step: int | None = None, best: bool = False) -> Restored:
    """Rebuilds a run's system and restores its averaged networks, from the directory alone.

    Args:
        directory: A run directory.
        step: Which checkpoint; the newest good one by default.
        best: Whether to take the best one, which `--best` keeps, instead.

    Raises:
        FileNotFoundError: If it is no run directory, or has no checkpoint yet, or no best one.
        ValueError: If the checkpoint, or the experiment's code, no longer fits.
    """
    ema, record = checkpoint.restore_averaged(_checkpoints(directory, step, best), step)
    system = _rebuild(record, directory)
    _require_shapes(system, ema, directory)
    return Restored(system, jax.tree.map(jax.numpy.asarray, ema), record["step"], record)


def open_state(directory: Path, step: int | None = None, best: bool = False) -> tuple[Restored, TrainState]:
    """Does what `open_run` does, and restores the whole state, with the discriminator and what is not averaged."""
    path = _checkpoints(directory, step, best)
    record = checkpoint.read_meta(path, step)
    system = _rebuild(record, directory)
    like = jax.eval_shape(system.init, jax.random.key(0))
    state = jax.tree.map(jax.numpy.asarray, checkpoint.restore(path, like, record["step"])[0])
    return Restored(system, state.ema, record["step"], record), state


def dataset(record: Record, split: str | None = None) -> Dataset:
    """Loads a split of the data that a run was trained on, by default the very images of its training.

    Raises:
        ValueError: If the training images are not what they were.
    """
    about = record["data"]
    found = load(about["name"], split or about["split"], record["config"].get("resolution"))
    if split in (None, about["split"]) and found.fingerprint != about["fingerprint"]:
        raise ValueError(f"the run was trained on other contents of {about['name']!r} than are there now; restore them")
    return found


def held_out(record: Record) -> Dataset:
    """Loads the test images of the data that a run was trained on; raises ValueError if it was trained on them."""
    found = dataset(record, "test")
    if found.fingerprint == record["data"]["fingerprint"]:
        raise ValueError(f"the run was trained on the test split of {found.name!r}, so that nothing is held out")
    return found


def _checkpoints(directory: Path, step: int | None, best: bool) -> Path:
    if not (directory / "checkpoints").is_dir():
        raise FileNotFoundError(f"{directory} is not a run directory: it has no checkpoints/; give one that a run made")
    if best and step is not None:
        raise ValueError(f"step={step}, best=True: give one of them")
    if not checkpoint.steps(directory / "checkpoints"):
        raise FileNotFoundError(f"{directory} holds no checkpoint: it ended before the first; train it again")
    if best and not (directory / BEST).is_dir():
        raise FileNotFoundError(
            f"{directory} keeps no best checkpoint: train anew with --best fid --fresh, or leave best out"
        )
    return directory / (BEST if best else "checkpoints")


def _rebuild(record: Record, directory: Path) -> System:
    experiment = _load_experiment(record["experiment"], directory)
    known = {field.name for field in dataclasses.fields(experiment.Config)}
    if unknown := record["config"].keys() - known:
        raise ValueError(f"{directory}: its config has {sorted(unknown)}, which {experiment.__name__} no longer knows")
    spec = Spec(tuple(record["data"]["shape"]), record["data"]["classes"])
    return experiment.build(experiment.Config(**record["config"]), spec)


def _require_shapes(system: System, ema: dict[str, PyTree], directory: Path) -> None:
    """Checks that restored averages are what the system's own would be."""
    expected = jax.eval_shape(system.init, jax.random.key(0)).ema
    shapes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (expected, ema)
    ]
    if shapes[0] != shapes[1]:
        odd = sorted(set(map(str, shapes[0].items())) ^ set(map(str, shapes[1].items())))[0]
        raise ValueError(f"{directory}: its generator differs from what the experiment's code builds now, at {odd}")


def _module_name(build: Callable) -> str | None:
    """Returns the name under which an experiment can be imported, None for a file that was run as a script."""
    if build.__module__ != "__main__":
        return build.__module__
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else None


def _stem(experiment: Record) -> str:
    return (experiment["module"] or Path(experiment["file"]).stem).split(".")[-1]


def _load_experiment(experiment: Record, directory: Path) -> ModuleType:
    """Imports an experiment from the run's copy, so that later edits change nothing; else from where it was."""
    original, copy = Path(experiment["file"]), directory / "experiment.py"
    if not copy.exists() and not original.exists():
        raise ValueError(f"{directory}: its experiment.py is missing, and {original} is not there either")
    file = copy if copy.exists() else original
    spec = importlib.util.spec_from_file_location(f"experiment_{original.stem}", file)
    assert spec and spec.loader, f"{file} is no Python source"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    if str(original.parent) not in sys.path:
        sys.path.append(str(original.parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{directory}: its experiment imports {error.name!r}, which is not there; add its folder to PYTHONPATH"
        ) from error
    return module
