"""Signals that ask a run to end, noted, so that it can save first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gan_jax import cluster


@contextmanager
def noted() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT and SIGTERM rather than ending; a second one of a kind kills, as ever.

    Of several processes none is collected: JAX notes SIGTERM itself, and `cluster.preempted` tells all of them.
    """
    received: list[signal.Signals] = []
    if cluster.several() or threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return

    def note(number: int, frame: Any) -> None:
        received.append(signal.Signals(number))
        print("\nstopping after this call, and saving", flush=True)
        signal.signal(number, former[signal.Signals(number)])

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
