"""Checkpoints: written in the background, verified when read, independent of devices; the only importer of Orbax.

A step is a directory `step_00000042` of three Orbax items. `state` and `ema` map paths such as
`params/generator/Dense_0/kernel` to host arrays: flat, so that they are read without a target and independently of
devices. `meta` is JSON: the caller's entries, and the checksum, shape and dtype of every array. Checksums are needed
because Orbax itself restores a flipped bit without complaint, casts dtypes silently, and refuses empty trees and
arrays.
"""

import asyncio
import contextlib
import errno
import itertools
import json
import logging
import re
import shutil
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.devices import cluster
from gan_jax.errors import Diverged, NotFound, UserError
from gan_jax.files import atomic
from gan_jax.types import PyTree, TrainState

META = Path("meta") / "metadata"  # the file of the item `meta`: plain JSON, read without Orbax
# messages of the array store, and of Orbax about a type's name, when bytes are missing or cannot be decoded
UNDECODABLE = re.compile(r"(DATA_LOSS|NOT_FOUND|OUT_OF_RANGE|FAILED_PRECONDITION): |Error decoding |TypeHandler lookup")


class Damaged(UserError):
    """A checkpoint with a wrong checksum, or with a file that is missing or cannot be decoded."""


@contextlib.contextmanager
def writer(directory: Path, keep: int = 2) -> Iterator[Callable[[TrainState, dict], None]]:
    """Opens a directory for writing checkpoints; on exit waits for the last one and closes.

    `save(state, meta)` copies the state to the host before it returns, so that the caller may donate it at once, and
    writes in the background: an error there is raised by the next save, or on exit. Every process calls it.

    Args:
        directory: Directory of the steps; created if it does not exist.
        keep: Number of newest steps to keep.

    Yields:
        `save(state, meta)`, which saves at `int(state.step)`; `meta` is a dict that JSON can hold.

    Raises:
        UserError: If `keep` is less than 1, or the directory cannot hold checkpoints; from `save`, if the step is not
            later than all existing ones.
        Diverged: From `save`, if an array is not finite, naming it: a checkpoint never holds NaN.
        OSError: If the disk is full (ENOSPC). Earlier checkpoints stay, whatever is raised.
    """
    if keep < 1:
        raise UserError(f"keep={keep} would leave no checkpoint: give 1 or more")
    require_writable(directory)
    import orbax.checkpoint as ocp  # imported lazily, here and below: it takes a second, needless for `--help`

    def save(state: TrainState, meta: dict) -> None:
        flat = jax.device_get(_flat(state))  # starts all transfers before waiting for the first
        arrays = {path: np.array(x, order="C") for path, x in flat.items()}  # on CPU device_get does not copy
        step = int(arrays["step"])
        _check_finite(arrays, step)
        items: dict[str, Any] = {"meta": ocp.args.JsonSave(_document(state, arrays, meta))}
        for item in ("state", "ema"):
            if chosen := {path: x for path, x in arrays.items() if _item(path) == item and x.size}:
                items[item] = ocp.args.PyTreeSave(chosen)
        with _disk_full(directory):
            saved = manager.save(step, args=ocp.args.Composite(**items))
        if not saved:
            raise UserError(
                f"step {step} is not saved: {directory} holds steps {steps(directory)}, and a new one must be later; "
                f"to go on from an earlier step call discard_after first"
            )

    options = ocp.CheckpointManagerOptions(
        preservation_policy=ocp.checkpoint_managers.LatestN(keep),
        step_prefix="step",
        step_format_fixed_length=8,
        cleanup_tmp_directories=True,  # half-written steps of a killed run
    )
    handlers = {"state": _handler(), "ema": _handler(), "meta": ocp.JsonCheckpointHandler(META.name)}
    manager = ocp.CheckpointManager(directory.absolute(), options=options, item_handlers=handlers)
    try:
        yield save
    finally:
        with _disk_full(directory), contextlib.ExitStack() as stack:
            stack.callback(manager.close)  # also if waiting raises
            manager.wait_until_finished()


