"""The classifier of stacked digits: the classifier of digits, applied to each channel.

It counts the modes of a generator as in Metz et al. 2017 (arXiv:1611.02163), Srivastava et al. 2017, "VEEGAN"
(arXiv:1705.07761), and Lin et al. 2018, "PacGAN" (arXiv:1712.04086): `python -m gan_jax.evaluate RUN --metrics classes
uniform_kl --count 26000`.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from gan_jax.data.dataset import fingerprint
from gan_jax.data.sources.stacked import CHANNELS
from gan_jax.errors import UserError
from gan_jax.metrics.features.classifier import Classifier
from gan_jax.types import Array, PyTree


def stacked(judge: Classifier) -> Classifier:
    """Makes the classifier of images `[N, H, W, 3]` whose channels are digits.

    p(d0, d1, d2) = p(d0) p(d1) p(d2), so the likeliest class has the likeliest digit of each channel, and it is
    confident only if every channel is. Features are those of the channels, concatenated.

    Args:
        judge: Classifier of digits `[N, H, W, 1]` with K classes.

    Returns:
        A classifier of K^3 classes; its accuracy is that for independent channels.
    """
    kinds = judge.classes

    def apply(params: PyTree, images: Array) -> tuple[Array, Array]:
        features, p = judge.apply(params, _channels(images, jnp.moveaxis))
        p = p.reshape(-1, CHANNELS, kinds)
        triples = p[:, 0, :, None, None] * p[:, 1, None, :, None] * p[:, 2, None, None, :]
        return features.reshape(len(images), -1), triples.reshape(len(images), -1)

    def probabilities(images: ArrayLike) -> np.ndarray:
        p = judge.probabilities(_channels(np.asarray(images), np.moveaxis)).reshape(-1, CHANNELS, kinds)
        return np.einsum("ni,nj,nk->nijk", *p.swapaxes(0, 1)).reshape(len(p), -1)

    def features(images: ArrayLike) -> np.ndarray:
        return judge.features(_channels(np.asarray(images), np.moveaxis)).reshape(-1, CHANNELS * judge.size)

    return judge._replace(
        probabilities=probabilities,
        features=features,
        size=CHANNELS * judge.size,
        classes=kinds**CHANNELS,
        apply=apply,
        accuracy=judge.accuracy**CHANNELS,
        fingerprint=fingerprint({f"{CHANNELS} channels by {judge.fingerprint}": np.zeros(0)}),
    )


def _channels(images: Any, moveaxis: Callable[..., Any]) -> Any:
    """Turns each channel into an image, `[N, H, W, 3]` to `[3 N, H, W, 1]`, with those of one image consecutive."""
    if images.ndim != 4 or images.shape[-1] != CHANNELS:
        raise UserError(f"images of shape {images.shape[1:]}: stacked digits have {CHANNELS} channels")
    return moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3], 1)
