"""The available scores, and what each of them needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics import classes, fid, inception_score, kid, precision_recall, sliced_wasserstein
from gan_jax.metrics.estimate import Estimate
from gan_jax.metrics.features import Features, Plan
from gan_jax.metrics.precision_recall import Overlap
from gan_jax.metrics.statistics import Summary, feature_arrays

Name = Literal[
    "fid",
    "kid",
    "inception_score",
    "precision",
    "recall",
    "density",
    "coverage",
    "classes",
    "class_kl",
    "uniform_kl",
    "copying",
    "sliced_wasserstein",
]


GROUPS = 10  # groups of samples, from which the errors of some scores are estimated


class Metric(NamedTuple):
    """One score on the menu.

    Attributes:
        of: The score, `(Sets) -> Estimate`.
        settings: Its fixed settings, for the record.
        higher: Whether higher is better.
        keep: Whether it needs all features at once.
        probabilities: Whether it needs a classifier's probabilities.
        pixels: Whether it compares images themselves, which the features "pixels" are.
    """

    of: Callable[["Sets"], Estimate]
    settings: str = ""
    higher: bool = False
    keep: bool = False
    probabilities: bool = False
    pixels: bool = False


class Sets(NamedTuple):
    """The image sets that a score compares.

    Attributes:
        real: Real images.
        fake: Samples.
        train: Features of the generator's training images, where needed.
        few: Whether an FID with no more images than features is accepted.
        shape: Shape of an image.
        overlap: Returns precision, recall, density and coverage, which share their searches; computed once.
    """

    real: Summary
    fake: Summary
    train: np.ndarray | None
    few: bool
    shape: tuple[int, ...]
    overlap: Callable[[], Overlap]


METRICS: dict[Name, Metric] = {
    "fid": Metric(lambda sets: fid.fid(sets.real, sets.fake, sets.few)),
    "kid": Metric(lambda sets: kid.kid(sets.real, sets.fake), keep=True),
    "inception_score": Metric(
        lambda sets: inception_score.inception_score(sets.fake), f"{GROUPS} groups", higher=True, probabilities=True
    ),
    "precision": Metric(lambda sets: sets.overlap().precision, "k=3", higher=True, keep=True),
    "recall": Metric(lambda sets: sets.overlap().recall, "k=3", higher=True, keep=True),
    "density": Metric(lambda sets: sets.overlap().density, "k=5", higher=True, keep=True),
    "coverage": Metric(lambda sets: sets.overlap().coverage, "k=5", higher=True, keep=True),
    "classes": Metric(lambda sets: classes.covered(sets.fake), higher=True, probabilities=True),
    "class_kl": Metric(lambda sets: classes.class_kl(sets.real, sets.fake), probabilities=True),
    "uniform_kl": Metric(lambda sets: classes.uniform_kl(sets.fake), probabilities=True),
    "copying": Metric(
        lambda sets: precision_recall.copying(sets.train, sets.real.features, sets.fake.features), keep=True
    ),
    "sliced_wasserstein": Metric(
        lambda sets: sliced_wasserstein.sliced_wasserstein(*_images(sets)),
        f"{sliced_wasserstein.PATCHES} patches an image, {sliced_wasserstein.DIRECTIONS} directions",
        keep=True,
        pixels=True,
    ),
}


def require(
    metrics: Sequence[Name],
    judge: Features | Plan,
    counts: Mapping[str, int],
    remedy: str,
    *,
    few: bool = False,
    held_out: bool = True,
    flags: str = "--",
) -> None:
    """Refuses scores that cannot be computed; needs neither images nor loaded features.

    Args:
        metrics: The scores.
        judge: The features, or what is known of them.
        counts: Numbers of images, by a name for messages, such as "test images".
        remedy: What the user can do about too few images for an FID, for the message.
        few: Whether to accept an FID with no more images than features.
        held_out: Whether the real images are held out from the generator's training.
        flags: Beginning of the flags' names, for messages: "--", or "--eval-" in training.

    Raises:
        UserError: If there are too few images, or a metric needs probabilities, held-out images or features that are
            not there.
    """
    for name, count in counts.items():
        about = f"{count:,} {name} are too few"
        if count < GROUPS:
            raise UserError(
                f"{about}: standard errors need at least {GROUPS}; raise {flags}count, or give a larger set (papers "
                "use 50,000)"
            )
        if "fid" in metrics and count <= judge.size and not few:
            raise UserError(f"fid: {about} for an FID of {judge.size:,} features; {remedy}")
    for name in metrics:
        if METRICS[name].probabilities and not judge.classes:
            raise UserError(
                f"{flags}metrics: {name} needs probabilities, which the features {judge.name!r} do not give; leave it "
                f"out, or give other {flags}features"
            )
        if METRICS[name].pixels and judge.name != "pixels":
            raise UserError(
                f"{flags}metrics: {name} compares images themselves, not the features {judge.name!r}; give {flags}"
                "features pixels, or leave it out"
            )
    if "copying" in metrics and not held_out:
        raise UserError(
            f"{flags}metrics: copying needs images held out from training, and there are none; leave it out, or "
            "compare with a test split"
        )


def _images(sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """Returns the real and the fake images, from their features "pixels"."""
    real, fake = feature_arrays(sets.real, sets.fake)
    return real.reshape(-1, *sets.shape), fake.reshape(-1, *sets.shape)
