"""A run's report as one HTML page: samples, scores, curves, explorations, events, configuration, sampling commands.

`python -m gan_jax.runs.report RUN` writes RUN/report.html from the files of the run. The page is self-contained. Files
that are missing, as in a run still in training, are left out.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import tyro

from gan_jax import files, pictures
from gan_jax.cli import cli
from gan_jax.data import kinds
from gan_jax.devices import memory
from gan_jax.errors import NotFound
from gan_jax.runs import charts, figures, log

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#20252b;--soft:#f5f6f7;--ce:#e6e8eb;--cf:#69717b;
--c0:#2f6fb3;--c1:#d0702a;--c2:#3c8a5b;--c3:#8b5fae;--c4:#b5484f;--c5:#2b8c99}
@media(prefers-color-scheme:dark){:root{--page:#15181c;--ink:#dde1e6;--soft:#1d2126;--ce:#2b3037;--cf:#98a1ac;
--c0:#6aa5e3;--c1:#eb9a5b;--c2:#6fbf8d;--c3:#b795d8;--c4:#e58087;--c5:#63c2cf}}
*{box-sizing:border-box;overflow-wrap:anywhere;font-variant-numeric:tabular-nums} h3,dl,dd,figure,pre{margin:0}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1040px;margin:auto;padding:40px 20px 64px} header p{margin:4px 0 20px} h3{font-size:14px}
h1{font-size:32px;line-height:1.2;letter-spacing:-.02em;margin:0} h2{font-size:17px;margin:48px 0 14px}
header p,small,b,dt,figcaption,th{color:var(--cf);font-size:13px;font-weight:400} h3+div{font-size:13px}
dl{display:flex;flex-wrap:wrap;gap:12px 36px} dd{font-size:17px} section>div{display:grid;gap:28px 20px}
.sheets{display:flex;flex-wrap:wrap;align-items:start} .pixels{image-rendering:pixelated} img{max-width:100%}
.whole{max-width:none} figure:has(.whole){overflow-x:auto} .set td{font-weight:600} .set small{margin-left:12px}
.charts{grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr))} svg text{font-family:inherit!important}
figure{min-width:0;max-width:100%;break-inside:avoid} svg{width:100%}
img,svg{display:block;height:auto;overflow:visible;margin-bottom:6px}
h3+div span,h3+div span:before{display:inline-block;margin-right:16px} table{border-collapse:collapse;max-width:760px}
h3+div span:before{content:"";width:14px;height:3px;margin:0 6px 4px 0;background:var(--c)}
th,td{text-align:left;vertical-align:baseline;padding:5px 16px 5px 0;border-bottom:1px solid var(--ce)} th{width:34%}
table{width:100%;table-layout:fixed} pre{padding:14px 16px;background:var(--soft);white-space:pre-wrap;font-size:13px}
@media print{main{padding:0} h2{break-after:avoid} tr{break-inside:avoid} *{print-color-adjust:exact}}
"""


def write(run: Path | str) -> Path:
    """Writes RUN/report.html from the files of a run so far; returns the path of the page.

    Raises NotFound if `run` holds no run.json, or one that is no JSON object.
    """
    run = Path(run)
    about = next(_objects(run / "run.json", whole=True), None)
    if about is None:
        raise NotFound(f"{run / 'run.json'} is missing or broken: {run} is not a run directory")
    experiment, data, environment = (about.get(key, {}) for key in ("experiment", "data", "environment"))
    experiment.pop("text", None)  # of a notebook; it is in experiment.py
    lines = [record for record in _objects(run / "metrics.jsonl") if isinstance(record.get("step"), int)]
    samples = pictures.by_step(run / "samples")
    scores = charts.of_scores(_objects(run / "scores.jsonl"))
    scored = (step for _, chart in scores for line in chart.lines.values() for step in line)
    last = max([record["step"] for record in lines] + [*samples, *scored], default=0)
    devices = environment.get("devices") or 1
    seconds = [record["seconds"] for record in lines if isinstance(record.get("seconds"), int | float)]
    peak = log.peak(lines)
    parent = about.get("parent", {})
    facts = {
        "data set": data.get("name"),
        "initialised from": parent and f"{parent.get('path')} at step {parent.get('step', 0):,}",
        "steps": f"{last:,}",
        "minutes": f"{seconds[-1] / 60:,.1f}" if seconds else None,
        "peak memory": memory.text(peak) if peak else None,
        "parameters": ", ".join(f"{name} {count:,}" for name, count in about.get("parameters", {}).items()),
        "device": environment.get("device") and f"{environment['device']}{f' × {devices}' if devices != 1 else ''}",
    }
    terms = (f"<div><dt>{term}</dt><dd>{escape(str(fact))}</dd></div>" for term, fact in facts.items() if fact)
    title = (experiment.get("module") or Path(experiment.get("file") or "").stem).rpartition(".")[2]
    name = escape(title or run.resolve().name)
    captions = about.get("captions", {})
    events = []
    for event in (record for record in lines if "event" in record):
        values = (f"{k} {v}".removeprefix("message ") for k, v in event.items() if k not in ("step", "event"))
        events.append((f"{event['step']:,} {event['event']}", ", ".join(values)))
    outputs = ("grid", "files", "npz", "interpolation", "traversal")
    explored = figures.explored(run / "explore")
    missing = [kind for kind in figures.EXPLORATIONS if not any(path.name.startswith(kind) for path, _ in explored)]
    asked = [("sample", kind) for kind in outputs]
    if "columns by label" in captions.get("samples", ""):
        first = [shlex.quote(str(title)) for title in data.get("class_names", range(data.get("classes") or 0))][:2]
        asked.insert(1, ("sample", f"grid --labels {' '.join(first)}"))
    asked += [("explore", kind) for kind in missing if kinds.of_record(data) == kinds.image.name]
    if "source" in data:
        asked = [("translate", "--input DIRECTORY --output DIRECTORY")]
    commands = "\n".join(f"python -m gan_jax.{module} {shlex.quote(str(run))} {kind}" for module, kind in asked)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{name}</title><style>{STYLE}</style></head><body><main>
