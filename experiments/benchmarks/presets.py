"""Images per second and memory of presets on an accelerator: `python -m experiments.benchmarks.presets`.

Each preset trains in its own process, in float32 and in bfloat16, on random images of its size. Its iteration counter
starts at the end of its run, where growing networks have reached their full side. No preset starts after `--minutes`;
the record names those left out, for a later `--presets`. On a CPU, make them smaller: `--changes batch_size=16
g_width=4 d_width=4 resolution=8`.
"""

import dataclasses
import importlib
import pkgutil
import time
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import experiments
from experiments.benchmarks import turns
from experiments.benchmarks.throughput import looped
from gan_jax import data, rng
from gan_jax.cli import cli
from gan_jax.data import Spec, names
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.files import write_json
from gan_jax.runs import records

SIDES = {"digits": (28, 1), "mnist": (28, 1), "fashion_mnist": (28, 1), "stacked_digits": (28, 3), "cifar10": (32, 3)}
EXAMPLES = 256  # random images
CLASSES = 10
Precision = Literal["float32", "bfloat16"]


def main(
    presets: tuple[str, ...] = (),
    precisions: tuple[Precision, ...] = ("float32", "bfloat16"),
    changes: tuple[str, ...] = (),
    rounds: int = 3,
    seconds: float = 2.0,
    minutes: float = 9.0,
    out: Path = Path("runs/presets.json"),
) -> None:
    """Measures presets, writes the record and prints a table.

    Args:
        presets: Such as progan:paper-cifar10; by default all.
        precisions: Precisions of the networks' computations; experiments without this setting have one row.
        changes: Integer settings to change in the presets that have them, such as batch_size=16 g_width=4
            resolution=32.
        rounds: Timed turns of each preset.
        seconds: Approximate length of one turn.
        minutes: No preset starts after this many minutes.
        out: The JSON file.
    """
    values = {field: int(value) for field, value in (change.split("=") for change in changes)}
    rows, left_out, began = [], [], time.monotonic()
    record: dict[str, Any] = {"rows": rows, "changes": values, "left_out": left_out}
    for name in presets or available():
        has = "precision" in {field.name for field in dataclasses.fields(config(name, values))}
        for precision in precisions if has else precisions[:1]:
            if time.monotonic() - began > 60 * minutes:
                left_out.append(f"{name} {precision}")
                continue
            racer = turns.enter(_iterations, name, values, precision)
            row = {"preset": name, "precision": precision} | racer.costs
            if "failed" not in row:
                speeds = turns.race({name: racer}, rounds, seconds)[name]
                batch = config(name, values).batch_size
                row |= {"batch_size": batch, "images_per_second": [batch * speed for speed in speeds]}
            rows.append(row)
            print(_line(row), flush=True)
            write_json(out, record)  # each time, as a later preset may exhaust the machine
    write_json(out, record | {"environment": records.environment()})  # last, as it takes hold of an accelerator
    print(markdown(record))
    if left_out:
        print(f"left out: {', '.join(left_out)}")


def available() -> list[str]:
    """Returns the presets of all experiments, such as "progan:paper-cifar10"."""
    modules = [module.name for module in pkgutil.iter_modules(experiments.__path__) if not module.ispkg]
    each = {name: getattr(importlib.import_module(f"experiments.{name}"), "PRESETS", {}) for name in modules}
    return [f"{name}:{preset}" for name, presets in each.items() for preset in presets]


def config(name: str, changes: dict[str, int]) -> Any:
    """Returns a preset's config, with the changes to settings that it has.

    Raises:
        UserError: If there is no such preset.
    """
    if name not in available():
        raise UserError(f"presets: there is no {name!r}; give any of {', '.join(available())}")
    experiment, _, preset = name.partition(":")
    defaults = importlib.import_module(f"experiments.{experiment}").PRESETS[preset]
    fields = {field.name for field in dataclasses.fields(defaults)}
    return dataclasses.replace(defaults, **{field: value for field, value in changes.items() if field in fields})


def spec_of(settings: Any) -> Spec:
    """Returns the specification of a config's data, from its name and resolution alone, without loading the data."""
    task, _, base = names.parsed(settings.dataset)
    side, channels = SIDES.get(base, (settings.resolution or 32, 3))
    shape = (settings.resolution or side, settings.resolution or side, channels)
    return Spec(shape, CLASSES, shape if task and task != "few" else None, task == "unpaired", task == "few")


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table."""
    lines = ["| preset | precision | batch | images/s | MB | compile, s |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(_line, record["rows"])])


def _line(row: dict[str, Any]) -> str:
    if "failed" in row:
        cells = ["", row["failed"], "", ""]
    else:
        speed = float(np.median(row["images_per_second"]))
        cells = [str(row["batch_size"]), f"{speed:,.3g}", f"{row['megabytes']:,}", f"{row['compiling']:.1f}"]
    return f"| {' | '.join([row['preset'], row['precision'], *cells])} |"


def _iterations(name: str, changes: dict[str, int], precision: Precision) -> turns.Run:
    """Returns a function that runs further iterations of a preset."""
    settings = config(name, changes)
    if "precision" in {field.name for field in dataclasses.fields(settings)}:
        settings = dataclasses.replace(settings, precision=precision)
    module, spec = importlib.import_module(f"experiments.{name.partition(':')[0]}"), spec_of(settings)
    system, draw = module.build(settings, spec), np.random.default_rng(0)
    count = max(EXAMPLES, settings.batch_size)
    shapes = {"image": spec.shape} | ({"source": spec.source} if spec.source else {})
    arrays = {name: draw.integers(0, 256, (count, *shape), np.uint8) for name, shape in shapes.items()}
    arrays["label"] = draw.integers(0, CLASSES, count, np.int32)
    if spec.few_labels:
        arrays |= {f"few_{name}": arrays[name] for name in ("image", "label")}
    key, device = rng.key(0), jax.local_devices()[:1]
    state = dataclasses.replace(jax.jit(system.init)(key), step=jnp.int32(settings.run.steps))
    batches = data.batches(count, settings.batch_size, system.batches, kind=spec.kind)
    run = looped(system, batches, parallel.replicate((arrays, key), device))
    held = [parallel.replicate(state, device)]

    def iterate(number: int) -> None:
        held[0] = jax.block_until_ready(run(held[0], number))

    return iterate


if __name__ == "__main__":
    cli(main, __doc__)
