"""Multi-process training: how processes join a run, which of them writes, and when all stop.

Every process runs the same program on its own devices; `parallel.sharded` spreads a batch over the devices of all.
Environment variables, set by `gan_jax.launch` or the cluster, say how to join:

    GAN_JAX_COORDINATOR=HOST:PORT GAN_JAX_PROCESSES=4 GAN_JAX_PROCESS=0    address of process 0, count, index
    GAN_JAX_COORDINATOR=auto    detected by JAX: on Cloud TPUs, and under SLURM, Open MPI or Kubernetes
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
RESTARTS = "GAN_JAX_RESTARTS"  # how often the launcher has restarted this run
LAUNCHER = "GAN_JAX_LAUNCHER"  # file descriptor of a pipe whose other end stays open while the launcher lives
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # hosts that other machines cannot reach
HEARTBEAT = 10  # seconds without a heartbeat after which a process counts as dead; the others end some seconds later


def join() -> None:
    """Joins the multi-process run that the environment describes, if any; to be called before any JAX computation.

    All processes but the chief discard their standard output from then on.

    Raises:
        UserError: If an environment variable is missing or invalid, or JAX has already computed something.
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
            raise UserError(f"{COORDINATOR}={coordinator}: also set {PROCESSES} and {PROCESS} to numbers") from error
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
        raise UserError(
            f"{COORDINATOR}={coordinator}: cannot join, because a module ran a JAX computation when it was imported; "
            "move that computation into a function"
        ) from error
    if not chief():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  until the process ends


def _end_with_launcher() -> None:
    """Sends this process SIGTERM, so that it saves and ends, when its launcher ends or is killed."""
    pipe = int(os.environ.get(LAUNCHER, -1))
    if pipe < 0:
        return

    def watch() -> None:
        with suppress(OSError):  # a program between the launcher and this process has closed the pipe
            if stat.S_ISFIFO(os.fstat(pipe).st_mode) and os.read(pipe, 1) == b"":
                os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def several() -> bool:
    """Returns whether there is more than one process."""
    return jax.process_count() > 1


def chief() -> bool:
    """Returns whether this is process 0, which alone writes to the run directory."""
    return jax.process_index() == 0


def restarted() -> bool:
    """Returns whether the launcher has restarted this run, which must then continue despite a --fresh."""
    return int(os.environ.get(RESTARTS, 0)) > 0


@contextmanager
def notes(workdir: Path) -> Iterator[Path]:
    """Yields the directory for logs and pictures: the run directory on the chief, else a temporary one.

    Every process then runs the same code, and only the chief writes to the run directory.
    """
    if chief():
        yield workdir
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def wait(name: str) -> None:
    """Waits until every process has made this call.

    Args:
        name: Name of the barrier, the same on every process.
    """
    if several():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def preempted(before: int, at: int) -> bool:
    """Returns whether all processes must stop now, because one of them received SIGTERM some iterations ago.

    JAX picks the first iteration that no process has asked about yet and says yes to that one alone; Orbax asks about
    every step that it saves. So each process asks about every iteration, and all get yes after the same call.

    Args:
        before: Number of iterations before the last compiled call.
        at: Number of iterations now.
    """
    if not several():
        return False
    from jax.experimental import multihost_utils

    return any(multihost_utils.reached_preemption_sync_point(step) for step in range(before + 1, at + 1))


def gathered(number: np.int32 | np.uint32) -> list[int]:
    """Gathers a number from every process, in the order of processes; every process must call it."""
    if not several():
        return [int(number)]
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(number).tolist()


def require_equal(number: int, what: str) -> None:
    """Checks that a number is the same on every process; every process must call it.

    Args:
        number: In [0, 2^32).
        what: Name of the number, for the message.

    Raises:
        AssertionError: If it is not.
    """
    if len(set(gathered(np.uint32(number)))) > 1:
        raise AssertionError(f"processes disagree on {what}: a mean over the axis is missing")
