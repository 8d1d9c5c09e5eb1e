"""Orbax: arrays and documents of steps on disk. The only importer of Orbax, lazily: importing it takes a second."""

import asyncio
import contextlib
import errno
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax.runs.checkpoint.integrity import META, undecodable

Arrays = dict[str, np.ndarray]


@contextlib.contextmanager
def opened(directory: Path, keep: int, wait: bool) -> Iterator[Callable[[int, dict, dict[str, Arrays]], bool]]:
    """Opens a directory of steps for writing; on exit waits for the last write, and raises its error.

    Args:
        directory: The directory.
        keep: Number of newest steps to keep.
        wait: Whether each write is waited for.

    Yields:
        `put(step, document, items)`, which writes in the background unless `wait`, where `items` maps "state" and "ema"
        to non-empty arrays by path. Returns False, and writes nothing, if the step is not later than all existing ones.
        Raises the error of the write before.
    """
    import orbax.checkpoint as ocp

    def put(step: int, document: dict, items: dict[str, Arrays]) -> bool:
        saves: dict[str, Any] = {name: ocp.args.PyTreeSave(arrays) for name, arrays in items.items()}
        with disk_full(directory):
            saved = manager.save(step, args=ocp.args.Composite(meta=ocp.args.JsonSave(document), **saves))
            if wait:
                manager.wait_until_finished()
            return saved

    options = ocp.CheckpointManagerOptions(
        preservation_policy=ocp.checkpoint_managers.LatestN(keep),
        step_prefix="step",
        step_format_fixed_length=8,
        cleanup_tmp_directories=True,  # half-written steps of a killed run
    )
    handlers = {"state": _handler(), "ema": _handler(), "meta": ocp.JsonCheckpointHandler(META.name)}
    manager = ocp.CheckpointManager(directory.absolute(), options=options, item_handlers=handlers)
    try:
        yield put
    finally:
        with disk_full(directory), contextlib.ExitStack() as stack:
            stack.callback(manager.close)  # also if waiting raises
            manager.wait_until_finished()


def read(path: Path) -> Arrays:
    """Reads the arrays of one item.

    Raises:
        Damaged: If a file is missing or cannot be decoded.
    """
    import orbax.checkpoint as ocp

    with undecodable():
        json.loads((path / "_METADATA").read_bytes())  # Orbax takes a file that it cannot open for a missing one
        with ocp.Checkpointer(_handler()) as reader:
            return reader.restore(path.absolute())


@contextlib.contextmanager
def disk_full(directory: Path) -> Iterator[None]:
    """Turns any error of a full disk, such as a ValueError of the array store, into an OSError that says so."""
    try:
        yield
    except Exception as error:
        if not any(sign in str(error) for sign in ("ENOSPC", "No space left", "EDQUOT", "quota exceeded")):
            raise
        text = "disk full: the newest checkpoint was not saved, earlier ones are intact; free some space and resume"
        raise OSError(errno.ENOSPC, text, str(directory)) from error


def _handler() -> Any:
    """Builds Orbax's handler of an item, with a type handler that waits for all arrays even if one fails.

    Works around a bug of Orbax 0.12.8: its `NumpyHandler` gathers all arrays in one event loop, and at the first error
    closes the loop under the others, whose errors then fill the terminal ("Event loop is closed", "exception was never
    retrieved"). Both directions are affected. Writing has no public method to override: `serialize` of one array at a
    time would start a thread for each. Should Orbax rename `_background_serialize`, only the noise returns.
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

    patient = Patient(deepcopy_host_arrays=False)  # the caller has already copied them
    unused = ocp.type_handlers.ArrayHandler()  # but Orbax warns if there is none
    registry = ocp.type_handlers.create_type_handler_registry((np.ndarray, patient), (jax.Array, unused))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


def _unraised(record: logging.LogRecord) -> bool:
    """Filters out the tracebacks, four per failure, that Orbax logs of exceptions that it also raises."""
    return not (record.exc_info and "orbax" in record.pathname)
