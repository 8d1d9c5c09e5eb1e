"""Timing of functions in turns, each in its own process.

In one process the threads of two libraries would hinder each other, and the memory peak would be that of both. In
turns, a slowdown of the machine affects all. On a CPU, memory is read from Linux's /proc.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import jax

Run = Callable[[int], Any]  # repeats an operation a number of times, and waits for it


class Racer(NamedTuple):
    """A function in its own process.

    Attributes:
        costs: "megabytes", the peak memory beyond that of imports, compilation included, of a GPU or else of the
            process; and "compiling", the seconds of the first call less those of a later one. Or "failed": the reason.
        connection: Connection to the process.
    """

    costs: dict[str, Any]
    connection: Connection


def enter(make: Callable[..., Run], *arguments: Any) -> Racer:
    """Creates a function in a new process, and calls it until it is compiled.

    Args:
        make: Returns the function; defined in a module, as the process imports it.
        arguments: Arguments of `make`.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=_serve, args=(there, make, arguments), daemon=True).start()
    there.close()
    return Racer(here.recv(), here)


def race(racers: Mapping[str, Racer], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Times racers in turns, and ends their processes.

    Args:
        racers: Name -> racer, none of which failed.
        rounds: Turns of each racer.
        seconds: Approximate length of a turn, which has at least one repetition.

    Returns:
        Name -> repetitions per second in each round.
    """

    def turn(name: str, count: int) -> float:
        racers[name].connection.send(count)
        return count / racers[name].connection.recv()

    counts = {name: max(1, round(seconds * turn(name, 4))) for name in racers}
    turns = [{name: turn(name, counts[name]) for name in racers} for _ in range(rounds)]
    for racer in racers.values():
        racer.connection.close()
    return {name: [each[name] for each in turns] for name in racers}


def _serve(connection: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    before = _memory()
    try:
        run = make(*arguments)
        first, *later = (_seconds(run, 4) for _ in range(3))
    except Exception as error:  # of any type: compilers raise many
        connection.send({"failed": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"})
        return
    connection.send({"megabytes": round((_memory() - before) / 1e6), "compiling": round(max(0, first - min(later)), 1)})
    with suppress(EOFError):  # the other end was closed
        while True:
            connection.send(_seconds(run, connection.recv()))


def _seconds(run: Run, count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def _memory() -> float:
    """Returns the peak memory so far, in bytes, of JAX and torch together."""
    if jax.default_backend() == "cpu":
        # not getrusage's peak, which starts from the parent process's memory
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(status["VmHWM"].split()[0]) * 1024
    torch: Any = sys.modules.get("torch")
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", 0) + (torch.cuda.max_memory_allocated() if torch else 0)
