"""Speed of a population against its members in turn: `python -m experiments.benchmarks.populations`.

The members are seeds. In turn, one compiled program runs them, with several iterations per call as in `loop.run`; at
once, `gan_jax.loop.population` runs them on one device. Both are compiled first and then timed alternately, so that a
slowdown of the machine affects both. A gain is the ratio of the time in turn to that at once: the median over rounds,
with the range. Compilation times of both programs are given separately: if learning rates or weights differ instead of
seeds, each member in turn compiles its own program.
"""

import dataclasses
import importlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from gan_jax import data, rng, rules
from gan_jax.cli import cli
from gan_jax.data import Dataset
from gan_jax.devices import parallel
from gan_jax.files import write_json
from gan_jax.loop import population
from gan_jax.loop.settings import LONGEST, Run, validated
from gan_jax.runs import records

WAYS = ("in_turn", "at_once")
_HEAD = ("experiment", "members", "in turn", "at once", "gain", "compiling")
Turn = Callable[[int], float]  # iterations of every member -> seconds


def main(
    experiments: tuple[str, ...] = ("dcgan,dataset=ring", "mlp_gan"),
    members: tuple[int, ...] = (2, 8, 32),
    rounds: int = 7,
    seconds: float = 2.0,
    out: Path = Path("runs/populations.json"),
) -> None:
    """Times populations, and prints and writes a table.

    Args:
        experiments: Modules in experiments/, with ",dataset=NAME" if wanted; dcgan on points has two hidden layers.
        members: Sizes of populations.
        rounds: Turns of each way.
        seconds: Approximate length of one turn.
        out: The JSON file.
    """
    rows = []
    for experiment in experiments:
        name, *changes = experiment.split(",")
        module = importlib.import_module(f"experiments.{name}")
        config = dataclasses.replace(module.Config(), **dict(change.split("=") for change in changes))
        dataset = data.load(config.dataset)
        for count in members:
            configs = [dataclasses.replace(config, seed=seed) for seed in range(count)]
            measured = _compare(module, dataset, configs, rounds, seconds)
            rows.append({"experiment": experiment, "members": count, "batch_size": config.batch_size} | measured)
            print(f"{experiment}, {count} members: gain {rows[-1]['gain'][0]:.2f}", flush=True)
    table = Table(*_HEAD)
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)
    record = {"rows": rows, "rounds": rounds, "environment": records.environment()}
    write_json(out, record)
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table, as in README.md; times are for one iteration of every member."""
    lines = [_HEAD, ["---"] * len(_HEAD), *(_cells(row) for row in record["rows"])]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: dict[str, Any]) -> list[str]:
    times = [f"{row[way]:.3g} ms" for way in WAYS]
    gain = "{:.2f} ({:.2f} to {:.2f})".format(*row["gain"])
    compiling = " / ".join(f"{row['compile_seconds'][way]:.0f}" for way in WAYS)
    return [row["experiment"], str(row["members"]), *times, gain, f"{compiling} s"]


def _compare(module: Any, dataset: Dataset, configs: Sequence[Any], rounds: int, seconds: float) -> dict[str, Any]:
    ways: dict[str, Turn] = {}
    compiled, counts = {}, {}
    for name, make in zip(WAYS, (_in_turn, _at_once), strict=True):
        began = time.perf_counter()
        ways[name] = make(module, dataset, configs)
        compiled[name] = round(time.perf_counter() - began, 2)
        per_call = validated(configs[0].run).steps_per_call
        counts[name] = min(LONGEST, per_call * max(1, round(seconds / ways[name](per_call))))
    seconds_each = [{name: turn(counts[name]) / counts[name] for name, turn in ways.items()} for _ in range(rounds)]
    gains = [each["in_turn"] / each["at_once"] for each in seconds_each]
    times = {name: float(f"{1e3 * np.median([each[name] for each in seconds_each]):.4g}") for name in ways}
    gain = [round(float(x), 3) for x in (np.median(gains), min(gains), max(gains))]
    return times | {"gain": gain, "compile_seconds": compiled, "config": records.fields(configs[0])}


def _in_turn(module: Any, dataset: Dataset, configs: Sequence[Any]) -> Turn:
    """Compiles one program for all members; returns the function that runs them one after the other."""
    config, device = configs[0], jax.local_devices()[:1]
    system = module.build(config, dataset.spec)
    draw = data.batches(len(dataset.arrays["image"]), config.batch_size, system.batches, kind=dataset.spec.kind)
    per_call = validated(config.run).steps_per_call
    step = parallel.single(rules.many(system.update, draw, per_call))
    init = jax.jit(lambda key: system.init(rng.named(key, "init")))
    keys = parallel.replicate([rng.key(each.seed) for each in configs], device)
    states = parallel.replicate([init(key) for key in keys], device)
    arrays = parallel.replicate(dataset.arrays, device)

    def turn(iterations: int) -> float:
        began = time.perf_counter()
        for place, key in enumerate(keys):
            for _ in range(0, iterations, per_call):
                states[place], _ = step(states[place], arrays, key, min(per_call, iterations))
            jax.block_until_ready(states[place])
        return time.perf_counter() - began

    turn(per_call)
    return turn


def _at_once(module: Any, dataset: Dataset, configs: Sequence[Any]) -> Turn:
    """Compiles the population; returns the function that runs it from its start."""
    longest = [dataclasses.replace(config, run=Run(steps=LONGEST)) for config in configs]
    run = population.program(module.build, dataset, longest, devices=jax.local_devices()[:1])

    def turn(iterations: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(run(iterations))
        return time.perf_counter() - began

    turn(validated(configs[0].run).steps_per_call)
    return turn


if __name__ == "__main__":
    cli(main, __doc__)
