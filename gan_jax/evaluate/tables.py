"""Recorded scores of several runs side by side, one row each, as Markdown and CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from gan_jax.errors import NotFound, UserError
from gan_jax.evaluate.checkpoints import Shared, samples
from gan_jax.evaluate.requests import Request
from gan_jax.files import atomic, require_writable
from gan_jax.metrics import protocol
from gan_jax.metrics.protocol import SAME, Difference, Score
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import directories

Protocol = tuple  # the values of the fields that must agree in a comparison, `protocol.SAME`


class Row(NamedTuple):
    """The scores of one set of samples.

    Attributes:
        run: Directory of the scores.
        weights: What was scored, see `protocol.Score`.
        step: Step of the checkpoint.
        scores: Protocol, metric included -> score.
    """

    run: str
    weights: str
    step: int | None
    scores: dict[Protocol, Score]


def compare(
    runs: tuple[Path, ...],
    /,
    metrics: tuple[str, ...] = (),
    step: int | None = None,
    out: tuple[Path, ...] = (),
) -> None:
    """Recorded scores of several runs in one table, with their differences from the first run.

    A run without scores is scored first, as by `python -m gan_jax.evaluate RUN`. Each column is one metric under one
    protocol, so that its scores can be compared.

    Args:
        metrics: Metrics to show; by default all that are recorded.
        step: Step of the checkpoints; by default the newest that was scored, of each run.
        out: Files to which the table is written too, ending in .md or .csv.

    Raises:
        UserError: If there is nothing to show, or a file's name has another ending.
    """
    for path in out:
        if path.suffix not in (".md", ".csv"):
            raise UserError(f"--out {path}: give names that end in .md or .csv")
        require_writable(path)
    missing = [run for run in runs if not protocol.read(run)]
    for run in missing:
        if not directories.holds_run(run):
            raise NotFound(
                f"{run} has no {protocol.FILE}; give directories of runs, or those that python -m gan_jax.evaluate "
                "SAMPLES REAL --out DIRECTORY has written"
            )
    for run in missing:
        samples(run, Shared(), Request())
    rows = _ordered(row for run in runs for row in _rows(run, metrics, step))
    if not rows:
        raise UserError(
            f"--metrics {' '.join(metrics)}: no run has such a score; python -m gan_jax.evaluate RUN makes it"
        )
    page = markdown(rows)
    print(page)
    for path in out:
        with atomic(path) as file:
            file.write((page + "\n" if path.suffix == ".md" else comma_separated(rows)).encode())


def markdown(rows: Sequence[Row]) -> str:
    """Returns scores as a Markdown table: with differences from a column's first score, and the protocols below."""
    columns = _columns(rows)
    cells = [["run", "weights", "step", *columns.values()]]
    for row in rows:
        shown = []
        for key in columns:
            score, difference = row.scores.get(key), _difference(rows, row, key)
            text = protocol.measured(score.value, score.error) if score else ""
            shown.append(f"{text} ({protocol.measured(*difference, '+')})" if difference else text)
        cells.append([row.run, row.weights, "" if row.step is None else f"{row.step}", *shown])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in cells)
    lines = [f"| {' | '.join(line)} |" for line in padded]
    about: dict[str, list[str]] = {}
    for key, title in columns.items():
        about.setdefault(protocol.described(_first(rows, key).scores[key]), []).append(title)
    notes = [f"- {', '.join(titles)}: {text}" for text, titles in about.items()]
    if any(_difference(rows, row, key) for row in rows for key in columns):
        notes.append("- in brackets: the difference from the first row with a score in that column")
    return "\n".join([*lines, "", *notes])


def comma_separated(rows: Sequence[Row]) -> str:
    """Returns scores as CSV: for each metric its value, error, difference from the first row, and protocol."""
    columns, text = _columns(rows), io.StringIO()
    parts = ("", " error", " difference", " difference error", " protocol")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["run", "weights", "step", *(title + part for title in columns.values() for part in parts)])
    for row in rows:
        cells = []
        for key in columns:
            score, difference = row.scores.get(key), _difference(rows, row, key) or ("", "")
            cells += [score.value, score.error, *difference, protocol.described(score)] if score else [""] * len(parts)
        table.writerow([row.run, row.weights, "" if row.step is None else row.step, *cells])
    return text.getvalue()


def _rows(run: Path, metrics: Sequence[str], step: int | None) -> list[Row]:
    """Returns the rows of a directory of scores, one for each kind of weights or set of images."""
    scores = [score for score in protocol.read(run) if not metrics or score.metric in metrics]
    known = sorted({score.step for score in scores if score.step is not None})
    if step is not None and known and step not in known:
        raise UserError(f"--step {step}: {run} has scores of steps {', '.join(map(str, known))}; give one of them")
    rows = []
    for weights in dict.fromkeys(score.weights for score in scores):
        of_weights = [score for score in scores if score.weights == weights]
        newest = max((score.step for score in of_weights if score.step is not None), default=None)
        at = newest if None in (step, newest) else step
        at_step = {tuple(getattr(score, name) for name in SAME): score for score in of_weights if score.step == at}
        rows += [Row(str(run), weights, at, at_step)] if at_step else []
    return rows


def _ordered(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows, with those of training images (reference values) merged into one at the end."""
    generated, reference = [], {}
    for row in rows:
        if row.weights == TRAINING:
            reference |= row.scores
        else:
            generated.append(row)
    return [*generated, Row("", TRAINING, None, reference)] if reference else generated


def _columns(rows: Sequence[Row]) -> dict[Protocol, str]:
    """Returns protocol -> title: the metric, numbered where it was measured by several protocols."""
    keys = dict.fromkeys(key for row in rows for key in row.scores)
    titles = {}
    for metric in dict.fromkeys(key[0] for key in keys):
        of_metric = [key for key in keys if key[0] == metric]
        titles |= {key: metric if len(of_metric) == 1 else f"{metric} [{i}]" for i, key in enumerate(of_metric, 1)}
    return titles


def _first(rows: Sequence[Row], key: Protocol) -> Row:
    """Returns the row with which a column's others are compared."""
    return next(row for row in rows if key in row.scores)


def _difference(rows: Sequence[Row], row: Row, key: Protocol) -> Difference | None:
    """Returns the difference of a score from the first in its column; None for the first and for missing ones."""
    first = _first(rows, key)
    return protocol.compare(row.scores[key], first.scores[key]) if key in row.scores and row is not first else None