def require_writable(directory: Path) -> None:
    """Creates a directory for checkpoints, and checks that files can be written there and its path read back.

    Raises:
        UserError: If no file can be written there, or the path has a character that the array store misreads.
    """
    path = str(directory.absolute())
    if odd := re.search(r"[\\\[\ud800-\udfff]", path):  # an escape, a pattern, a name that is not UTF-8
        raise UserError(
            f"{path!r}: checkpoints cannot be read back from a path with {odd[0]!r}; give another --workdir"
        )
    try:
        with _disk_full(directory):
            directory.mkdir(parents=True, exist_ok=True)
            trial = directory / f".writable-{uuid.uuid4().hex}"
            try:
                trial.write_bytes(b"yes")
            finally:
                trial.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise
        mend = "give another --workdir, or make this one writable"
        raise UserError(f"{directory}: checkpoints cannot be written there ({error.strerror}); {mend}") from error


def restore(directory: Path, like: TrainState, step: int | None = None) -> tuple[TrainState, dict]:
    """Restores a state and verifies each of its arrays.

    With several processes, every one calls it, and all restore the same step.

    Args:
        directory: Directory of a `writer`.
        like: A state, or its `jax.eval_shape`, with the expected structure, shapes and dtypes.
        step: The step to restore; by default the newest, or with a warning the newest undamaged one.

    Returns:
        The state, of host arrays, and the meta it was saved with, with its step under "step".

    Raises:
        NotFound: If there is no checkpoint, or not that step.
        Damaged: If that step, or without `step` every step, is damaged: a checksum is wrong, or a file is missing or
            cannot be decoded. Other failures, such as of a disk or a permission, keep their own type.
        UserError: If the step is undamaged but differs from `like`, or another process cannot restore, whose own error
            says why.
    """
    arrays, _, meta = _agreed(directory, step, ("state", "ema"))
    expected = _flat(like)
    differ = [
        f"{path} is {there} in the checkpoint, {here} expected"
        for path in sorted(expected.keys() | arrays.keys())
        if (there := _describe(arrays.get(path))) != (here := _describe(expected.get(path)))
    ]
    if differ:
        raise UserError(
            f"step {meta['step']} of {directory} is sound but does not fit in {len(differ)} arrays: "
            f"{'; '.join(differ[:5])}{' ...' * (len(differ) > 5)}. Build with the configuration it was saved under "
            f"(read_meta shows it), or use another directory"
        )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[path] for path in expected]), meta


def restore_averaged(directory: Path, step: int | None = None) -> tuple[dict[str, PyTree], dict]:
    """Restores the averaged networks alone, without `like` and without reading other arrays.

    Returns:
        Network name -> `{"params", "stats"}` of host arrays; and the meta. Arguments and errors are those of `restore`.
    """
    arrays, tree, meta = _sound(directory, step, ("ema",))
    return jax.tree.map(lambda path: arrays[path], tree), meta


def read_meta(directory: Path, step: int | None = None) -> dict:
    """Reads the meta of a step, and no arrays; arguments and errors are those of `restore`."""
    return _sound(directory, step, ())[2]


