"""Speed-up by more devices: `python -m experiments.benchmarks.scaling`.

    strong    a fixed batch, shared by 1, 2, 4, ... devices: the speed-up of an iteration
    weak      a fixed batch per device: the share of ideal, linear speed-up

Each number of devices is timed in turns with one device. Virtual devices of a CPU (`XLA_FLAGS=
--xla_force_host_platform_device_count=4`) share its cores: they show that the program runs, not how it scales.
"""

import dataclasses
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gan_jax import data, rng, rules
from gan_jax.cli import cli
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.files import write_json
from gan_jax.runs import records


def main(
    experiment: str = "dcgan",
    batch_size: int = 64,
    rounds: int = 7,
    seconds: float = 2.0,
    out: Path = Path("runs/scaling.json"),
) -> None:
    """Times an experiment on 1, 2, 4, ... local devices, and prints and writes a table.

    Args:
        experiment: Module in experiments/, with its defaults.
        batch_size: Examples per batch, over all devices in strong scaling, per device in weak scaling.
        rounds: Turns of each number of devices.
        seconds: Approximate length of one turn.
        out: The JSON file.
    """
    counts = [2**n for n in range(1, jax.local_device_count().bit_length())]
    if not counts:
        raise UserError(
            "this machine has one device, and scaling needs at least 2; on a CPU, set "
            "XLA_FLAGS=--xla_force_host_platform_device_count=4"
        )
    rows = []
    one = _iterations(experiment, batch_size, 1)
    for count in counts:
        for kind, size in (("strong", batch_size), ("weak", batch_size * count)):
            ratios = _ratios(one, _iterations(experiment, size, count), rounds, seconds)
            images = [ratio * size / batch_size for ratio in ratios]
            row = {"kind": kind, "devices": count, "batch_size": size, "speed": _spread(images)}
            rows.append(row | {"efficiency": _spread([speed / count for speed in images])})
    record = {"experiment": experiment, "rows": rows, "environment": records.environment()}
    write_json(out, record)
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table, as in README.md."""
    lines = [
        "| scaling | devices | batch | images/s relative to one device | efficiency |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in record["rows"]:
        speed = "{:.2f} ({:.2f} to {:.2f})".format(*row["speed"])
        about = [row["kind"], str(row["devices"]), str(row["batch_size"]), speed, f"{row['efficiency'][0]:.2f}"]
        lines.append(f"| {' | '.join(about)} |")
    return "\n".join(lines)


def _iterations(experiment: str, batch_size: int, devices: int) -> Callable[[int], None]:
    """Returns the function that trains an experiment on some devices for a further number of iterations."""
    module: Any = importlib.import_module(f"experiments.{experiment}")
    config = dataclasses.replace(module.Config(), batch_size=batch_size)
    dataset = data.load(config.dataset)
    system = module.build(config, dataset.spec)
    key, local = rng.key(0), jax.local_devices()[:devices]
    draw = data.batches(dataset.count, batch_size, system.batches, kind=dataset.spec.kind)
    many = rules.many(system.update, draw, 20)
    step = parallel.spread(many, local)
    state, arrays, key = parallel.replicate((system.init(rng.named(key, "init")), dataset.arrays, key), local)

    def iterate(count: int) -> None:
        nonlocal state
        for begin in range(0, count, 20):
            state, _ = step(state, arrays, key, min(20, count - begin))
        jax.block_until_ready(state)

    return iterate


def _ratios(one: Callable[[int], None], several: Callable[[int], None], rounds: int, seconds: float) -> list[float]:
    """Times both in turns; returns each round's ratio of iterations per second, several devices to one."""

    def pace(iterate: Callable[[int], None], count: int) -> float:
        began = time.perf_counter()
        iterate(count)
        return count / (time.perf_counter() - began)

    counts = []
    for iterate in (one, several):
        pace(iterate, 1)  # compiles
        counts.append(max(2, round(seconds * pace(iterate, 2))))
    turns = [[pace(iterate, n) for iterate, n in zip((one, several), counts, strict=True)] for _ in range(rounds)]
    return [theirs / ours for ours, theirs in turns]


def _spread(values: list[float]) -> list[float]:
    return [round(float(x), 3) for x in (np.median(values), min(values), max(values))]


if __name__ == "__main__":
    cli(main)
