"""Charts of a run's log and scores, as SVG in the colours of the enclosing page, light or dark."""

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, NamedTuple

import numpy as np

from gan_jax.metrics import protocol

NOTES = {  # name of a usual chart, in order -> its caption
    "loss": "of the game, without penalties and other terms",
    "accuracy": "share of examples the discriminator classifies correctly",
    "probability": "D(x) of real examples, D(G(z)) of samples",
}
UNITS = {  # metric -> name, unit and scale of its chart
    "peak_bytes": ("peak memory", "MB", 1e-6),
    "images_per_second": ("images per second", "images/s", 1.0),
}
Line = dict[int, float]  # step -> value


class Chart(NamedTuple):
    """The content of a chart.

    Attributes:
        lines: Name -> line.
        note: Text after the title.
        errors: Name of a line -> its errors, drawn as bars.
        levels: Name -> value that does not depend on the step, drawn as a dashed line.
        unit: Unit of the values; "" where they have none.
    """

    lines: dict[str, Line]
    note: str
    errors: dict[str, Line]
    levels: dict[str, float]
    unit: str = ""


def of_log(log: Iterable[Mapping[str, Any]]) -> dict[str, Chart]:
    """Groups a log's metrics into charts: `player/name_real` and `_fake` of all players in one, without scores.

    Metrics of no player come last.

    Args:
        log: Records, each with its "step"; a later record of the same step replaces an earlier one.

    Returns:
        Name -> chart.
    """
    charts: dict[str, Chart] = {}
    for record in (record for record in log if "event" not in record):
        for key, value in record.items():
            if key not in ("step", "seconds") and not key.startswith("score/") and type(value) in (int, float):
                player, _, name = key.rpartition("/")
                name, side = match.groups() if (match := re.fullmatch("(.+)_(real|fake)", name)) else (name, "")
                name, unit, scale = UNITS.get(name, (name, "", 1.0))
                chart = charts.setdefault(name, Chart({}, NOTES.get(name, ""), {}, {}, unit))
                chart.lines.setdefault(f"{player} {side}".strip(), {})[record["step"]] = scale * value
    return {n: charts[n] for n in sorted(charts, key=lambda n: ([*NOTES, n].index(n), "" in charts[n].lines))}


def of_scores(scores: Iterable[Mapping[str, Any]]) -> list[tuple[str, Chart]]:
    """Groups scores into one chart per protocol: curves over steps, and scores of no step, such as training images.

    Args:
        scores: Lines of scores.jsonl, see `metrics.protocol`; a later line that differs only in value replaces an
            earlier one.

    Returns:
        Metric and chart of each protocol, in the order in which they were first scored.
    """
    charts: dict[tuple, Chart] = {}
    for score in scores:
        step, value, error = (score.get(name) for name in ("step", "value", "error"))
        if not (isinstance(value, int | float) and isinstance(step, int | None) and "metric" in score):
            continue
        chart = charts.setdefault(
            tuple(str(score.get(name, "")) for name in protocol.SAME), Chart({}, _note(score), {}, {})
        )
        label = f"{score.get('weights', '')}{f', seed {seed}' if (seed := score.get('seed')) else ''}"
        if step is None:
            chart.levels[label] = float(value)
        else:
            chart.lines.setdefault(label, {})[step] = float(value)
            chart.errors.setdefault(label, {})[step] = float(error) if isinstance(error, int | float) else 0.0
    return [(metric, chart) for (metric, *_), chart in charts.items()]


def _note(score: Mapping[str, Any]) -> str:
    """Describes a score's protocol, within which scores are comparable."""
    features, resize, settings = (score.get(name) or "" for name in ("features_name", "resize", "settings"))
    real, fake = (f"{n:,}" if type(n := score.get(name)) is int else "?" for name in ("real", "fake"))
    parts = [
        f"{features} {str(score.get('features', ''))[:8]}" if features else "",
        f"resize {resize}" if resize not in ("", "none") else "",
        settings,
        f"{real} {score.get('split', '')} examples of {score.get('data_name', 'the data')}, {fake} samples",
    ]
    return ", ".join(str(part) for part in parts if part)


