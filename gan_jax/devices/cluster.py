"""Several processes that train one run: how each joins, who writes, and when all stop.

Every process runs the same program on its own devices; `parallel.sharded` spreads a batch over the devices of all. What
they are told is in the environment, as `gan_jax.launch` and clusters set it:

    GAN_JAX_COORDINATOR=HOST:PORT GAN_JAX_PROCESSES=4 GAN_JAX_PROCESS=0    which of how many; where process 0 listens
    GAN_JAX_COORDINATOR=auto    JAX finds all of it: on Cloud TPUs, and under SLURM, Open MPI or Kubernetes
"""

import os
import signal
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
import numpy as np

from gan_jax.errors import UserError

COORDINATOR, PROCESSES, PROCESS = "GAN_JAX_COORDINATOR", "GAN_JAX_PROCESSES", "GAN_JAX_PROCESS"
RESTARTS = "GAN_JAX_RESTARTS"  # how often the launcher has started this run again
LAUNCHER = "GAN_JAX_LAUNCHER"  # the descriptor of a pipe whose other end the launcher holds until it ends
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # which no other machine can reach
HEARTBEAT = 10  # seconds of silence after which a process counts as dead; the others then end, some seconds later


def join() -> None:
    """Joins the processes that the environment names, if any; before JAX computes anything. All but one fall silent.

    Raises:
        UserError: If a part of the environment is missing or not a number, or JAX has computed already.
    """
    coordinator = os.environ.get(COORDINATOR)
    if not coordinator:
        return
    _end_with_launcher()
    options = {}
    if coordinator != "auto":
        try:
            count, index = (int(os.environ[name]) for name in (PROCESSES, PROCESS))
        except (KeyError, ValueError) as error:
            raise UserError(f"{COORDINATOR}={coordinator} needs the numbers {PROCESSES} and {PROCESS} too") from error
        if not 0 <= index < count:
            raise UserError(f"{PROCESS}={index}: with {PROCESSES}={count} it must be 0 to {count - 1}")
        options = {"coordinator_address": coordinator, "num_processes": count, "process_id": index}
        if coordinator.rpartition(":")[0] in LOOPBACK:
            options["coordinator_bind_address"] = coordinator  # JAX's default accepts other machines
    try:
        jax.distributed.initialize(**options, heartbeat_timeout_seconds=HEARTBEAT)
    except RuntimeError as error:
        if "must be called before" not in str(error):
            raise
        mend = "a module has computed with JAX when it was imported; move that into functions"
        raise UserError(f"{COORDINATOR}={coordinator}: it is too late to join, as {mend}") from error
    if not chief():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  until the process ends


def _end_with_launcher() -> None:
    """Sends this process SIGTERM, so that it saves and ends, when its launcher has ended, even by being killed."""
    pipe = int(os.environ.get(LAUNCHER, -1))
    if pipe < 0:
        return

    def watch() -> None:
        with suppress(OSError):  # a program between the launcher and this one has closed it
            if stat.S_ISFIFO(os.fstat(pipe).st_mode) and os.read(pipe, 1) == b"":
                os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def several() -> bool:
    """Returns whether there is more than one process."""
    return jax.process_count() > 1


def chief() -> bool:
    """Returns whether this is the process that writes what only one may."""
    return jax.process_index() == 0


def restarted() -> bool:
    """Returns whether the launcher has started this run again, so that it must go on whatever its command says."""
    return int(os.environ.get(RESTARTS, 0)) > 0


@contextmanager
def notes(workdir: Path) -> Iterator[Path]:
    """Yields where this process writes its log and pictures: the run directory, or for all but one a place of its own.

    So every process runs the same code, and the run directory has one writer.
    """
    if chief():
        yield workdir
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def wait(name: str) -> None:
    """Waits until every process is here."""
    if several():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def preempted(before: int, at: int) -> bool:
    """Returns whether all processes are to stop here, as one has received SIGTERM some iterations ago.

    JAX agrees on the first number that no process has asked about yet, and says yes to that alone; Orbax asks about
    every step that it saves. So each process asks about every iteration, and all hear yes after the same call.

    Args:
        before: Iterations made before the last call.
        at: Iterations made by now.
    """
    if not several():
        return False
    from jax.experimental import multihost_utils

    return any(multihost_utils.reached_preemption_sync_point(step) for step in range(before + 1, at + 1))


def gathered(number: np.int32 | np.uint32) -> list[int]:
    """Returns the number that each process gives, in the order of processes; every process calls it."""
    if not several():
        return [int(number)]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(number).tolist()


def require_equal(number: int, what: str) -> None:
    """Checks that a number is the same on every process.

    Raises:
        AssertionError: If it is not.
    """
    if len(set(gathered(np.uint32(number)))) > 1:
        raise AssertionError(f"processes disagree on {what}: a mean over the axis is missing")
