"""A profiler's trace of a few iterations after warm-up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

FOLDER = "profile"  # in the run directory
WARM_UP, LENGTH = 10, 5  # iterations


@contextmanager
def traced(folder: Path | None, start: int) -> Iterator[tuple[tuple[int, ...], Callable[[int, Any], None]]]:
    """Traces the iterations from `start + WARM_UP` on, `LENGTH` of them, or as many as the run has left.

    Args:
        folder: Where the trace is written; None for no trace.
        start: The step at which training begins.

    Yields:
        The steps at which a compiled call must end; and `(step, state)`, to be called between calls.
    """
    bounds: tuple[int, ...] = () if folder is None else (start + WARM_UP, start + WARM_UP + LENGTH)

    def mark(step: int, state: Any) -> None:
        if folder is None or step not in bounds:
            return
        jax.block_until_ready(state)
        if step == start + WARM_UP:
            jax.profiler.start_trace(folder, create_perfetto_trace=True)
        else:
            jax.profiler.stop_trace()

    try:
        yield bounds, mark
    finally:
        with suppress(RuntimeError):  # it has been stopped, or was not started
            jax.profiler.stop_trace()


def use(run: Path) -> str:
    """Returns how to view a run's trace, or why it has none, as text."""
    traces = sorted((run / FOLDER).rglob("perfetto_trace.json.gz"))
    if not traces:
        return f"no profile: it begins {WARM_UP} iterations after the start, and this run had no more"
    return f"profile: open {traces[-1]} at https://ui.perfetto.dev, or: pip install xprof && xprof {run / FOLDER}"
