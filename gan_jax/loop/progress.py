"""Progress of a run: a line for each log record, and on a terminal a live line below them.

A notebook is no terminal to rich, and shows the lines.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gan_jax.cli import duration

SHORT = {
    "loss": "loss",
    "accuracy_real": "acc real",
    "accuracy_fake": "acc fake",
    "probability_real": "D(x)",
    "probability_fake": "D(G(z))",
}


@contextmanager
def shown(start: int, steps: int, quiet: bool = False) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Shows the progress of a run.

    Args:
        start: Iterations already done.
        steps: Iterations in total.
        quiet: Show nothing.

    Yields:
        A function that takes the newest log record.
    """
    if quiet:
        yield lambda record: None
        return
    console = Console()
    line = _lines(steps, console.width if console.is_terminal else None)
    if not console.is_terminal:
        yield lambda record: print(line(record), flush=True)
        return
    parts = (MofNCompleteColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("left"), BarColumn(None))
    with Progress(*parts, console=console, expand=True) as bar:
        task = bar.add_task("", total=steps, completed=start)

        def show(record: dict[str, Any]) -> None:
            bar.console.print(line(record), markup=False, highlight=False, no_wrap=True, crop=False)
            bar.update(task, completed=record["step"])

        yield show


def _lines(steps: int, width: int | None) -> Callable[[dict[str, Any]], str]:
    """Returns the function that formats a record as a line: step, percentage done, time left, and metrics that fit."""
    first: tuple[float, int] | None = None  # of the first record: the time before it includes compilation

    def line(record: dict[str, Any]) -> str:
        nonlocal first
        now, step = time.monotonic(), record["step"]
        began, since = first = first or (now, step)
        left = f"{duration((now - began) / (step - since) * (steps - step))} left" if step > since else ""
        text = f"{step:>7}/{steps}  {100 * step // steps:>3}%  {left:>10}"
        for part in summary(record):
            if width is not None and len(text) + 2 + len(part) > width:
                break
            text += f"  {part}"
        return text

    return line


def summary(record: dict[str, Any]) -> list[str]:
    """Returns the parts of a line about a log record, the most informative first."""
    parts = [f"{record['images_per_second']:.0f} images/s"] if "images_per_second" in record else []
    for name, value in record.items():
        player, _, metric = name.partition("/")
        if metric in SHORT:
            label = f"{player} loss" if metric == "loss" else SHORT[metric]
            parts.append(f"{label} {value:.2f}")
    return parts
