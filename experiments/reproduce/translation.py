"""Translators and their ablations on held-out pairs: `python -m experiments.reproduce.translation pix2pix`.

Two distances of a translation from its true partner: L1, averaged over pixels and channels in [0, 1]; and the mean
distance of unit feature vectors, by a classifier of the target's domain (of pixels, if it has no labels). The reference
is the distance to another pair's partner, which a translator that ignores its source may reach.
"""

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from experiments.reproduce import running
from gan_jax import data, pictures, runs
from gan_jax.cli import cli
from gan_jax.devices.batched import joined
from gan_jax.metrics import features, scoring
from gan_jax.runs import records
from gan_jax.translate import translated

WAYS = {
    "pix2pix": {
        "L1": "--adversarial 0",
        "GAN": "--l1 0 --no-conditional",
        "cGAN": "--l1 0",
        "L1 + cGAN": "",
    },
    "cyclegan": {"cycle alone": "--adversarial 0", "GAN alone": "--cycle 0 --identity 0", "CycleGAN": ""},
}
SHOWN = 16


def main(
    experiment: tyro.conf.Positional[Literal["pix2pix", "cyclegan"]],
    settings: str = "",
    seeds: tuple[int, ...] = (0,),
    name: str | None = None,
    workdir: Path | None = None,
) -> None:
    """Runs a translator and its ablations, and records their distances on held-out pairs.

    Args:
        experiment: Module in experiments/.
        settings: Flags of all runs, in one string.
        seeds: Seeds, one run of each ablation per seed.
        name: Name of the record; by default the experiment's.
        workdir: Directory to keep the runs in; finished runs there are not repeated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root, rows, panels = workdir or Path(temporary), [], []
        opened: Any = None
        for way, flags in WAYS[experiment].items():
            for seed in seeds:
                run = root / f"{way.replace(' ', '')}-{seed}"
                minutes = running.timed(experiment, f"{settings} {flags}".strip(), seed, run)
                opened = runs.open_run(run)
                test = runs.dataset(opened, "test").arrays
                outputs = translated(opened, test["source"])
                row = {"way": way, "seed": seed, "steps": opened.step, "minutes": round(minutes, 2)}
                rows.append(row | distances(opened.record, outputs, test["image"]))
                panels += [outputs[:SHOWN]] if seed == seeds[0] else []
        test = runs.dataset(opened, "test").arrays
        chance = distances(opened.record, np.roll(test["image"], 1, axis=0), test["image"])
    shown = pictures.compared([test["source"][:SHOWN], *panels, test["image"][:SHOWN]], SHOWN)
    pictures.save_png(running.RESULTS.joinpath(f"{name or experiment}.png"), shown)
    record = {"command": running.command(experiment, settings), "config": opened.record["config"]}
    record |= {"data": opened.record["data"], "pairs": len(test["image"]), "rows": rows, "chance": chance}
    record |= {"environment": records.environment()}
    running.write(name or experiment, record)
    print(markdown(record))
    print(sentence(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record, medians over seeds."""
    lines = ["| loss | L1 | feature distance | minutes |", "| --- | --- | --- | --- |"]
    for way in dict.fromkeys(row["way"] for row in record["rows"]):
        rows = [row for row in record["rows"] if row["way"] == way]
        values = [float(np.median([row[key] for row in rows])) for key in ("l1", "features", "minutes")]
        lines.append("| {} | {:.4f} | {:.3f} | {:.1f} |".format(way, *values))
    lines.append("| another pair's partner | {l1:.4f} | {features:.3f} | |".format(**record["chance"]))
    return "\n".join(lines)


def sentence(record: dict[str, Any]) -> str:
    """Returns the sentence about a record in the docstring: on its last row, the full method."""
    row = record["rows"][-1]
    minutes, device = row["minutes"], record["environment"]["device"]
    return (
        f"{row['steps']:,} iterations on {record['data']['name']}, {minutes:.1f} minutes on {device}: on "
        f"{record['pairs']:,} held-out pairs an L1 error of {row['l1']:.4f} and a feature distance of "
        f"{row['features']:.3f} (another pair's partner: {record['chance']['l1']:.4f} and "
        f"{record['chance']['features']:.3f})."
    )


def distances(about: dict[str, Any], outputs: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Returns the mean distances of images from their true partners, by L1 and by features.

    Args:
        about: Record of a run, which names the data.
        outputs: uint8 `[n, H, W, C]`.
        true: The partners, of the same shape.
    """
    name, resolution = data.images_of(about["data"]["name"]), about["config"].get("resolution")
    spec = data.load(name, "test", resolution).spec
    kind = None if spec.classes else "pixels"
    judge = scoring.planned(kind, name, spec, resolution).load()
    read = features.extractor(judge, features.of_data(spec.kind))
    vectors = [joined(read(None, images))[0] for images in (outputs, true)]
    vectors = [each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-12) for each in vectors]  # 0 stays 0
    apart = float(np.mean(np.linalg.norm(vectors[0] - vectors[1], axis=1)))
    l1 = float(np.mean(np.abs(outputs.astype(np.float32) - true))) / 255
    return {"l1": round(l1, 5), "features": round(apart, 4)}


if __name__ == "__main__":
    cli(main, __doc__)
