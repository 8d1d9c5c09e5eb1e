"""Relative cost of an iteration by loss, term and rule: `python -m experiments.benchmarks.costs`.

The plain game has the non-saturating loss, no terms, and players in turns; unrolling uses the zero-sum loss. All games
are compiled first and then timed in turns, so that a slowdown of the machine affects all. A cost is the ratio of a
game's time to the plain game's in the same round: the median over rounds, with the range.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.laboratory import LOSSES, RULES, TERMS, Choice, build
from gan_jax import data, rng, rules
from gan_jax.cli import cli
from gan_jax.data import Dataset
from gan_jax.devices import parallel
from gan_jax.files import write_json
from gan_jax.runs import records


def main(
    choice: Choice = Choice(dataset="digits", terms=(), batch_size=32, latent_size=32, width=16),
    iterations: int = 10,
    rounds: int = 7,
    out: Path = Path("runs/costs.json"),
) -> None:
    """Times every game, and prints and writes a table.

    Args:
        choice: The plain game; each other game changes its loss, its terms or its rule.
        iterations: Iterations per turn.
        rounds: Turns of each game.
        out: The JSON file.
    """
    plain = dataclasses.replace(choice, loss="non_saturating", terms=(), rule="alternating")
    games = {"plain": plain}
    dataset = data.load(choice.dataset)
    images = dataset.spec.kind.is_image
    losses = [name for name in LOSSES if not images or name not in ("energy", "began")]  # these need an autoencoder
    games |= {f"loss {name}": dataclasses.replace(plain, loss=name) for name in losses if name != plain.loss}
    games |= {f"term {name}": dataclasses.replace(plain, terms=(name,)) for name in TERMS}
    games |= {f"rule {name}": dataclasses.replace(plain, rule=name) for name in RULES if name != plain.rule}
    # unrolling refuses a generator's loss of the fake logits alone
    games["rule unrolled"] = dataclasses.replace(games["rule unrolled"], loss="zero_sum")
    turns = {name: _turn(game, dataset, iterations) for name, game in games.items()}
    times = {name: [] for name in games}
    for _ in range(rounds):
        for name, turn in turns.items():
            times[name].append(turn())
    table = Table(f"{choice.dataset}, batch {choice.batch_size}", "ms", "cost", "least", "most")
    rows = {}
    for name, seconds in times.items():
        ratios = np.divide(seconds, times["plain"])
        figures = [1e3 * np.median(seconds) / iterations, np.median(ratios), ratios.min(), ratios.max()]
        rows[name] = [round(float(x), 3) for x in figures]
        table.add_row(name, *(f"{x:.2f}" for x in rows[name]))
    Console().print(table)
    record = {"rows": rows, "rounds": rounds, "plain": dataclasses.asdict(plain), "environment": records.environment()}
    write_json(out, record)
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table, as in README.md: a row per kind, sorted by cost."""
    lines = ["| | |", "| --- | --- |"]
    for kind in ("loss", "term", "rule"):
        costs = {name.split()[1]: row[1] for name, row in record["rows"].items() if name.startswith(kind)}
        cells = [f"`{name}` {cost:.2f}" for name, cost in sorted(costs.items(), key=lambda item: item[1])]
        lines.append(f"| {kind} | {', '.join(cells)} |")
    return "\n".join(lines)


def _turn(game: Choice, dataset: Dataset, iterations: int) -> Callable[[], float]:
    """Compiles a game; returns the function that makes some iterations and returns the seconds taken."""
    system = build(game, dataset.spec)
    draw = data.batches(len(dataset.arrays["image"]), game.batch_size, system.batches, kind=dataset.spec.kind)
    step = parallel.single(rules.many(system.update, draw, iterations))
    key, device = rng.key(0), jax.local_devices()[:1]
    state, arrays = parallel.replicate((system.init(rng.named(key, "init")), dataset.arrays), device)
    held = [jax.block_until_ready(step(state, arrays, key, iterations)[0])]

    def turn() -> float:
        began = time.perf_counter()
        held[0] = jax.block_until_ready(step(held[0], arrays, key, iterations)[0])
        return time.perf_counter() - began

    return turn


if __name__ == "__main__":
    cli(main, __doc__)
