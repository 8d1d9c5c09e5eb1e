"""A table of losses x terms x rules on any data: medians and ranges over seeds.

    python -m experiments.loss_zoo                        the standing table: six games, ring and grid, 5 seeds
    python -m experiments.loss_zoo --steps 2000           the same, in a quarter of the iterations
    python -m experiments.loss_zoo --datasets spiral --losses hinge relativistic --term-sets none r1 r1+r2 \\
        --rules alternating consensus
    python -m experiments.loss_zoo --datasets digits --losses hinge --width 16 --latent-size 32 --batch-size 32 \\
        --steps 2000 --seeds 0

experiments/laboratory/training.py defines the scores. All games share the other settings. The menu:
"""

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.laboratory import MENU, SAMPLES, Choice, play, scores, traced
from gan_jax import data
from gan_jax.cli import cli
from gan_jax.data.sources import toys
from gan_jax.errors import UserError
from gan_jax.files import atomic, write_json
from gan_jax.metrics.modes import perfect
from gan_jax.runs import records

STANDING: dict[str, dict[str, Any]] = {
    "non-saturating": {"loss": "non_saturating", "terms": ()},
    "non-saturating, R1": {"loss": "non_saturating", "terms": ("r1",)},
    "relativistic, R1 and R2": {"loss": "relativistic", "terms": ("r1", "r2")},
    "hinge, spectral norm": {"loss": "hinge", "terms": (), "d_norm": "spectral"},
    "Wasserstein, gradient penalty, 5 critic moves": {
        "loss": "wasserstein",
        "terms": ("gradient_penalty",),
        "d_steps": 5,
    },
    "least squares": {"loss": "least_squares", "terms": ()},
}


def main(
    datasets: tuple[str, ...] = ("ring", "grid"),
    losses: tuple[str, ...] = (),
    term_sets: tuple[str, ...] = ("none",),
    rules: tuple[str, ...] = ("alternating",),
    choice: Choice = Choice(),
    out: Path = Path("runs/loss_zoo.json"),
) -> None:
    """Trains all games on all data sets, prints the table, and writes it after every game.

    Args:
        datasets: Data sets, on each of which all games are trained.
        losses: Losses, combined with all of term_sets and rules; by default the six games of the standing table.
        term_sets: Sets of terms, each joined by +, such as none, r1 or r1+r2; only with losses.
        rules: Update rules; only with losses.
        choice: Settings that all games share.
        out: The JSON file; the table is also written as Markdown, with the suffix .md.
    """
    for field, many in (("dataset", "datasets"), ("loss", "losses"), ("terms", "term_sets"), ("rule", "rules")):
        if getattr(choice, field) != getattr(Choice(), field):
            raise UserError(f"{field}: the loss zoo trains several of them; give {many} instead")
    games = STANDING if not losses else _product(losses, term_sets, rules)
    for dataset, changes in itertools.product(datasets, games.values()):  # a refusal comes before hours of training
        traced(dataclasses.replace(choice, dataset=dataset, **changes), data.load(dataset).spec)
    rows: list[dict[str, Any]] = []
    for dataset, (name, changes) in itertools.product(datasets, games.items()):
        game = dataclasses.replace(choice, dataset=dataset, **changes)
        began = time.monotonic()
        system, last, _ = play(game)
        results = scores(game, system, last)
        minutes = round((time.monotonic() - began) / 60, 2)
        rows.append({"data": dataset, "game": name, "choice": dataclasses.asdict(game), "minutes": minutes})
        rows[-1] |= {"scores": {score: [line[score] for line in results] for score in results[0]}}
        record = {"rows": rows, "samples": SAMPLES, "environment": records.environment()}
        write_json(out, record)
        with atomic(out.with_suffix(".md")) as file:
            file.write(f"{markdown(rows)}\n".encode())
        summary = ", ".join(f"{score} {cell}" for score, cell in zip(results[0], cells(rows[-1]), strict=True))
        print(f"{len(rows)}/{len(datasets) * len(games)} {dataset}: {name}: {summary}, {minutes} minutes", flush=True)
    for dataset in datasets:
        Console().print(_table([row for row in rows if row["data"] == dataset]))


def cells(row: dict[str, Any]) -> list[str]:
    """Returns the cells of a game's scores: the median, with the range where seeds differ."""
    texts = []
    for values in row["scores"].values():
        ends = {f"{min(values):.3g}", f"{max(values):.3g}"}
        spread = f" ({min(values):.3g} to {max(values):.3g})" if len(ends) > 1 else ""
        texts.append(f"{np.median(values):.3g}{spread}")
    return texts


def markdown(rows: list[dict[str, Any]]) -> str:
    """Returns the Markdown tables, one per data set, as README.md shows them."""
    tables = []
    for dataset, group in itertools.groupby(rows, lambda row: row["data"]):
        lines = [[row["game"], *cells(row)] for row in group]
        scores = next(list(row["scores"]) for row in rows if row["data"] == dataset)
        head = [dataset, *(score.replace("_", " ") for score in scores)]
        lines = [head, ["---"] * len(head), *lines, *_perfect(dataset)]
        tables.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(tables)


def _product(losses: tuple[str, ...], term_sets: tuple[str, ...], rules: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    def terms(joined: str) -> tuple[str, ...]:
        return () if joined == "none" else tuple(joined.split("+"))

    return {
        f"{loss}, {joined}, {rule}": {"loss": loss, "terms": terms(joined), "rule": rule}
        for loss, joined, rule in itertools.product(losses, term_sets, rules)
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(rows[0]["data"], *rows[0]["scores"], "minutes")
    for row in rows:
        table.add_row(row["game"], *cells(row), f"{row['minutes']:.1f}")
    for line in _perfect(rows[0]["data"]):
        table.add_row(*line, "")
    return table


def _perfect(dataset: str) -> list[list[str]]:
    """Returns the row of a perfect sampler, where its scores are known."""
    if dataset not in toys.MIXTURES:
        return []
    return [["a perfect sampler", *(f"{value:.3g}" for value in perfect(toys.MIXTURES[dataset](), SAMPLES))]]


if __name__ == "__main__":
    cli(main, f"{__doc__}\n{MENU}")
