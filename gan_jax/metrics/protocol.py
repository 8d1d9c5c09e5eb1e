"""Scores with their protocol (features, data, sample counts), so that only comparable scores are compared.

A run's scores are in `RUN/scores.jsonl`, one JSON object per line.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gan_jax.errors import UserError
from gan_jax.files import atomic

FILE = "scores.jsonl"


class Score(NamedTuple):
    """One score of one set of samples, with its protocol.

    Attributes:
        metric: Name of the metric, such as "fid".
        value: Its value.
        error: Its standard error; NaN where unknown.
        features: Fingerprint of the features; "" where the metric has none.
        features_name: Readable name of the features.
        resize: Method that resized images for the features.
        settings: Settings of the metric, such as "k=3".
        data: Fingerprint of the real images.
        data_name: Name of their data set.
        split: Its split.
        real: Number of real images.
        fake: Number of samples.
        weights: "averaged" or "raw" of a run's samples, followed by the number of batches of standing statistics if
            there are any; else what was scored as samples: "training images", for a reference value, or the name of a
            set.
        step: Step of the checkpoint; None where there is none.
        seed: Seed of the samples, or of their choice from a larger set.
        fake_data: Fingerprint of the set that was scored; "" of a run's samples.
    """

    metric: str
    value: float
    error: float
    features: str
    features_name: str
    resize: str
    settings: str
    data: str
    data_name: str
    split: str
    real: int
    fake: int
    weights: str
    step: int | None
    seed: int
    fake_data: str = ""


SAME = ("metric", "features", "resize", "settings", "data", "split", "real", "fake")  # must agree in a comparison


class Difference(NamedTuple):
    """The difference of two scores.

    Attributes:
        value: The first minus the second.
        error: Its standard error, for independent samples.
    """

    value: float
    error: float


def compare(first: Score, second: Score) -> Difference:
    """Subtracts two scores of one protocol; checkpoints, weights, seeds and runs may differ.

    Raises:
        UserError: If the protocols differ; it names the first field that does.
    """
    for field in SAME:
        a, b = getattr(first, field), getattr(second, field)
        if a != b:
            raise UserError(f"{field}: the protocols differ, {a!r} and {b!r}; score both again with the same one")
    return Difference(first.value - second.value, math.hypot(first.error, second.error))


def text(score: Score) -> str:
    """Returns a score as text, such as "fid 9.39 ± 0.12"."""
    return f"{score.metric} {measured(score.value, score.error)}"


def measured(value: float, error: float, sign: str = "") -> str:
    """Returns a value with its error as text, the error only where it is known; with `sign` "+" the sign always."""
    return f"{value:{sign}.4g}" + (f" ± {error:.2g}" if error == error else "")


def described(score: Score) -> str:
    """Returns the protocol of a score as text."""
    parts = [
        f"features {score.features_name} ({score.features[:8]})" if score.features else "",
        f"resize {score.resize}" if score.resize != "none" else "",
        score.settings,
        f"{score.real:,} real of {score.data_name} ({score.split}, {score.data[:8]})",
        f"{score.fake:,} samples",
    ]
    return ", ".join(part for part in parts if part)


def identity(score: Score) -> Score:
    """Returns a score without value and error; a later score of equal identity replaces it."""
    return score._replace(value=0.0, error=0.0)


def read(run: Path) -> list[Score]:
    """Returns the scores of a run, in the order in which they were first written; none if there is no file.

    Raises:
        UserError: If a line is not a score.
    """
    path, scores = run / FILE, []
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            fields: dict[str, Any] = json.loads(line)
            fields |= {name: math.nan for name in ("value", "error") if fields[name] is None}
            scores.append(Score(**fields))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}: line {number} is not a score ({error}); delete it, and evaluate again") from error
    return scores


def write(run: Path, scores: Iterable[Score]) -> None:
    """Adds scores to those of a run, atomically; those of equal identity are replaced."""
    latest = {identity(score): score for score in [*read(run), *scores]}
    lines = [json.dumps({k: None if v != v else v for k, v in s._asdict().items()}) + "\n" for s in latest.values()]
    with atomic(run / FILE) as file:
        file.write("".join(lines).encode())


def drop_after(run: Path, step: int) -> None:
    """Deletes the scores of checkpoints after a step, from which a run continues."""
    scores = read(run)
    remaining = [score for score in scores if score.step is None or score.step <= step]
    if len(remaining) < len(scores):
        (run / FILE).unlink()
        write(run, remaining)
