"""Scores of InfoGAN's codes, over seeds and for a control: `python -m experiments.reproduce.infogan`.

The unaveraged body and Q of a run give two scores: on 10,000 samples, the lower bound on the mutual information of
digit code and image, in nats; on the test images, the share whose most likely code is that of their class, under the
best one-to-one matching of codes to classes. The control has weight 0: G ignores the codes, and Q is still trained.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from experiments.reproduce import running
from gan_jax import pictures, runs, sample
from gan_jax.cli import cli
from gan_jax.runs import records
from gan_jax.types import Array

SAMPLES = 10_000
SETTINGS = "--dataset mnist --steps 12000"


def main(seeds: tuple[int, ...] = (0, 1, 2), settings: str = SETTINGS, workdir: Path | None = None) -> None:
    """Runs experiments.infogan over seeds and the control once, and records the scores of the codes.

    Args:
        seeds: Seeds, one run each; the control uses the first.
        settings: Flags of the experiment, in one string.
        workdir: Directory to keep the runs in; finished runs there are not repeated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = workdir or Path(temporary)
        rows = [_row(root / str(seed), settings, seed) for seed in seeds]
        control = _row(root / "control", f"{settings} --weight 0", seeds[0])
        about = runs.open_run(root / str(seeds[0])).record
        moved = pictures.load_png(root / str(seeds[0]) / "codes.png")
    pictures.save_png(running.RESULTS.joinpath("infogan.png"), moved)
    record = {"command": running.command("infogan", settings), "config": about["config"], "data": about["data"]}
    record |= {"samples": SAMPLES, "rows": rows, "control": control, "environment": records.environment()}
    running.write("infogan", record)
    print(sentence(record))


def sentence(record: dict[str, Any]) -> str:
    """Returns the sentence about a record in README and the docstring."""
    rows, control = record["rows"], record["control"]
    accuracy = running.spread([row["accuracy"] for row in rows], ".1%")
    return (
        f"{len(rows)} runs of {rows[0]['steps']:,} iterations on {record['data']['name']}, "
        f"{running.spread([row['minutes'] for row in rows], '.1f')} minutes on {record['environment']['device']}: "
        f"I(c; G(z, c)) is at least {running.spread([row['bound'] for row in rows], '.2f')} nats "
        f"(maximum {math.log(record['config']['classes']):.2f}), and {accuracy} of the test images have their "
        f"class's code. Without the term: {control['bound']:.2f} nats, {control['accuracy']:.1%}."
    )


def matched(codes: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Returns the share of examples whose code is their class's, under the best matching of codes to classes."""
    together = np.zeros((classes, classes), int)
    np.add.at(together, (codes, labels), 1)
    return float(together[linear_sum_assignment(together, maximize=True)].sum() / len(labels))


def _row(run: Path, settings: str, seed: int) -> dict[str, Any]:
    minutes = running.timed("infogan", settings, seed, run)
    opened = runs.open_run(run)
    system, state, classes = opened.system, runs.restore_state(opened, run), opened.record["config"]["classes"]

    def read(_: Any, images: Array) -> Array:
        for name in ("body", "posterior"):
            images = system.networks[name].apply(state.params[name], state.stats[name], images, train=False)[0]
        return jax.nn.log_softmax(images[:, :classes])

    def log_posterior(images: ArrayLike) -> np.ndarray:
        return sample.evaluated(read, None, opened.spec.kind.to_network(images))

    codes = np.arange(SAMPLES) % classes
    drawn = log_posterior(sample.labelled(opened, seed, codes.tolist(), "digit"))[np.arange(SAMPLES), codes]
    test = runs.held_out(opened).arrays
    accuracy = matched(log_posterior(test["image"]).argmax(1), test["label"], classes)
    row = {"seed": seed, "steps": opened.step, "bound": round(math.log(classes) + float(drawn.mean()), 4)}
    return row | {"accuracy": round(accuracy, 4), "minutes": round(minutes, 2)}


if __name__ == "__main__":
    cli(main, __doc__)
