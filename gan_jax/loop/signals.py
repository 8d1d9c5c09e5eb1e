"""Handling of the signals that ask a run to end: at once before its first iteration, later after it has saved."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from gan_jax.devices import cluster


def asking() -> list[signal.Signals]:
    """Returns the signals that ask a program to end: SIGINT, SIGTERM and, unless ignored (nohup), SIGHUP."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked


@contextmanager
def at_once(received: Sequence[signal.Signals] = ()) -> Iterator[None]:
    """Context in which a signal that asks the program to end does so at once; for phases that lose no iterations.

    With several processes it does nothing: a process that ended at once would leave the others waiting.

    Args:
        received: Signals that `noted` has collected before; the first ends the program now.

    Raises:
        SystemExit: At such a signal, after a line that says so.
    """
    if threading.current_thread() is not threading.main_thread() or cluster.several():
        yield  # only the main thread may handle signals
        return
    former = {number: signal.getsignal(number) for number in asking()}

    def end(number: int, frame: Any) -> None:
        with suppress(OSError):  # the terminal may be gone
            print(f"\nstopped by {signal.Signals(number).name}: nothing to save", flush=True)
        raise SystemExit(128 + number)

    for number in former:
        signal.signal(number, end)
    try:
        if received:
            end(received[0], None)
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def noted() -> Iterator[list[signal.Signals]]:
    """Collects signals that ask the program to end, in a list; a second signal of a kind ends the program as usual.

    With several processes nothing is collected: JAX handles SIGTERM itself, the other signals are passed on as SIGTERM,
    and `cluster.preempted` informs all processes.
    """
    received: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return
    former = {number: signal.getsignal(number) for number in asking()}

    def note(number: int, frame: Any) -> None:
        received.append(signal.Signals(number))
        with suppress(OSError):  # the terminal may be gone
            print("\nstopping after the current call, then saving", flush=True)
        signal.signal(number, former[signal.Signals(number)])

    def pass_on(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # KeyboardInterrupt would wait for the others, which wait for this one
        os.kill(os.getpid(), signal.SIGTERM)

    if cluster.several():
        former.pop(signal.SIGTERM)
    for number in former:
        signal.signal(number, pass_on if cluster.several() else note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
