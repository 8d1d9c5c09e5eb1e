"""Conditional generators scored by class: `python -m experiments.reproduce.conditional RUN [RUN ...] --out FILE.json`.

Each run generates the same number of samples of every class, which are compared with the real test images
(`metrics.by_class`): the share that the data set's own classifier, trained on real images, puts in the class asked for;
FID and recall within each class, by its features; and the test accuracy of a classifier trained on the samples alone.
As a reference for a perfect generator, as many training images of each class, drawn without replacement, are scored as
samples; only the share in the right class is that of test images, as the classifier was trained on the others.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from gan_jax import files, runs, sample
from gan_jax.cli import cli
from gan_jax.devices.batched import joined
from gan_jax.errors import UserError
from gan_jax.metrics import by_class, features, scoring
from gan_jax.metrics.by_class import ByClass
from gan_jax.metrics.scoring import TRAINING
from gan_jax.runs import Restored, log, records

TEST = "test images"


def main(
    run: tyro.conf.Positional[tuple[Path, ...]],
    out: Path,
    count_per_class: int = 1_000,
    seed: int = 0,
    classifier_steps: int = by_class.STEPS,
) -> None:
    """Scores conditional generators by class, and records the results.

    Args:
        run: Run directories.
        out: The JSON file, a list of records.
        count_per_class: Samples per class, and training images per class for the reference.
        seed: Seed of the samples, of the choice of training images, and of the classifiers trained on them.
        classifier_steps: Updates of each of these classifiers.
    """
    if not run:
        raise UserError("run: give at least one run directory")
    records = []
    for directory in run:
        records.append(scored(directory, count_per_class, seed, classifier_steps))
        files.write_json(out, records)
        print(sentence(records[-1]), flush=True)
    print(markdown(records))


def scored(directory: Path, count_per_class: int, seed: int, classifier_steps: int) -> dict[str, Any]:
    """Scores the newest checkpoint of a run.

    Raises:
        UserError: If the run's data have no labels, or too few training images of a class.
    """
    began = time.monotonic()
    run = runs.open_run(directory)
    train, test = runs.dataset(run), runs.held_out(run)
    classes = train.spec.classes
    if not train.spec.kind.is_image or not classes:
        raise UserError(
            f"{directory} was trained on {train.name}, not on labelled images; give a run on labelled images"
        )
    asked = np.tile(np.arange(classes), count_per_class)
    images = sample.labelled(run, seed, asked.tolist())
    chosen = of_each_class(train.arrays["label"], classes, count_per_class, seed)
    resolution = run.record["config"].get("resolution")
    judge = scoring.planned("classifier", train.name, train.spec, resolution, train=run.data).load()
    extract = features.extractor(judge, features.of_data(train.spec.kind))

    def judged(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, p = joined(extract(None, images))
        return x, p.argmax(1)

    truth = test.arrays["label"]
    real, guessed = judged(test.arrays["image"])

    def scores(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        fake, predicted = judged(images)
        learnt = (images, labels, test.arrays["image"], truth, classes, seed, classifier_steps)
        return {
            "agreement": _rounded(by_class.agreement(predicted, labels, classes)),
            "intra_fid": _rounded(by_class.intra_class_fid(real, truth, fake, labels, classes)),
            "intra_recall": _rounded(by_class.intra_class_recall(real, truth, fake, labels, classes)),
            "classification_accuracy": _rounded(by_class.classification_accuracy_score(*learnt)),
        }

    return {
        **_trained(directory, run),
        "judge": {"name": judge.name, "fingerprint": judge.fingerprint},
        "protocol": {
            "count_per_class": count_per_class,
            TEST: test.count,
            "fingerprint": test.fingerprint,
            "seed": seed,
            "recall": "k=3",
            "classifier_steps": classifier_steps,
        },
        "classes": list(train.spec.class_titles),
        "samples": scores(images, asked),
        TRAINING: scores(train.arrays["image"][chosen], train.arrays["label"][chosen]),
        TEST: {"agreement": _rounded(by_class.agreement(guessed, truth, classes))},
        "scoring": {"minutes": round((time.monotonic() - began) / 60, 2), "environment": records.environment()},
    }


def of_each_class(labels: np.ndarray, classes: int, count: int, seed: int) -> np.ndarray:
    """Draws `count` images of each class without replacement; returns their indices, shuffled.

    Args:
        labels: Labels of all images, integers in [0, classes).
        classes: Number of classes.
        count: Images per class.
        seed: Seed of the draw.

    Raises:
        UserError: If a class has fewer images.
    """
    draws, chosen = np.random.default_rng(seed), []
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        if len(rows) < count:
            raise UserError(f"count_per_class={count}: class {label} has only {len(rows)} training images; give fewer")
        chosen.append(draws.choice(rows, count, replace=False))
    return draws.permutation(np.concatenate(chosen))


def sentence(record: dict[str, Any]) -> str:
    """Returns the sentence about a record in README and docstrings."""
    samples, real, count = record["samples"], record[TRAINING], record["protocol"]["count_per_class"]
    total = count * len(record["classes"])
    lowest, name = _lowest(record, samples)
    fid, recall, learnt = (
        tuple(each[key]["overall"][0] for each in (samples, real))
        for key in ("intra_fid", "intra_recall", "classification_accuracy")
    )
    return (
        f"One run of {record['steps']:,} iterations on {record['data']['name']}, {record['minutes']:.1f} minutes on "
        f"{record['device']}: the classifier puts {samples['agreement']['overall'][0]:.1%} of {total:,} samples, "
        f"{count:,} per class, in the requested class ({TEST}: {record[TEST]['agreement']['overall'][0]:.1%}); in the "
        f"worst class, {name}, {lowest:.1%}. Within classes, recall is {recall[0]:.2f} ({TRAINING}: {recall[1]:.2f}) "
        f"and FID {fid[0]:.2f} ({fid[1]:.2f}). A classifier trained on the samples alone classifies {learnt[0]:.1%} of "
        f"the {TEST} correctly; trained on as many {TRAINING}, {learnt[1]:.1%}."
    )


def markdown(records: Sequence[dict[str, Any]]) -> str:
    """Returns the Markdown table: a row per record, and below a row of real images per data set."""
    head = "| | requested class | worst class | recall in classes | FID in classes | accuracy if trained on them |"
    rows, real = [], {}
    for record in records:
        data = record["data"]["name"]
        rows.append(_row(f"`{record['experiment']}`, {data}", record, record["samples"]))
        real[data] = _row(f"real images, {data}", record, record[TRAINING] | record[TEST])
    return "\n".join([head, "| --- |" + " --- |" * 5, *rows, *real.values()])


def _trained(directory: Path, run: Restored) -> dict[str, Any]:
    """Returns a run's description, with its training time up to the scored checkpoint."""
    experiment, environment = run.record["experiment"], run.record["environment"]
    count, device = environment["devices"], environment["device"]
    seconds = [line.get("seconds", 0.0) for line in log.read(directory) if line["step"] <= run.step]
    return {
        "experiment": (experiment["module"] or Path(experiment["file"]).stem).split(".")[-1],
        "command": environment["command"],
        "config": run.record["config"],
        "data": run.record["data"],
        "commit": environment["commit"],
        "device": device if count == 1 else f"{count} x {device}",
        "steps": run.step,
        "minutes": round(max(seconds, default=0.0) / 60, 2),
    }


def _row(name: str, record: dict[str, Any], scores: dict[str, Any]) -> str:
    agreement, recall, fid, learnt = (
        scores[key]["overall"][0] for key in ("agreement", "intra_recall", "intra_fid", "classification_accuracy")
    )
    lowest, worst = _lowest(record, scores)
    return f"| {name} | {agreement:.1%} | {lowest:.1%} ({worst}) | {recall:.2f} | {fid:.2f} | {learnt:.1%} |"


def _lowest(record: dict[str, Any], scores: dict[str, Any]) -> tuple[float, str]:
    """Returns the lowest agreement of any class, and the class's name."""
    return min(zip(scores["agreement"]["per_class"], record["classes"], strict=True))


def _rounded(score: ByClass) -> dict[str, Any]:
    """Rounds a score for the record: value and error (None if unknown) over all classes, and each class's value."""
    return {
        "overall": [None if x != x else round(x, 4) for x in score.overall],
        "per_class": [round(each.value, 4) for each in score.per_class],
    }


if __name__ == "__main__":
    cli(main)
