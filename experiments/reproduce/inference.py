"""Scores of encoders and their generators: `python -m experiments.reproduce.inference`.

dcgan, bigan and vae are trained with the same generator on the same data. `python -m gan_jax.evaluate` scores 10,000
samples of each. For bigan and vae, test images are compared with their reconstructions: by L1, averaged over pixels in
[0, 1], and by features of the data set's classifier, as the mean distance of unit vectors; the reference is the
distance of each test image from another one. Latents are scored by the share of test images with the class of the
training image whose latent is nearest. inference.png shows test images, and below them bigan's and vae's
reconstructions.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reproduce import running
from experiments.reproduce.translation import distances
from gan_jax import evaluate, pictures, runs, sample
from gan_jax.cli import cli
from gan_jax.metrics import protocol
from gan_jax.metrics.menu import Name
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import Restored, records

METRICS: tuple[Name, ...] = ("fid", "precision", "recall")
ENCODERS = ("bigan", "vae")
SETTINGS = "--dataset mnist --steps 6000"
SHOWN = 16


def main(seeds: tuple[int, ...] = (0,), settings: str = SETTINGS, workdir: Path | None = None) -> None:
    """Runs dcgan, bigan and vae, and records scores and reconstructions.

    Args:
        seeds: Seeds, one run of each experiment per seed.
        settings: Flags of all runs, in one string.
        workdir: Directory to keep the runs in; finished runs there are not repeated.
    """
    rows, floor = [], {}
    opened: Any = None
    with tempfile.TemporaryDirectory() as temporary:
        root = workdir or Path(temporary)
        for name in ("dcgan", *ENCODERS):
            for seed in seeds:
                run = root / f"{name}-{seed}"
                minutes = running.timed(name, " ".join([settings, *running.baseline(name)]), seed, run)
                opened = runs.open_run(run)
                row = {"name": name, "seed": seed, "steps": opened.step}
                evaluate.samples(run, evaluate.Shared(), evaluate.Request(METRICS, count=10_000))
                scores = protocol.read(run)
                row |= {s.metric: round(s.value, 4) for s in scores if s.weights == "averaged"}
                floor = {s.metric: round(s.value, 4) for s in scores if s.weights == TRAINING}
                if name in ENCODERS:
                    test = runs.held_out(opened).arrays["image"]
                    row |= distances(opened.record, sample.reconstructions(opened, test), test)
                    row["neighbour"] = round(_neighbour(opened), 4)
                rows.append(row | {"minutes": round(minutes, 2)})
        test = runs.held_out(opened).arrays["image"]
        outputs = [sample.reconstructions(runs.open_run(root / f"{n}-{seeds[0]}"), test[:SHOWN]) for n in ENCODERS]
    pictures.save_png(running.RESULTS.joinpath("inference.png"), pictures.compared([test[:SHOWN], *outputs], SHOWN))
    record = {"command": f"python -m experiments.NAME {settings}", "data": opened.record["data"], "rows": rows}
    chance = distances(opened.record, np.roll(test, 1, axis=0), test)
    record |= {"baseline": running.BASELINE, TRAINING: floor, "chance": chance, "environment": records.environment()}
    running.write("inference", record)
    print(markdown(record))
    for name in ENCODERS:
        print(sentence(record, name))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record, medians over seeds."""
    head = "| | FID | precision | recall | L1 | feature distance | nearest latent in the right class | minutes |"
    lines = [head, "| --- |" + " --- |" * 7]
    for name in dict.fromkeys(row["name"] for row in record["rows"]):
        middle = _middle(record, name)
        apart = "{l1:.4f} | {features:.3f} | {neighbour:.1%}".format(**middle) if "l1" in middle else "| |"
        lines.append(
            f"| `{name}` | {middle['fid']:.2f} | {middle['precision']:.2f} | {middle['recall']:.2f} | {apart} | "
            f"{middle['minutes']:.1f} |"
        )
    lines.append("| {} | {fid:.2f} | {precision:.2f} | {recall:.2f} | | | | |".format(TRAINING, **record[TRAINING]))
    lines.append("| another test image | | | | {l1:.4f} | {features:.3f} | | |".format(**record["chance"]))
    return "\n".join(lines)


def sentence(record: dict[str, Any], name: str) -> str:
    """Returns the sentence about a record in an experiment's docstring."""
    middle, chance, steps = _middle(record, name), record["chance"], record["rows"][0]["steps"]
    seeds = sum(row["name"] == name for row in record["rows"])
    return (
        f"{f'{seeds} runs' if seeds > 1 else 'One run'} of {steps:,} iterations on {record['data']['name']}, "
        f"{middle['minutes']:.1f} minutes on {record['environment']['device']}: reconstructions of test "
        f"images have an L1 error of {middle['l1']:.3f} and a feature distance of {middle['features']:.2f} (another "
        f"test image: {chance['l1']:.3f} and {chance['features']:.2f}); the nearest latent has the right class for "
        f"{middle['neighbour']:.1%}; the FID of samples by the same features is {middle['fid']:.2f} (dcgan: "
        f"{_middle(record, 'dcgan')['fid']:.2f})."
    )


def _neighbour(run: Restored) -> float:
    """Returns the share of test images with the class of the training image whose latent is nearest."""
    assert run.system.encode is not None
    known, asked = runs.dataset(run).arrays, runs.held_out(run).arrays
    images = (run.spec.kind.to_network(each["image"]) for each in (asked, known))
    a, b = (sample.evaluated(run.system.encode, run.ema, each) for each in images)
    squares = np.sum(b**2, axis=1)
    nearest = np.concatenate([np.argmin(squares - 2 * part @ b.T, axis=1) for part in np.array_split(a, 20)])
    return float(np.mean(known["label"][nearest] == asked["label"]))


def _middle(record: dict[str, Any], name: str) -> dict[str, float]:
    rows = [row for row in record["rows"] if row["name"] == name]
    return {key: float(np.median([row[key] for row in rows])) for key in rows[0] if key not in ("name", "seed")}


if __name__ == "__main__":
    cli(main, __doc__)
