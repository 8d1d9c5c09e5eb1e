"""Several processes on one machine, supervised.

    python -m gan_jax.launch --processes 2 -- python -m experiments.dcgan

Each runs the command, and all train one run together. When one dies (killed, out of memory, crashed), the others would
wait for it for ever: all are ended, started again, and go on from the last checkpoint. A command that ends by itself
with an error (exit status 1 or 2: bad input, divergence) is not repeated. SIGTERM, Ctrl-C and the closing of the
terminal (SIGHUP) are passed on: all agree on a step, save, and end. They do so too when the launcher itself is killed.

On several machines the cluster starts the processes: see `gan_jax.devices.cluster` for the environment that each needs.
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

GRACE = 5.0  # seconds in which the others may end by themselves; where one was killed, they wait for it for ever
FINAL = (1, 2, 130, -signal.SIGINT)  # exit statuses of a command that has told why it failed, or was interrupted


def main(
    command: Annotated[tuple[str, ...], tyro.conf.Positional],
    processes: int = 2,
    restarts: int = 3,
) -> None:
    """Runs a command in several processes that train together, and starts all again when one dies.

    Args:
        command: The command, after "--".
        processes: How many. Each sees all of the machine's devices unless told otherwise, by CUDA_VISIBLE_DEVICES for
            instance; on a CPU each is one device.
        restarts: How often all are started again before the launcher gives up.
    """
    if processes < 1 or restarts < 0:
        raise UserError(f"processes={processes}, restarts={restarts}: give at least 1 process, and no negative number")
    if not command or shutil.which(command[0]) is None:
        raise UserError(f"command: {' '.join(command[:1]) or 'none'} cannot be run; give one after --, such as python")
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
            text = f"launch: starting all {processes} again, from the last checkpoint ({attempt + 1} of {restarts})"
            print(text, file=sys.stderr, flush=True)
    raise SystemExit(f"launch: gave up after {restarts} restarts; the same command goes on from the last checkpoint")


def _run(command: Sequence[str], count: int, attempt: int, asked: list[int]) -> tuple[int, int] | None:
    """Runs the processes to their end; returns the first that failed and its status, None if none did."""
    address = f"127.0.0.1:{free_port()}"
    shared = {COORDINATOR: address, PROCESSES: str(count), RESTARTS: str(attempt)}
    pipe, held = os.pipe()  # closed with this process, however it ends
    shared[LAUNCHER] = str(pipe)
    options: dict[str, Any] = {"start_new_session": True, "pass_fds": [pipe]}  # the launcher passes Ctrl-C on
    running = [
        subprocess.Popen(command, env=os.environ | shared | {PROCESS: str(index)}, **options) for index in range(count)
    ]
    told = False
    try:
        while True:
            statuses = [process.poll() for process in running]
            failed = next(((i, status) for i, status in enumerate(statuses) if status), None)
            if failed or all(status == 0 for status in statuses):
                return failed
            if asked and not told:
                told = True
                for process in running:
                    process.terminate()
            time.sleep(0.1)
    finally:
        _end(running)
        os.close(pipe)
        os.close(held)


def _end(running: Sequence[subprocess.Popen]) -> None:
    """Kills what still runs, all that each has started too; after a while in which it may end as another one did."""
    deadline = time.monotonic() + GRACE
    if all((process.poll() or 0) >= 0 for process in running):
        while any(process.poll() is None for process in running) and time.monotonic() < deadline:
            time.sleep(0.1)
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Returns a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    cli(main, __doc__)
