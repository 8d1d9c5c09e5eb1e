"""Progress of a run: a live line on a terminal, otherwise a plain line every few seconds."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

SHORT = {
    "loss": "loss",
    "accuracy_real": "acc real",
    "accuracy_fake": "acc fake",
    "probability_real": "D(x)",
    "probability_fake": "D(G(z))",
}


@contextmanager
def shown(start: int, steps: int, every: float = 10.0) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows the progress of a run.

    Args:
        start: Iterations already done.
        steps: Iterations in total.
        every: Seconds between lines if the output is no terminal.

    Yields:
        A function that takes the newest log record.
    """
    console = Console()
    if console.is_terminal:
        with Progress(*_columns(console.width), console=console, expand=True) as bar:
            task = bar.add_task("compiling", total=steps, completed=start)
            yield lambda record: bar.update(task, completed=record["step"], description=summary(record))
        return

    first: tuple[float, int] | None = None  # of the first record: time before it was compilation
    last = -math.inf

    def line(record: dict[str, Any]) -> None:
        nonlocal first, last
        now, step = time.monotonic(), record["step"]
        began, since = first = first or (now, step)
        if now - last < every and step < steps:
            return
        last = now
        left = f"{(now - began) / (step - since) * (steps - step):5.0f} s left" if step > since else " " * 12
        print(f"{step:>7}/{steps}  {left}  {summary(record)}", flush=True)

    yield line


def _columns(width: int) -> list[ProgressColumn]:
    """Returns the columns of the live line: step and time left in full, then as many metrics as fit."""
    whole = Column(no_wrap=True)
    columns = [MofNCompleteColumn(table_column=whole), TimeRemainingColumn(table_column=whole)]
    columns += [TextColumn("left", table_column=whole)]
    columns += [BarColumn(20)] if width >= 100 else []
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    return [*columns, TextColumn("{task.description}", table_column=rest)]


def summary(record: dict[str, Any]) -> str:
    """Returns a log record as one line of text."""
    parts = [f"{record['images_per_second']:.0f} images/s"] if "images_per_second" in record else []
    for name, value in record.items():
        player, _, metric = name.partition("/")
        if metric in SHORT:
            label = f"{player} loss" if metric == "loss" else SHORT[metric]
            parts.append(f"{label} {value:.2f}")
    return "  ".join(parts)
