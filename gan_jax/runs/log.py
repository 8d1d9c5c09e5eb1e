"""A run's log: one JSON record per line of `metrics.jsonl`, and TensorBoard events made from the same records."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gan_jax.errors import Diverged
from gan_jax.files import atomic
from gan_jax.types import Metrics

Record = dict[str, Any]

STARTED, RESUMED = "started", "resumed"  # events that precede the first iteration of a process


class Log(NamedTuple):
    """An open log.

    Attributes:
        record: Appends a record: a "step", and numbers or text by name.
        picture: `(step, path)`: shows a PNG or GIF of samples in TensorBoard.
    """

    record: Callable[[Record], None]
    picture: Callable[[int, Path], None]


def read(run: Path) -> list[Record]:
    """Returns the records of a run, oldest first.

    A line that is no record is skipped, and a warning gives its number. A last line cut short by a crash is skipped
    silently.
    """
    lines = _lines(run)
    if bad := [str(number) for number, (_, record) in enumerate(lines, 1) if record is None]:
        which = f"{', '.join(bad[:5])}{' and others' if len(bad) > 5 else ''}"
        warnings.warn(f"{run / 'metrics.jsonl'}: skipped lines that are not records: {which}", stacklevel=2)
    return [record for _, record in lines if record is not None]


def peak(records: Iterable[Record]) -> int | None:
    """Returns the highest peak memory in the records of a run, in bytes; None if none has one."""
    peaks = [record["peak_bytes"] for record in records if isinstance(record.get("peak_bytes"), int | float)]
    return int(max(peaks)) if peaks else None


@contextmanager
def writer(run: Path, step: int, settings: Mapping[str, Any] | None = None) -> Iterator[Log]:
    """Opens a run's log at a step for appending, and drops later records, which a resumed run writes again.

    Lines that are no records stay, and so do TensorBoard's files: a new file marks the step from which older ones no
    longer count.

    Args:
        run: The run directory.
        step: The last step to keep.
        settings: Settings to show in TensorBoard.

    Yields:
        The log.
    """
    from tensorboardX import SummaryWriter
    from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

    path, folder = run / "metrics.jsonl", run / "tensorboard"
    content = b"".join(line + b"\n" for line, record in _lines(run) if record is None or record["step"] <= step)
    if not path.exists() or path.read_bytes() != content:
        with atomic(path) as file:
            file.write(content)
    older = len(list(folder.glob("events.out.tfevents.*")))
    # the suffix distinguishes files of the same second, and keeps them in order
    events = SummaryWriter(str(folder), purge_step=step + 1 if older else None, filename_suffix=f".{older:04d}")
    if settings:
        rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
        events.add_text("settings", f"| setting | value |\n| --- | --- |\n{rows}", step)
    with path.open("a") as lines:

        def write(record: Record) -> None:
            lines.write(json.dumps(record) + "\n")
            lines.flush()
            for name, value in record.items():
                if isinstance(value, float) and "event" not in record:
                    events.add_scalar(name, value, record["step"])

        def show(at: int, file: Path) -> None:
            with Image.open(file) as opened:
                width, height = opened.size
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=file.read_bytes())
            assert events.file_writer
            events.file_writer.add_summary(Summary(value=[Summary.Value(tag="samples", image=image)]), at)

        try:
            yield Log(write, show)
        finally:
            events.close()


def _lines(run: Path) -> list[tuple[bytes, Record | None]]:
    """Returns the lines of a log, each with its record or None, without a truncated last line."""
    path = run / "metrics.jsonl"
    *ended, last = path.read_bytes().split(b"\n") if path.exists() else [b""]
    lines = [(line, _record(line)) for line in ended]
    return [*lines, (last, record)] if (record := _record(last)) else lines


def _record(line: bytes) -> Record | None:
    try:
        value = json.loads(line)
    except ValueError:  # no JSON, or no UTF-8
        return None
    return value if isinstance(value, dict) and type(value.get("step")) is int else None


def means(calls: list[tuple[int, Metrics]], first: int) -> dict[str, float]:
    """Fetches the metrics of several calls from the device, and averages them over all iterations.

    Args:
        calls: For each call, the number of its iterations and its metrics, `[at least that many]`.
        first: Step before the first call.

    Raises:
        Diverged: If a metric is not finite; names the first such metric and its step.
    """
    fetched = [{name: np.asarray(values)[:count] for name, values in metrics.items()} for count, metrics in calls]
    series = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    bad = {
        name: int(np.argmin(np.isfinite(values))) for name, values in series.items() if not np.isfinite(values).all()
    }
    if bad:
        name = min(bad, key=lambda n: bad[n])
        raise Diverged(f"{name} is {series[name][bad[name]]} at step {first + bad[name] + 1}")
    return {name: float(np.mean(values)) for name, values in series.items()}
