"""Time and memory of FID with its error, without the features: `python -m experiments.benchmarks.fid`.

Features are random numbers in batches that are not kept, as from a network; drawing them is timed separately. Memory is
the peak of the process, less its memory before, and less the moments that any FID with a jackknife needs: a D x D
matrix for the real images and one for each group of samples.
"""

import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gan_jax.cli import cli
from gan_jax.files import write_json
from gan_jax.metrics.fid import fid
from gan_jax.metrics.statistics import summarise
from gan_jax.runs import records


def main(count: int = 10_000, size: int = 2048, groups: int = 10, out: Path = Path("runs/fid.json")) -> None:
    """Times the parts of FID, and prints and writes a table.

    Args:
        count: Number of real images, and of samples.
        size: Number of features.
        groups: Number of groups of samples, for the error.
        out: The JSON file.
    """
    before, seconds = _peak(), {}

    def timed(name: str, begun: float, cpu: float) -> None:
        seconds[name] = [round(time.perf_counter() - begun, 2), round(time.process_time() - cpu, 2)]

    clocks = time.perf_counter(), time.process_time()
    for _ in _stream(0, count, size):
        pass
    timed("drawing, once", *clocks)
    clocks = time.perf_counter(), time.process_time()
    real = summarise(_stream(0, count, size), count, groups=1)
    timed("drawing and moments, real", *clocks)
    clocks = time.perf_counter(), time.process_time()
    fake = summarise(_stream(1, count, size), count, groups)
    timed(f"drawing and moments, samples, {groups} groups", *clocks)
    clocks = time.perf_counter(), time.process_time()
    score = fid(real, fake, few=True)
    timed("distances", *clocks)
    moments = (groups + 1) * size**2 * 8 / 1e6
    megabytes = {"peak": _peak() - before, "moments": moments, "beyond": _peak() - before - moments}
    megabytes = {name: round(value) for name, value in megabytes.items()}
    total = sum(wall for wall, _ in seconds.values()) - 3 * seconds["drawing, once"][0]
    table = Table(f"{count:,} against {count:,}, {size:,} features", "seconds", "CPU seconds")
    for name, (wall, cpu) in seconds.items():
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}")
    table.add_row("all but drawing", f"{total:.2f}", "")
    Console().print(table)
    print(f"FID {score.value:.3f} +- {score.error:.3f}; theory expects at least {size * (size + 5) / (2 * count):.3f}")
    print("peak memory: {peak:,} MB, of this moments {moments:,} MB, the rest {beyond:,} MB".format(**megabytes))
    record = {"seconds": seconds | {"all but drawing": round(total, 2)}, "megabytes": megabytes, "fid": score._asdict()}
    record |= {"count": count, "size": size, "groups": groups, "environment": records.environment()}
    write_json(out, record)


def _stream(seed: int, count: int, size: int, batch: int = 256) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    draws = np.random.default_rng(seed)
    for start in range(0, count, batch):
        rows = min(batch, count - start)
        yield draws.standard_normal((rows, size), dtype=np.float32), np.zeros((rows, 0), np.float32)


def _peak() -> float:
    """Returns the process's peak memory so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


if __name__ == "__main__":
    cli(main)
