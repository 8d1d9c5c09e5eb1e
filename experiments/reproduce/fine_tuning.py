"""Fine-tuning on few images, with and without frozen layers, against training from scratch: FID by iterations.

    python -m experiments.reproduce.fine_tuning SOURCE TARGET CLASSES.csv

A run of experiments.dcgan on the images of the folder SOURCE is the parent. Three runs then train on the same few
images of TARGET: one from scratch, one from the parent's networks (`--init-from`), and one from these with the
discriminator's first layers frozen (`--freeze`; FreezeD, Mo et al. 2020, arXiv:2002.10964). FID compares samples of the
averaged generator with all other images of TARGET, by the features of a classifier of TARGET's classes. The results are
fine_tuning.json and the curves, fine_tuning.png.
"""

import csv
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.reproduce import running
from gan_jax import data, pictures, runs
from gan_jax.cli import cli
from gan_jax.errors import UserError
from gan_jax.metrics import features
from gan_jax.metrics.features import pretrained
from gan_jax.metrics.scorer import Origin, of_system, scorer
from gan_jax.metrics.scoring import TRAINING, drawn
from gan_jax.runs import checkpoint, records

SETTINGS = "--latent-size 32 --d-learning-rate 3e-4 --g-width 16 --d-width 12"
UPDATES = 800  # of the classifier by whose features FID is computed
COLOURS = {"from scratch": "#69717b", "fine-tuned": "#d0702a", "frozen": "#2f6fb3"}


