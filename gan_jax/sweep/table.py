"""The table of a sweep: scores by setting, over seeds."""

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gan_jax.files import atomic
from gan_jax.metrics import protocol
from gan_jax.metrics.protocol import Score
from gan_jax.runs import charts, log
from gan_jax.sweep.members import Member, finished


class Row(NamedTuple):
    """The results of one setting.

    Attributes:
        settings: Swept flag -> its value, without the seed.
        runs: Number of its finished runs.
        means: Metric -> mean over the runs.
        spreads: Metric -> standard deviation over the runs, if there are at least two.
    """

    settings: dict[str, str]
    runs: int
    means: dict[str, float]
    spreads: dict[str, float]


def rows(members: Sequence[Member]) -> list[Row]:
    """Returns the results of finished runs by setting: their newest scores, otherwise their last logged metrics."""
    groups: dict[tuple[tuple[str, str], ...], list[dict[str, float]]] = {}
    for member in members:
        results = groups.setdefault(tuple(item for item in member.settings.items() if item[0] != "seed"), [])
        if finished(member):
            scores = {score.metric: score.value for score in newest(member.directory)}
            results.append(scores or _logged(member.directory))
    table = []
    for settings, results in groups.items():
        names = dict.fromkeys(name for each in results for name in each)
        values = {name: [each[name] for each in results if name in each] for name in names}
        means = {name: statistics.fmean(each) for name, each in values.items()}
        spreads = {name: statistics.stdev(each) for name, each in values.items() if len(each) > 1}
        table.append(Row(dict(settings), len(results), means, spreads))
    return table


def newest(run: Path) -> list[Score]:
    """Returns the scores of the last scored step of a run, of averaged weights; none if it was never scored."""
    scores = [score for score in protocol.read(run) if score.step is not None and score.weights == "averaged"]
    last = max((score.step or 0 for score in scores), default=0)
    return [score for score in scores if score.step == last]


def write(members: Sequence[Member], out: Path) -> str:
    """Writes OUT/table.md and OUT/table.csv; returns the text of the former."""
    results = rows(members)
    settings = list(results[0].settings)
    metrics = list(dict.fromkeys(name for row in results for name in row.means))
    shown = [name for name in metrics if "/" not in name or name.endswith("/loss")] or metrics  # without other logs
    sheet, cells = io.StringIO(), []
    table = csv.writer(sheet, lineterminator="\n")
    table.writerow([*settings, "runs", *(heading for name in metrics for heading in (name, f"{name} spread"))])
    for row in results:
        values = [(row.means.get(name, ""), row.spreads.get(name, "")) for name in metrics]
        table.writerow([*row.settings.values(), row.runs, *(value for pair in values for value in pair)])
        cells.append([*row.settings.values(), str(row.runs), *(_cell(row, name) for name in shown)])
    lines = [_line([*settings, "runs", *shown]), _line(["---"] * (len(settings) + 1 + len(shown)))]
    text = "\n".join([*lines, *map(_line, cells), "", *_notes(members)]) + "\n"
    for name, content in (("table.md", text), ("table.csv", sheet.getvalue())):
        with atomic(out / name) as file:
            file.write(content.encode())
    return text


def _logged(run: Path) -> dict[str, float]:
    """Returns the metrics of the last log record."""
    records = [record for record in log.read(run) if "event" not in record] or [{}]
    return {name: value for name, value in records[-1].items() if "/" in name and isinstance(value, float)}


def _notes(members: Sequence[Member]) -> list[str]:
    """Says what the numbers are: their protocols, and which runs are missing."""
    done = [member for member in members if finished(member)]
    scores = [score._asdict() for member in done for score in newest(member.directory)]
    what = "newest scores of averaged weights" if scores else "last logged losses; table.csv has all metrics"
    protocols: dict[str, list[str]] = {}
    for metric, chart in charts.of_scores(scores):
        protocols.setdefault(chart.note, []).append(metric)
    missing = [member.directory.name for member in members if member not in done]
    notes = [f"Mean ± standard deviation over the finished runs of a setting, of their {what}."]
    notes += [f"{', '.join(metrics)}: {note}." for note, metrics in protocols.items()]
    notes += [f"Not finished: {'; '.join(missing)}."] if missing else []
    return [f"- {note}" for note in notes]


def _cell(row: Row, name: str) -> str:
    if name not in row.means:
        return ""
    return f"{row.means[name]:.4g}" + (f" ± {row.spreads[name]:.2g}" if name in row.spreads else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
