"""Restoring states, verified: the given step, or the newest undamaged one."""

import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax.devices import cluster
from gan_jax.errors import NotFound, UserError
from gan_jax.runs.checkpoint import integrity, store
from gan_jax.runs.checkpoint.directory import step_name, steps
from gan_jax.runs.checkpoint.integrity import Damaged
from gan_jax.types import PyTree, TrainState


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
    expected = integrity.flat(like)
    differ = [
        f"{path} is {there} in the checkpoint, but {here} in this system"
        for path in sorted(expected.keys() | arrays.keys())
        if (there := _describe(arrays.get(path))) != (here := _describe(expected.get(path)))
    ]
    if differ:
        raise UserError(
            f"step {meta['step']} of {directory} is undamaged, but does not fit this system in {len(differ)} arrays: "
            f"{'; '.join(differ[:5])}{' ...' * (len(differ) > 5)}. Build with the configuration it was saved with "
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


def restore_arrays(directory: Path, step: int | None = None) -> tuple[dict[str, np.ndarray], dict]:
    """Restores all arrays of a state by path, such as `params/generator/Dense_0/kernel`, without `like`.

    Returns:
        Path -> host array; and the meta. Arguments and errors are those of `restore`.
    """
    arrays, _, meta = _sound(directory, step, ("state", "ema"))
    return arrays, meta


def read_meta(directory: Path, step: int | None = None) -> dict:
    """Reads the meta of a step, and no arrays; arguments and errors are those of `restore`."""
    return _sound(directory, step, ())[2]


Contents = tuple[dict[str, np.ndarray], PyTree, dict]  # arrays by path, the tree of paths that is `ema`, and the meta


def _agreed(directory: Path, step: int | None, items: tuple[str, ...]) -> Contents:
    """Reads as `_sound` does, on every process: either all get the same step, or all raise."""
    if not cluster.several():
        return _sound(directory, step, items, level=4)
    failure = None
    result: Contents | None = None
    try:
        result = _sound(directory, step, items, level=4)
    except Exception as error:  # of any type: the other processes wait for the outcome
        failure = error
    reached = cluster.gathered(np.int32(result[2]["step"] if result else -1 if isinstance(failure, Damaged) else -2))
    lowest = min(reached)
    if failure and (lowest == -1 or not isinstance(failure, Damaged)):
        raise failure
    if result is None or lowest < 0:
        text = f"process {reached.index(lowest)} cannot restore {directory}; see its error message"
        raise (Damaged if lowest == -1 else UserError)(text)
    return result if result[2]["step"] == lowest else _sound(directory, lowest, items, level=4)


def _sound(directory: Path, step: int | None, items: tuple[str, ...], level: int = 3) -> Contents:
    """Reads the given step, or the newest undamaged one, and warns of damage to newer ones.

    A run in training may delete steps meanwhile, but only after it has written a newer one. So a failure is raised only
    if no newer step is left to try.
    """
    _present(directory, step)
    failed: dict[int, str] = {}
    while left := [each for each in steps(directory) if each not in failed and step in (None, each)]:
        newest = left[-1]
        try:
            result = _read(directory / step_name(newest), items)
        except Damaged as error:
            failed[newest] = f"step {newest} is damaged ({str(error)[:200]})"
        except Exception as error:
            failed[newest] = f"step {newest} cannot be read"
            there = steps(directory)
            if newest in there and (step is not None or there[-1] in failed):
                error.add_note(f"while reading step {newest} of {directory}, which is unchanged")
                raise
        else:
            damaged = [failed[each] for each in reversed(steps(directory)) if each in failed and each > newest]
            if damaged:
                warnings.warn(f"{directory}: {'; '.join(damaged)}; using step {newest} instead", stacklevel=level)
            return result
    present = _present(directory, step)
    if step is None:
        remedy = "there is no other checkpoint: train again from the start (--fresh)"
    else:
        deleted = "; or the run is still training and has deleted it" if step < present[-1] else ""
        remedy = f"try another of steps {present}{deleted}"
    raise Damaged(f"{directory}: {'; '.join(failed[each] for each in reversed(present) if each in failed)}; {remedy}")


def _present(directory: Path, step: int | None) -> list[int]:
    """Returns the existing steps; raises NotFound if there is none, or the given one is not among them."""
    present = steps(directory)
    if not present:
        raise NotFound(
            f"{directory} is not a directory of checkpoints: it has no folder such as step_00000042; give the "
            "checkpoints folder of a run"
        )
    if step is not None and step not in present:
        raise NotFound(f"step {step} is not in {directory}: give one of the steps {present}")
    return present


def _read(path: Path, items: tuple[str, ...]) -> Contents:
    """Reads and verifies items of one step."""
    document = integrity.read_document(path)
    records = {name: record for name, record in document["arrays"].items() if integrity.item(name) in items}
    arrays = {name: np.zeros(r["shape"], r["dtype"]) for name, r in records.items() if 0 in r["shape"]}
    for item in sorted({integrity.item(name) for name in records.keys() - arrays.keys()}):
        arrays |= store.read(path / item)
    wrong = [name for name, record in records.items() if name not in arrays or integrity.record(arrays[name]) != record]
    if wrong:
        raise Damaged(f"the checksum, shape or dtype of {', '.join(wrong)} is wrong")
    return {name: arrays[name] for name in records}, document["ema"], document["meta"]


def _describe(x: Any) -> str:
    return "absent" if x is None else f"{x.dtype}{list(x.shape)}"