def draw(name: str, chart: Chart, last: int) -> str:
    """Draws a chart over steps 0 to `last`, with its title and legend, as HTML.

    Colours are the page's CSS variables: `--c0` to `--c5` for lines, `--ce` for the grid, `--cf` for small text.
    """
    import matplotlib  # slow to import, and needed only here
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    note = chart.note
    plot, legend, levels, svg = Figure(figsize=(420 / 72, 200 / 72)), "", np.zeros(0), io.StringIO()
    axes = plot.add_axes((0.17, 0.2, 0.81, 0.77))
    for i, (label, line) in enumerate(chart.lines.items()):
        steps, values = np.array(sorted(line.items())).T
        legend += _entry(label, values[-1], f"var(--c{i % 6})")
        steps, values = steps[np.abs(values) < 1e30], values[np.abs(values) < 1e30]
        levels, colour = np.append(levels, values), f"#c0000{i % 6}"
        if label in chart.errors:
            errors = [chart.errors[label][int(step)] for step in steps]
            axes.margins(y=0.15)
            axes.errorbar(steps, values, errors, fmt="none", ecolor=colour, elinewidth=1.2, alpha=0.5)
        if len(values) > 100:  # draws the range of each stretch of steps, and smoothed means
            stretches = np.array_split(np.array([steps, values]), min(len(values) // 2, 300), axis=1)
            steps, values, low, high = np.array([(*part.mean(1), part[1].min(), part[1].max()) for part in stretches]).T
            axes.plot(steps.repeat(2), np.ravel([low, high], "F"), color=colour, lw=0.8, alpha=0.3)
            count = np.convolve(np.ones(len(values)), np.hanning(17), "same")
            values = np.convolve(values, np.hanning(17), "same") / count
        short = len(values) < 20
        axes.plot(steps, values, color=colour, lw=1.5, marker="." if short else "", clip_on=not short)
    for label, level in chart.levels.items():
        legend += _entry(label, level, "repeating-linear-gradient(90deg,var(--cf) 0 4px,transparent 4px 6px)")
        if abs(level) < 1e30:
            axes.axhline(level, color="#c0000f", lw=1.2, ls="--")
    limits = (-0.02, 1.02) if name in ("accuracy", "probability") and np.all(np.abs(levels - 0.5) <= 0.5) else None
    if len(levels) > 100 and limits is None:  # rare peaks must not flatten the curve
        low, high = np.percentile(levels, (0.5, 99.5))
        least, most = 1.5 * low - 0.5 * high, 1.5 * high - 0.5 * low
        beyond = [f"{level:,.4g}" for level in (levels.min(), levels.max()) if not least <= level <= most]
        if beyond and low < high:
            limits = max(least, levels.min()), min(most, levels.max())
            note += f" (outside the chart: {', '.join(beyond)})"
    axes.set(xlim=(0, last or 1), ylim=limits)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.locator_params(nbins=5)
    axes.set_xlabel("iteration", color="#c0000f", fontsize=10.5)
    axes.set_ylabel(chart.unit or name.replace("_", " "), color="#c0000f", fontsize=10.5, parse_math=False)
    axes.yaxis.set_label_coords(-0.155, 0.5)  # the same in all charts, left of numbers of seven characters
    axes.grid(axis="y", color="#c0000e", lw=0.8)
    axes.tick_params(length=0, pad=5, labelcolor="#c0000f", labelsize=10.5)
    axes.spines[:].set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        plot.savefig(svg, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    clutter = r'^.*?(?=<svg)| (?:xmlns(?::\w+)?|id)="(?:http|[\w.]+_\d)[^"]*"'  # names that clash in a page
    text = re.sub("#c0000([0-9a-f])", r"var(--c\1)", re.sub(clutter, "", svg.getvalue(), flags=re.DOTALL))
    title = f"{escape(name.replace('_', ' '))} <small>{escape(note)}</small>"
    return f"<figure><h3>{title}</h3><div>{legend}</div>{text}</figure>"


def _entry(label: str, value: float, colour: str) -> str:
    return f'<span style="--c:{colour}">{escape(label)} <b>{value:.4g}</b></span>'