def main(
    source: tyro.conf.Positional[Path],
    target: tyro.conf.Positional[Path],
    classes: tyro.conf.Positional[Path],
    count: int = 100,
    resolution: int = 32,
    parent_steps: int = 10_000,
    steps: int = 3_000,
    every: int = 250,
    freeze: int = 2,
    samples: int = 2_000,
    seed: int = 0,
    settings: str = SETTINGS,
    workdir: Path | None = None,
) -> None:
    """Trains the parent and its three children, and scores every checkpoint of the children.

    Args:
        source: Folder of the parent's images.
        target: Folder of the children's images.
        classes: CSV file with the columns "file" and "category" of TARGET's images.
        count: Images of TARGET to train on.
        resolution: Side of the images.
        parent_steps: Iterations of the parent.
        steps: Iterations of each child.
        every: Iterations between scores of a child.
        freeze: Number of the discriminator's layers with weights, from the first on, that are frozen.
        samples: Samples per score.
        seed: Seed of all runs, and of the choice of images.
        settings: Further flags of all runs, in one string.
        workdir: Directory to keep the runs in; finished runs there are not repeated.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = workdir or Path(temporary)
        target_folder, labelled = arranged(target, classes, root / "images", count, seed)
        common = f"{settings} --resolution {resolution}"
        parent = root / "parent"
        minutes = {
            "parent": running.timed("dcgan", f"{common} --dataset {source} --steps {parent_steps}", seed, parent)
        }
        child = f"{common} --dataset {target_folder} --steps {steps} --save-every {every} --keep {steps}"
        begun = f"{child} --init-from {parent}"
        ways = {"from scratch": child, "fine-tuned": begun, "frozen": f"{begun} --freeze discriminator=first:{freeze}"}
        for way, flags in ways.items():
            minutes[way] = running.timed("dcgan", flags, seed, root / way)

        labelled_train, labelled_test = (data.load(str(labelled), split, resolution) for split in ("train", "test"))
        judge = features.of_classifier(pretrained.fitted(labelled_train, labelled_test, steps=UPDATES), target.name)
        train, held_out = (data.load(str(target_folder), split, resolution) for split in ("train", "test"))
        scored = scorer(judge, ("fid",), held_out)

        curves = {}
        for way in ways:
            opened = runs.open_run(root / way)
            fid = of_system(scored, opened.system, samples, seed)
            at = [] if way == "from scratch" else [(0, parent)]
            at += [(step, root / way) for step in checkpoint.steps(root / way / "checkpoints")]
            states = ((step, runs.restore_state(opened, run, step or None)) for step, run in at)
            curves[way] = [[step, round(fid(state.ema, "averaged", step)[0].value, 4)] for step, state in states]
        reference = scored.examples(drawn(train.arrays["image"], samples, seed), Origin(TRAINING, seed=seed))[0]
        config = runs.open_run(parent).record["config"]
    record = {  # without the paths of the folders
        "settings": settings,
        "source": source.name,
        "target": target.name,
        "config": {name: value for name, value in config.items() if name != "dataset"},
        "images": train.count,
        "held_out": held_out.count,
        "parent_steps": parent_steps,
        "freeze": freeze,
        "samples": samples,
        "judge": {"name": judge.name, "fingerprint": judge.fingerprint},
        "fid": curves,
        TRAINING: round(reference.value, 4),
        "minutes": {name: round(value, 2) for name, value in minutes.items()},
        "environment": {name: value for name, value in records.environment().items() if name != "command"},
    }
    running.write("fine_tuning", record)
    pictures.save_png(running.RESULTS.joinpath("fine_tuning.png"), picture(record))
    print(markdown(record))


def arranged(target: Path, classes: Path, folder: Path, count: int, seed: int) -> tuple[Path, Path]:
    """Links a folder's images into two others: one to train on a few of them, one for a classifier of all of them.

    Args:
        target: The folder.
        classes: CSV file with the columns "file" and "category".
        folder: Where to make the links.
        count: Number of images to train on.
        seed: Selects them.

    Returns:
        A folder whose split "train" has `count` images, and "test" all others; and one with a folder for each class.

    Raises:
        UserError: If the file lacks the class of an image, or there are too few images.
    """
    with classes.open(newline="") as file:
        category = {row["file"]: row["category"].replace("/", "-") for row in csv.DictReader(file)}
    names = sorted(path.name for path in target.iterdir() if path.suffix == ".png")
    if missing := [name for name in names if name not in category]:
        raise UserError(f"{classes}: it has no category of {missing[0]} and {len(missing) - 1} others; add their rows")
    if not 1 <= count < len(names):
        raise UserError(f"--count {count}: {target} has {len(names)} .png files; give fewer, and at least 1")
    chosen = set(np.random.default_rng(seed).permutation(names)[:count].tolist())
    target_folder, labelled = folder / "few", folder / "labelled"
    for name in names:
        places = (target_folder / ("train" if name in chosen else "test") / name, labelled / category[name] / name)
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(place):
                place.symlink_to((target / name).resolve())
    return target_folder, labelled


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table of a record: FID by iterations, a column for each child."""
    curves = {way: dict(map(tuple, rows)) for way, rows in record["fid"].items()}
    titles = ("from scratch", "fine-tuned", f"fine-tuned, {record['freeze']} layers of D frozen")
    steps = sorted({step for rows in curves.values() for step in rows})
    lines = ["| iterations | " + " | ".join(titles) + " |", "| --- |" + " --- |" * len(titles)]
    for step in steps[:: max(1, len(steps) // 6)]:
        cells = [f"{rows[step]:.1f}" if step in rows else "" for rows in curves.values()]
        lines.append(f"| {step:,} | " + " | ".join(cells) + " |")
    best = (min(rows, key=lambda row: row[1]) for rows in record["fid"].values())
    lines.append("| lowest, at | " + " | ".join(f"{value:.1f}, {step:,}" for step, value in best) + " |")
    lines.append(f"| the {record['images']} {TRAINING} | {record[TRAINING]:.1f} | | |")
    return "\n".join(lines)


def picture(record: dict[str, Any]) -> np.ndarray:
    """Draws FID by iterations, a line for each child, and for reference the FID of the few training images."""
    canvas = FigureCanvasAgg(Figure(figsize=(6, 3.5), dpi=120, layout="constrained"))
    axes = canvas.figure.subplots()
    for way, rows in record["fid"].items():
        steps, values = zip(*rows, strict=True)
        axes.plot(steps, values, color=COLOURS[way], marker=".", lw=1.5, label=way)
    axes.axhline(record[TRAINING], color="#69717b", lw=1, ls="--", label=f"the {record['images']} {TRAINING}")
    title = f"{record['images']} images of {record['target']}, from {record['source']}"
    axes.set(yscale="log", title=title, xlabel="iterations", ylabel="FID")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


if __name__ == "__main__":
    cli(main)
