"""Callbacks: functions that follow a run from outside the compiled step, such as those that feed a tracking service."""

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gan_jax.devices import cluster


class Event(NamedTuple):
    """Something that a run has written.

    Attributes:
        kind: "record": a line of the log, also of a score or of an event such as "resumed". "grid": a picture of
            samples. "checkpoint": a checkpoint, complete on disk.
        step: The iteration.
        values: The line of the log; empty for a "grid" or "checkpoint".
        path: The picture, or the directory of the checkpoint; None for a "record".
    """

    kind: Literal["record", "grid", "checkpoint"]
    step: int
    values: Mapping[str, Any] = {}
    path: Path | None = None

    @property
    def numbers(self) -> dict[str, float]:
        """The metrics and scores among the values."""
        return {} if "event" in self.values else {k: v for k, v in self.values.items() if isinstance(v, float)}


Callback = Callable[[Event], None]


def guarded(callbacks: Sequence[Callback]) -> Callback:
    """Returns one function that calls all in turn, in the process that writes the run's files.

    The first exception of each callback is printed, as an error that names the callback and the line that raised it.
    Training goes on, and the callback is called again, as a service may be out of reach only for a while.
    """
    failed: set[int] = set()

    def call(event: Event) -> None:
        for place, callback in enumerate(callbacks if cluster.chief() else ()):
            try:
                callback(event)
            except Exception as error:
                if place not in failed:
                    name = getattr(callback, "__name__", repr(callback))
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    print(
                        f"error: callback {name}: {type(error).__name__}: {error} ({last.filename}, line "
                        f"{last.lineno}), at the {event.kind} of step {event.step}; training goes on, and further "
                        "errors of this callback are not shown",
                        file=sys.stderr,
                        flush=True,
                    )
                failed.add(place)

    return call
