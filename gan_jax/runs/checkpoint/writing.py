"""Saving states, in the background."""

import contextlib
import errno
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gan_jax.errors import Diverged, UserError
from gan_jax.runs.checkpoint import integrity, store
from gan_jax.runs.checkpoint.directory import step_name, steps
from gan_jax.types import TrainState


@contextlib.contextmanager
def writer(directory: Path, keep: int = 2, wait: bool = False) -> Iterator[Callable[[TrainState, dict], Path]]:
    """Opens a directory for writing checkpoints; on exit waits for the last one and closes.

    `save(state, meta)` copies the state to the host before it returns, so that the caller may donate it at once, and
    writes in the background: an error there is raised by the next save, or on exit. Every process calls it.

    Args:
        directory: Directory of the steps; created if it does not exist.
        keep: Number of newest steps to keep.
        wait: Whether `save` returns only when the step is completely written.

    Yields:
        `save(state, meta)`, which saves at `int(state.step)` and returns the path of that step; `meta` is a dict that
        JSON can hold.

    Raises:
        UserError: If `keep` is less than 1, or the directory cannot hold checkpoints; from `save`, if the step is not
            later than all existing ones.
        Diverged: From `save`, if an array is not finite, naming it: a checkpoint never holds NaN.
        OSError: If the disk is full (ENOSPC). Earlier checkpoints stay, whatever is raised.
    """
    if keep < 1:
        raise UserError(f"keep={keep} would leave no checkpoint: give 1 or more")
    require_writable(directory)
    with store.opened(directory, keep, wait) as put:

        def save(state: TrainState, meta: dict) -> Path:
            leaves = jax.device_get(integrity.flat(state))  # starts all transfers before waiting for the first
            arrays = {path: np.array(x, order="C") for path, x in leaves.items()}  # on CPU device_get does not copy
            step = int(arrays["step"])
            _check_finite(arrays, step)
            items: dict[str, store.Arrays] = {}
            for path, x in arrays.items():
                if x.size:
                    items.setdefault(integrity.item(path), {})[path] = x
            if not put(step, integrity.compose(state, arrays, meta), items):
                raise UserError(
                    f"step {step} was not saved: {directory} already has steps {steps(directory)}, and a new step "
                    "must be later; to continue from an earlier step, call discard_after first"
                )
            return directory / step_name(step)

        yield save


def require_writable(directory: Path) -> None:
    """Creates a directory for checkpoints, and checks that files can be written there and its path read back.

    Raises:
        UserError: If no file can be written there, or the path has a character that the array store misreads.
    """
    path = str(directory.absolute())
    if odd := re.search(r"[\\\[\ud800-\udfff]", path):  # an escape, a pattern, a name that is not UTF-8
        raise UserError(
            f"{path!r}: checkpoints cannot be read back from a path that contains {odd[0]!r}; give another directory"
        )
    try:
        with store.disk_full(directory):
            directory.mkdir(parents=True, exist_ok=True)
            trial = directory / f".writable-{uuid.uuid4().hex}"
            try:
                trial.write_bytes(b"yes")
            finally:
                trial.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise
        remedy = "give another directory, or make this one writable"
        raise UserError(f"{directory}: checkpoints cannot be written there ({error.strerror}); {remedy}") from error


def _check_finite(arrays: dict[str, np.ndarray], step: int) -> None:
    for path, x in arrays.items():
        if jnp.issubdtype(x.dtype, jnp.inexact) and not (finite := np.isfinite(x)).all():
            bad = x.size - np.count_nonzero(finite)
            raise Diverged(
                f"{path} is NaN or infinite in {bad} of {x.size} entries at step {step}; the checkpoint was not saved"
            )
