"""Stacked digits: random digits in the three colour channels, 1,000 classes, to count the modes of a generator.

From Metz et al. 2017, "Unrolled GANs" (arXiv:1611.02163). The 128,000 training images of stacked MNIST are as in Lin et
al. 2018, "PacGAN" (arXiv:1712.04086); the other numbers of images are our choice.
"""

import numpy as np

from gan_jax.data.dataset import Dataset, dataset
from gan_jax.errors import UserError

CHANNELS = 3
SOURCES = {"stacked_digits": "digits", "stacked_mnist": "mnist"}  # sets of the digits to stack
SIZES = {"stacked_digits": 50_000, "stacked_mnist": 128_000}  # training images: 118 and 301 MB at side 28
TESTED = 10_000


def require(name: str, split: str) -> None:
    """Raises UserError if there is no such split."""
    if split not in ("train", "test"):
        raise UserError(f"split={split!r}: {name} has the splits train and test; use one of them")


def stack(digits: Dataset, name: str) -> Dataset:
    """Stacks digits drawn at random with a fixed seed.

    Classes of training images are drawn uniformly, whatever the numbers of digits of each kind; each class has 10 test
    images, so none is missing there. An image with digits d0, d1, d2 in its channels has the label
    100 d0 + 10 d1 + d2.

    Args:
        digits: One split of greyscale digits, with labels.
        name: A key of `SOURCES`.

    Returns:
        50,000 ("stacked_digits") or 128,000 ("stacked_mnist") training images, or 10,000 test images, `[N, H, W, 3]`.
    """
    test = digits.split == "test"
    count, random = TESTED if test else SIZES[name], np.random.RandomState(int(test))  # NumPy keeps its streams fixed
    label = np.arange(count) % 10**CHANNELS if test else random.randint(10**CHANNELS, size=count)
    kinds = digits_of(label)
    of_kind, counts = np.argsort(digits.arrays["label"], kind="stable"), np.bincount(digits.arrays["label"])
    first = np.cumsum(counts) - counts
    chosen = of_kind[first[kinds] + (random.random_sample(kinds.shape) * counts[kinds]).astype(int)]
    image = np.empty((count, *digits.spec.shape[:2], CHANNELS), np.uint8)
    for channel in range(CHANNELS):
        image[..., channel] = digits.arrays["image"][chosen[:, channel], ..., 0]
    return dataset(name, digits.split, image, label, 10**CHANNELS)


def digits_of(label: np.ndarray) -> np.ndarray:
    """Maps labels `[N]` to their digits `[N, 3]`."""
    return np.stack([label // 10**place % 10 for place in reversed(range(CHANNELS))], -1)
