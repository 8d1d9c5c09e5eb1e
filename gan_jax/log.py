"""A run's log: one JSON record a line in `metrics.jsonl`, and TensorBoard events made from the same records."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gan_jax.pictures import atomic
from gan_jax.types import Metrics

Record = dict[str, Any]


def read(run: Path) -> list[Record]:
    """Returns the records of a run, oldest first; a last line cut short by a crash is left out."""
    path, records = run / "metrics.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


@contextmanager
def writer(run: Path, step: int) -> Iterator[Callable[[Record], None]]:
    """Opens the log of a run that stands at a step, and forgets what came later: a continued run writes that again.

    Args:
        run: The run directory.
        step: The last step to keep.

    Yields:
        A function that appends a record: a "step", and numbers or text by name.
    """
    from tensorboardX import SummaryWriter

    kept = [record for record in read(run) if record["step"] <= step]
    with atomic(run / "metrics.jsonl") as file:
        file.write("".join(json.dumps(record) + "\n" for record in kept).encode())
    shutil.rmtree(run / "tensorboard", ignore_errors=True)  # events cannot be taken back, so they are made anew
    events = SummaryWriter(str(run / "tensorboard"))

    def show(record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, float):
                events.add_scalar(name, value, record["step"])

    with (run / "metrics.jsonl").open("a") as lines:

        def write(record: Record) -> None:
            lines.write(json.dumps(record) + "\n")
            lines.flush()
            show(record)

        try:
            for record in kept:
                show(record)
            yield write
        finally:
            events.close()


def means(calls: list[tuple[int, Metrics]], first: int) -> dict[str, float]:
    """Fetches the metrics of some calls and averages them over their iterations.

    Raises:
        FloatingPointError: Naming the first iteration and metric that is not finite.
    """
    fetched = [{name: np.asarray(values)[:count] for name, values in metrics.items()} for count, metrics in calls]
    series = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    bad = {
        name: int(np.argmin(np.isfinite(values))) for name, values in series.items() if not np.isfinite(values).all()
    }
    if bad:
        name = min(bad, key=lambda n: bad[n])
        raise FloatingPointError(f"{name} is {series[name][bad[name]]} at step {first + bad[name] + 1}")
    return {name: float(np.mean(values)) for name, values in series.items()}