<header><h1>{name}</h1><p>{escape(str(run))}</p><dl>{"".join(terms)}</dl></header>
{_section("Samples", figures.samples(run, captions, last), "sheets")}
{_section("Evolution", figures.evolution(run), "sheets")}
{_section("Codes", figures.varied(run, captions), "sheets")}
{_section("Scores", [charts.draw(*each, last) for each in scores], "charts")}
{_section("Curves", [charts.draw(*each, last) for each in charts.of_log(lines).items()], "charts")}
{_section("Exploration", [figures.figure(*each, most=None) for each in explored], "sheets")}
{_section("Events", _table(events))}
{_section("Sampling", [f"<pre>{escape(commands)}</pre>"])}
{_section("Configuration", _table(_settings(about)))}
{_section("Data", _table(_flat(data)))}
{_section("Environment", _table(_flat({"experiment": experiment, **environment})))}</main></body></html>
"""
    with files.atomic(run / "report.html") as stream:
        stream.write(page.encode("utf-8", "replace"))
    return run / "report.html"


def outdated(run: Path) -> bool:
    """Returns whether a run has a log, but no report or one older than the log."""
    page, log = run / "report.html", run / "metrics.jsonl"
    return log.is_file() and (not page.is_file() or page.stat().st_mtime < log.stat().st_mtime)


def _objects(path: Path, whole: bool = False) -> Iterator[dict[str, Any]]:
    """Reads the JSON objects of a file, one per line or one as a whole; skips what does not parse."""
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    for part in [text] if whole else text.split("\n"):
        with suppress(ValueError):
            if isinstance(value := json.loads(part), dict):
                yield value


def _section(title: str, items: Sequence[str], layout: str = "") -> str:
    return f'<section><h2>{title}</h2><div class="{layout}">{"".join(items)}</div></section>' if items else ""


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Returns a table of names and values; a row with a note is marked."""
    cells = "\n".join(
        f"<tr{' class=set' if note else ''}><th>{escape(name)}</th><td>{escape(value)}"
        f"{f'<small>{escape(note[0])}</small>' if note else ''}</td></tr>"
        for name, value, *note in rows
    )
    return [f"<table>{cells}</table>"] if cells else []


def _settings(about: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields the settings; those that differ from their default, or were changed during the run, with a note."""
    defaults, changes = dict(_flat(about.get("defaults", {}))), about.get("changes", [])
    for name, value in _flat(about.get("config", {})):
        notes = [f"default: {defaults[name]}"] if defaults.get(name, value) != value else []
        notes += [f"from step {c['step']:,}: {_text(c['new'])}" for c in changes if c["field"] == name]
        yield (name, value, *([", ".join(notes)] if notes else []))
    for name in ("freeze", "parent"):
        yield from ((*row, "") for row in _flat({name: about[name]} if name in about else {}))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main(run: tyro.conf.Positional[Path]) -> None:
    """Writes RUN/report.html, a page that shows the run in the directory RUN.

    Args:
        run: A run directory, such as runs/dcgan-digits.
    """
    print(write(run))


if __name__ == "__main__":
    cli(main)
