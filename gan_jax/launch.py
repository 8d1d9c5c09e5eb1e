"""Launcher of several supervised processes on one machine.

    python -m gan_jax.launch --processes 2 -- python -m experiments.dcgan

Every process runs the command, and all train one run together. If one dies (killed, out of memory, crashed), the others
would wait for it forever: the launcher ends all, starts them again, and they resume from the last checkpoint. A command
that exits with an error of its own (status 1 or 2: bad input, divergence) is not restarted. SIGTERM, Ctrl-C and closing
the terminal (SIGHUP) are passed on: all processes agree on a step, save, and exit. They also do so if the launcher is
killed.

On several machines the cluster starts the processes: see `gan_jax.devices.cluster` for the environment of each.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from gan_jax.cli import cli
from gan_jax.devices.cluster import COORDINATOR, LAUNCHER, PROCESS, PROCESSES, RESTARTS
from gan_jax.errors import UserError
from gan_jax.loop import signals

GRACE = 5.0  # seconds for the others to exit by themselves; if one was killed, they would wait for it forever
FINAL = (1, 2, 130, -signal.SIGINT)  # statuses that are not restarted: an error with a message, or an interrupt


def main(
    command: Annotated[tuple[str, ...], tyro.conf.Positional],
    processes: int = 2,
    restarts: int = 3,
) -> None:
    """Runs a command in several processes that train together, and restarts all if one dies.

    Args:
        command: The command, after "--".
        processes: Number of processes. Each sees all of the machine's devices, unless CUDA_VISIBLE_DEVICES or the like
            restricts it; on a CPU each is one device.
        restarts: Number of restarts before the launcher gives up.
    """
    if processes < 1 or restarts < 0:
        raise UserError(f"processes={processes}, restarts={restarts}: give at least 1 process, and 0 restarts or more")
    if not command or shutil.which(command[0]) is None:
        raise UserError(f"command {' '.join(command[:1])!r} is no program; give one after --, such as python")
    asked: list[int] = []
    for number in signals.asking():
        signal.signal(number, lambda n, frame: asked.append(n))
    for attempt in range(restarts + 1):
        died = _run(command, processes, attempt, asked)
        if died is None:
            return
        index, status = died
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        print(f"launch: process {index} {how}", file=sys.stderr, flush=True)
        if asked or status in FINAL:
            raise SystemExit(status if status > 0 else 128 - status)
        if attempt < restarts:
            text = f"launch: restarting all {processes} from the last checkpoint (restart {attempt + 1} of {restarts})"
            print(text, file=sys.stderr, flush=True)
    raise SystemExit(f"launch: gave up after {restarts} restarts; the same command continues from the last checkpoint")


def _run(command: Sequence[str], count: int, attempt: int, asked: list[int]) -> tuple[int, int] | None:
    """Runs the processes until they exit; returns the index and status of the first that failed, None if none did."""
    address = f"127.0.0.1:{free_port()}"
    shared = {COORDINATOR: address, PROCESSES: str(count), RESTARTS: str(attempt)}
    pipe, held = os.pipe()  # closed when this process ends, in whatever way
    shared[LAUNCHER] = str(pipe)
    options: dict[str, Any] = {"start_new_session": True, "pass_fds": [pipe]}  # the launcher passes Ctrl-C on
    running = [
        subprocess.Popen(command, env=os.environ | shared | {PROCESS: str(index)}, **options) for index in range(count)
    ]
    terminated = False
    try:
        while True:
            statuses = [process.poll() for process in running]
            failed = next(((i, status) for i, status in enumerate(statuses) if status), None)
            if failed or all(status == 0 for status in statuses):
                return failed
            if asked and not terminated:
                terminated = True
                for process in running:
                    process.terminate()
            time.sleep(0.1)
    finally:
        _end(running)
        os.close(pipe)
        os.close(held)


def _end(running: Sequence[subprocess.Popen]) -> None:
    """Kills the processes that still run, with their children; first waits `GRACE` if none was killed by a signal."""
    deadline = time.monotonic() + GRACE
    if all((process.poll() or 0) >= 0 for process in running):
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.1)
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Returns a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    cli(main, __doc__)
