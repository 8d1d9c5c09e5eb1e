"""The digits that come with the package: 12,000 MNIST images, usable without a download."""

from functools import cache
from importlib import resources

import numpy as np

from gan_jax.data.dataset import Dataset, dataset
from gan_jax.data.reading.images import squares
from gan_jax.errors import UserError

SPLITS = ("train", "test")


def load(split: str = "train", resolution: int | None = None) -> Dataset:
    """Loads the embedded digits; LICENSE-MNIST.txt in this folder gives their source and licence.

    Args:
        split: "train" (10,000 MNIST training images, 1,000 of each digit) or "test" (2,000 test images, 200 of each).
        resolution: Side to resize to, in pixels; None keeps 28.

    Returns:
        Images `[N, resolution, resolution, 1]`, white on black, and labels in [0, 10).

    Raises:
        UserError: If there is no such split.
    """
    if split not in SPLITS:
        raise UserError(f"split={split!r}: digits has the splits {' and '.join(SPLITS)}; use one of them")
    image, label = (x.copy() for x in _arrays(split))
    return dataset("digits", split, squares(image[..., None], resolution), label, classes=10)


@cache  # 8 MB; decompressing takes a tenth of a second, and notebooks, sweeps and tests load the digits many times
def _arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    with resources.files("gan_jax.data.sources").joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays[f"{split}_image"], arrays[f"{split}_label"]
