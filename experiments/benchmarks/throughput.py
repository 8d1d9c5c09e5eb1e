"""Images per second of experiments, against Flax's stock layers: `python -m experiments.benchmarks.throughput`.

Two ways of computing the same iterations are timed in turns, so that a slowdown of the machine affects both:

    gan_jax   many iterations per call, convolutions in the platform's formulation (`networks.layers.conv`)
    stock     one iteration per call, convolutions by the operators of `nn.Conv` and `nn.ConvTranspose`

One iteration per call suits the stock operators best on a CPU, where their gradients are far slower inside a loop. A
speed is the median over rounds; a ratio is the median of the rounds' ratios, with the range.
"""

import dataclasses
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from gan_jax import data, rng, rules
from gan_jax.cli import cli
from gan_jax.devices import parallel
from gan_jax.files import write_json
from gan_jax.networks.layers.conv import native
from gan_jax.runs import records
from gan_jax.types import Array, System, TrainState


def main(
    experiments: tuple[str, ...] = ("mlp_gan", "dcgan", "dcgan,g_width=64,d_width=64,batch_size=64"),
    rounds: int = 7,
    seconds: float = 2.0,
    out: Path = Path("runs/throughput.json"),
) -> None:
    """Times experiments, and prints and writes a table.

    Args:
        experiments: Modules in experiments/, each with changes of its config's integers, such as dcgan,g_width=64.
        rounds: Turns of each way.
        seconds: Approximate length of one turn.
        out: The JSON file.
    """
    rows = {}
    for experiment in experiments:
        name, *settings = experiment.split(",")
        module = importlib.import_module(f"experiments.{name}")
        changes = {field: int(value) for field, value in (setting.split("=") for setting in settings)}
        rows[experiment] = _compare(module, dataclasses.replace(module.Config(), **changes), rounds, seconds)
    table = Table("experiment", "batch", "gan_jax images/s", "stock images/s", "ratio (least, most)")
    for name, row in rows.items():
        ratio = "{:.2f} ({:.2f}, {:.2f})".format(*row["ratio"])
        table.add_row(name, str(row["batch_size"]), f"{row['gan_jax']:.0f}", f"{row['stock']:.0f}", ratio)
    Console().print(table)
    environment = records.environment()
    write_json(out, {"rows": rows, "rounds": rounds, "environment": environment})


def _compare(module: Any, config: Any, rounds: int, seconds: float) -> dict[str, Any]:
    dataset = data.load(config.dataset)
    system = module.build(config, dataset.spec)
    key = rng.key(0)
    device = jax.local_devices()[:1]
    draw = data.batches(len(dataset.arrays["image"]), config.batch_size, system.batches, kind=dataset.spec.kind)
    arguments = parallel.replicate((dataset.arrays, key), device)
    ways = {"gan_jax": looped(system, draw, arguments), "stock": _stock(system, draw, arguments)}
    states = {name: parallel.replicate(system.init(rng.named(key, "init")), device) for name in ways}

    def speed(name: str, count: int) -> float:
        began = time.perf_counter()
        states[name] = jax.block_until_ready(ways[name](states[name], count))
        return count * config.batch_size / (time.perf_counter() - began)

    counts = {}
    for name in ways:
        speed(name, 2)  # compiles
        counts[name] = max(2, round(seconds * speed(name, 4) / config.batch_size))
    measured = [{name: speed(name, counts[name]) for name in ways} for _ in range(rounds)]
    ratios = [each["gan_jax"] / each["stock"] for each in measured]
    speeds = {name: float(np.median([each[name] for each in measured])) for name in ways}
    return {name: round(value) for name, value in speeds.items()} | {
        "ratio": [round(float(x), 2) for x in (np.median(ratios), min(ratios), max(ratios))],
        "batch_size": config.batch_size,
        "config": records.fields(config),
    }


def looped(system: System, draw: Callable, arguments: tuple[dict[str, Array], Array]) -> Callable:
    """Returns `(state, count) -> state`, with 20 iterations per call; arguments are the data's arrays and a key."""
    step = parallel.single(rules.many(system.update, draw, 20))

    def run(state: TrainState, count: int) -> TrainState:
        while count:
            state, _ = step(state, *arguments, min(count, 20))
            count -= min(count, 20)
        return state

    return run


def _stock(system: System, draw: Callable, arguments: tuple[dict[str, Array], Array]) -> Callable:
    def once(state: TrainState, arrays: dict[str, Array], key: Array) -> TrainState:
        with native():
            batch = draw(arrays, rng.named(key, "data"), state.step)
            new, _ = system.update(state, batch, jax.random.fold_in(key, state.step))
        return dataclasses.replace(new, step=state.step + 1)

    step = parallel.single(once)

    def run(state: TrainState, count: int) -> TrainState:
        for _ in range(count):
            state = step(state, *arguments)
        return state

    return run


if __name__ == "__main__":
    cli(main)
