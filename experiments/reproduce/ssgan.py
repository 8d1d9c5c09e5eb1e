"""Errors of the semi-supervised classifier with 10 labels a class: `python -m experiments.reproduce.ssgan`.

Each draw of labels is one run; its averaged discriminator classifies all test images. The baseline is the same
classifier trained on the same labels alone, without unlabelled images. ssgan.png shows samples of the first draw.
"""

import tempfile
from pathlib import Path
from typing import Any

from experiments.reproduce import running
from gan_jax import pictures, runs, sample
from gan_jax.cli import cli
from gan_jax.game import averaged_network
from gan_jax.runs import records
from gan_jax.types import Array

SETTINGS = "--steps 18000 --decay-steps 18000"
ALONE = "--steps 2000 --unsupervised 0"


def main(
    dataset: str = "mnist",
    draws: tuple[int, ...] = (0, 1, 2),
    settings: str = SETTINGS,
    alone: str = ALONE,
    workdir: Path | None = None,
) -> None:
    """Runs experiments.ssgan over draws of labels, and records the errors on test images.

    Args:
        dataset: Labelled data set, of which 10 labels per class are kept.
        draws: Numbers of the draws of labels, one run each; also the seeds of the runs.
        settings: Flags of the semi-supervised runs, in one string.
        alone: Flags of the baseline's runs, in one string.
        workdir: Directory to keep the runs in; finished runs there are not repeated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root, rows = workdir or Path(temporary), []
        for draw in draws:
            row: dict[str, Any] = {"draw": draw}
            for name, flags in (("semi-supervised", settings), ("supervised", alone)):
                run = root / f"{name}-{draw}"
                minutes = running.timed("ssgan", f"--dataset few:10:{draw}:{dataset} {flags}", draw, run)
                row[name] = _errors(run) | {"minutes": round(minutes, 2)}
            rows.append(row)
        first = runs.open_run(root / f"semi-supervised-{draws[0]}")
        samples = pictures.grid(sample.samples(first, seed=0, count=32), 16)
    pictures.save_png(running.RESULTS.joinpath("ssgan.png"), samples)
    record = {"command": running.command("ssgan", f"--dataset few:10:0:{dataset} {settings}"), "alone": alone}
    record |= {"config": first.record["config"], "data": first.record["data"], "rows": rows}
    record["environment"] = records.environment()
    running.write("ssgan", record)
    print(sentence(record))


def sentence(record: dict[str, Any]) -> str:
    """Returns the sentence about a record in README and the docstring."""
    both = [[row[name] for row in record["rows"]] for name in ("semi-supervised", "supervised")]
    wrong, alone = (running.spread([each["wrong"] for each in rows], ".0f") for rows in both)
    first = both[0][0]
    return (
        f"{len(record['rows'])} draws of 100 labels of {record['data']['name'].split(':')[-1]}, {first['steps']:,} "
        f"iterations, {running.spread([each['minutes'] for each in both[0]], '.1f')} minutes on "
        f"{record['environment']['device']}: {wrong} of {first['of']:,} test images wrong; trained on the labels "
        f"alone, {alone}."
    )


def _errors(run: Path) -> dict[str, Any]:
    opened = runs.open_run(run)
    classify = averaged_network(opened.system.networks, "discriminator")

    def read(ema: Any, images: Array) -> Array:
        return classify(ema, images)["classes"]  # pyright: ignore[reportCallIssue, reportArgumentType]

    test = runs.dataset(opened, "test").arrays
    predicted = sample.evaluated(read, opened.ema, opened.spec.kind.to_network(test["image"])).argmax(1)
    return {"wrong": int((predicted != test["label"]).sum()), "of": len(predicted), "steps": opened.step}


if __name__ == "__main__":
    cli(main, __doc__)