def steps(directory: Path) -> list[int]:
    """Lists the completely written steps, ascending; none if the directory does not exist."""
    try:
        names = [path.name for path in directory.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [int(name.removeprefix("step_")) for name in names if re.fullmatch(r"step_[0-9]{8,}", name)]
    return sorted(step for step in found if _name(step) in names)


def amend(directory: Path, step: int, entries: dict) -> None:
    """Sets entries of a saved step's meta, atomically."""
    path = directory / _name(step)
    document = _meta(path)
    document = json.loads(json.dumps({**document, "meta": {**document["meta"], **entries}}))
    with atomic(path / META) as file:
        file.write(json.dumps({**document, "crc32": _digest(document)}).encode())


def discard_after(directory: Path, step: int) -> list[Path]:
    """Moves aside all steps later than one, so that training can resume from it; deletes nothing.

    Args:
        directory: Directory of a `writer`, none of which may be open.
        step: The step to resume from.

    Returns:
        The new paths: `discarded-step_00000042`, with suffix `-1`, `-2`, ... if that exists.
    """
    moved = []
    for later in [each for each in steps(directory) if each > step and cluster.chief()]:
        names = (f"discarded-{_name(later)}{f'-{n}' if n else ''}" for n in itertools.count())
        free = next(directory / name for name in names if not (directory / name).exists())
        moved.append((directory / _name(later)).rename(free))
    cluster.wait("discard_after")  # else other processes might open a writer that still counts these steps
    return moved


def copy(source: Path, target: Path, step: int) -> None:
    """Copies a step to another directory of checkpoints, atomically."""
    partial = target / f"copying-{_name(step)}"
    shutil.copytree(source / _name(step), partial, dirs_exist_ok=True)
    partial.rename(target / _name(step))


Found = tuple[dict[str, np.ndarray], PyTree, dict]  # arrays by path, the tree of paths that is `ema`, and the meta


def _agreed(directory: Path, step: int | None, items: tuple[str, ...]) -> Found:
    """Reads as `_sound` does, on every process: either all get the same step, or all raise."""
    if not cluster.several():
        return _sound(directory, step, items, level=4)
    failure = None
    found: Found | None = None
    try:
        found = _sound(directory, step, items, level=4)
    except Exception as error:  # of any type: the other processes wait for the outcome
        failure = error
    reached = cluster.gathered(np.int32(found[2]["step"] if found else -1 if isinstance(failure, Damaged) else -2))
    lowest = min(reached)
    if failure and (lowest == -1 or not isinstance(failure, Damaged)):
        raise failure
    if found is None or lowest < 0:
        text = f"process {reached.index(lowest)} cannot restore {directory}; its own message says why"
        raise (Damaged if lowest == -1 else UserError)(text)
    return found if found[2]["step"] == lowest else _sound(directory, lowest, items, level=4)


def _sound(directory: Path, step: int | None, items: tuple[str, ...], level: int = 3) -> Found:
    """Reads the given step, or the newest undamaged one, and warns of damage to newer ones.

    A run in training may delete steps meanwhile, but only after it has written a newer one. So a failure is raised only
    if no newer step is left to try.
    """
    _present(directory, step)
    failed: dict[int, str] = {}
    while left := [each for each in steps(directory) if each not in failed and step in (None, each)]:
        newest = left[-1]
        try:
            found = _read(directory / _name(newest), items)
        except Damaged as error:
            failed[newest] = f"step {newest} is damaged ({str(error)[:200]})"
        except Exception as error:
            failed[newest] = f"step {newest} cannot be read"
            there = steps(directory)
            if newest in there and (step is not None or there[-1] in failed):
                error.add_note(f"while reading step {newest} of {directory}, which is left as it is")
                raise
        else:
            damaged = [failed[each] for each in reversed(steps(directory)) if each in failed and each > newest]
            if damaged:
                warnings.warn(f"{directory}: {'; '.join(damaged)}; using step {newest} instead", stacklevel=level)
            return found
    present = _present(directory, step)
    if step is None:
        remedy = "no other is there: train anew (--fresh)"
    else:
        deleted = ", or the run is being trained and deletes it" if step < present[-1] else ""
        remedy = f"try another of steps {present}{deleted}"
    raise Damaged(f"{directory}: {'; '.join(failed[each] for each in reversed(present) if each in failed)}; {remedy}")


def _present(directory: Path, step: int | None) -> list[int]:
    """Returns the existing steps; raises NotFound if there is none, or the given one is not among them."""
    present = steps(directory)
    if not present:
        raise NotFound(f"{directory} is not a directory of checkpoints: it holds no step_00000042 or the like")
    if step is not None and step not in present:
        raise NotFound(f"step {step} is not in {directory}: it holds steps {present}")
    return present


def _read(path: Path, items: tuple[str, ...]) -> Found:
    """Reads and verifies items of one step."""
    document = _meta(path)
    records = {name: record for name, record in document["arrays"].items() if _item(name) in items}
    arrays = {name: np.zeros(r["shape"], r["dtype"]) for name, r in records.items() if 0 in r["shape"]}
    for item in sorted({_item(name) for name in records.keys() - arrays.keys()}):
        arrays |= _arrays(path / item)
    wrong = [name for name, record in records.items() if name not in arrays or _record(arrays[name]) != record]
    if wrong:
        raise Damaged(f"the checksum, shape or dtype of {', '.join(wrong)} is wrong")
    return {name: arrays[name] for name in records}, document["ema"], document["meta"]


def _meta(path: Path) -> dict:
    """Reads and verifies the document of one step, as `_document` composed it."""
    with _undecodable():
        document = json.loads((path / META).read_bytes())
    if not isinstance(document, dict) or document.pop("crc32", None) != _digest(document):
        raise Damaged("the checksum of the meta is wrong")
    return document


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads the arrays of one item."""
    import orbax.checkpoint as ocp

    with _undecodable():
        json.loads((path / "_METADATA").read_bytes())  # Orbax takes a file that it cannot open for a missing one
        with ocp.Checkpointer(_handler()) as reader:
            return reader.restore(path.absolute())


@contextlib.contextmanager
def _undecodable() -> Iterator[None]:
    """Turns errors of missing and of undecodable files into `Damaged`; others stay as they are."""
    missing = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
    undecoded = (json.JSONDecodeError, UnicodeDecodeError, KeyError)  # KeyError: Orbax's JSON lacks a name
    try:
        yield
    except (*missing, *undecoded) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    except ValueError as error:  # the array store raises it for every failure
        text = str(error)
        system = re.search(r"os_error_code='([0-9]+)'", text)
        if system and "NOT_FOUND: " not in text:
            raise OSError(int(system[1]), text[:500]) from error
        if not UNDECODABLE.search(text):
            raise
        raise Damaged(text) from error


def _document(state: TrainState, arrays: dict[str, np.ndarray], meta: dict) -> dict:
    document = {
        "meta": {**meta, "step": int(arrays["step"])},
        "arrays": {path: _record(x) for path, x in arrays.items()},
        "ema": jax.tree_util.tree_map_with_path(lambda path, _: _path(path), state).ema,
    }
    document = json.loads(json.dumps(document))  # as it will be read: tuples become lists, keys strings
    return {**document, "crc32": _digest(document)}


def _check_finite(arrays: dict[str, np.ndarray], step: int) -> None:
    for path, x in arrays.items():
        if jnp.issubdtype(x.dtype, jnp.inexact) and not (finite := np.isfinite(x)).all():
            bad = x.size - np.count_nonzero(finite)
            raise Diverged(f"{path} is NaN or infinite in {bad} of {x.size} entries at step {step}: not saved")


def _flat(tree: PyTree) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    flat = {_path(path): leaf for path, leaf in leaves}
    if len(flat) < len(leaves):
        raise UserError("two arrays of the state have the same path: rename the parts that have a '/' in their names")
    return flat


def _path(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _item(path: str) -> str:
    return "ema" if path.startswith("ema/") else "state"


def _name(step: int) -> str:
    return f"step_{step:08d}"


def _describe(x: Any) -> str:
    return "absent" if x is None else f"{x.dtype}{list(x.shape)}"


def _record(x: np.ndarray) -> dict:
    data: Any = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
    return {"crc32": zlib.crc32(data), "shape": [*x.shape], "dtype": str(x.dtype)}


def _digest(document: dict) -> int:
    return zlib.crc32(json.dumps(document, sort_keys=True).encode())


def _handler() -> Any:
    """Builds Orbax's handler of an item, changed to wait for all arrays even if one fails.

    Orbax stops at the first error and closes the event loop under the others, whose errors then fill the terminal.
    """
    import orbax.checkpoint as ocp

    logging.getLogger("absl").addFilter(_unraised)  # for good: its threads may log after the error is raised

    async def every(operation: Callable, *lists: Any) -> list:
        calls = (operation(*([x] for x in each)) for each in zip(*lists, strict=True))
        ends = await asyncio.gather(*calls, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end
        return ends

    class Patient(ocp.type_handlers.NumpyHandler):
        async def deserialize(self, infos: Any, args: Any = None) -> Any:
            args = args or [ocp.type_handlers.RestoreArgs()] * len(infos)
            return [x for (x,) in await every(super().deserialize, infos, args)]

        async def _background_serialize(self, values: Any, infos: Any, args: Any) -> None:
            await every(super()._background_serialize, values, infos, args)

    patient = Patient(deepcopy_host_arrays=False)  # `save` has already copied them
    unused = ocp.type_handlers.ArrayHandler()  # but Orbax warns if there is none
    registry = ocp.type_handlers.create_type_handler_registry((np.ndarray, patient), (jax.Array, unused))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


@contextlib.contextmanager
def _disk_full(directory: Path) -> Iterator[None]:
    """Turns any error of a full disk, such as a ValueError of the array store, into an OSError that says so."""
    try:
        yield
    except Exception as error:
        if not any(sign in str(error) for sign in ("ENOSPC", "No space left", "EDQUOT", "quota exceeded")):
            raise
        text = "disk full: the newest checkpoint is not written, earlier ones are intact; free space and resume"
        raise OSError(errno.ENOSPC, text, str(directory)) from error


def _unraised(record: logging.LogRecord) -> bool:
    """Filters out the tracebacks, four per failure, that Orbax logs of exceptions that it also raises."""
    return not (record.exc_info and "orbax" in record.pathname)
