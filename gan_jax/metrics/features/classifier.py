"""The small classifier of a labelled image set, by which samples are scored.

Its confidence should distinguish samples from noise and blends, which ordinary training does not achieve: see
`train_classifier`, which trains it.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import traverse_util
from numpy.typing import ArrayLike

from gan_jax.data import kinds
from gan_jax.data.dataset import fingerprint
from gan_jax.devices.batched import in_batches
from gan_jax.errors import UserError
from gan_jax.networks import linen
from gan_jax.networks.layers.conv import Conv
from gan_jax.pictures import to_uint8
from gan_jax.types import Array, PyTree

SIZE = 64  # features
STEPS = 2400  # updates in training
PADDED = 250  # images per batch


class Classifier(NamedTuple):
    """A trained classifier.

    Its functions take images `[N, H, W, C]`, uint8, or float in [-1, 1], which are rounded to uint8 first, as when
    saved. An image's result does not depend on the other images, bit for bit. Images of another shape raise UserError.

    Attributes:
        probabilities: `(images) -> float32 [N, classes]`.
        features: `(images) -> float32 [N, 64]`, the activations before the last layer.
        size: Number of features, 64.
        classes: Number of classes.
        params: Its weights.
        apply: `(params, images) -> (features, probabilities)`, on float32 images in [-1, 1]; a pure function.
        accuracy: Fraction of the test split that it classifies correctly.
        fingerprint: Hash of its weights; scores by classifiers of different fingerprints are not comparable.
    """

    probabilities: Callable[[ArrayLike], np.ndarray]
    features: Callable[[ArrayLike], np.ndarray]
    size: int
    classes: int
    params: PyTree
    apply: Callable[[PyTree, Array], tuple[Array, Array]]
    accuracy: float
    fingerprint: str


class Verdict(NamedTuple):
    """A classifier's confidence and class distribution on a set of samples.

    Attributes:
        sure: Fraction of samples whose largest probability exceeds the threshold.
        shares: Fraction of samples assigned to each class, whatever the confidence; they sum to 1.
    """

    sure: float
    shares: tuple[float, ...]


def verdict(probabilities: ArrayLike, threshold: float = 0.9) -> Verdict:
    """Summarises `Classifier.probabilities`, `[N, classes]`; raises UserError if there are none."""
    p = np.asarray(probabilities)
    if p.ndim != 2 or not p.size:
        raise UserError(f"probabilities has shape {p.shape}: pass [N, classes] with at least one sample")
    shares = np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p)
    return Verdict(float(np.mean(p.max(1) > threshold)), tuple(shares.tolist()))


def classifier(arrays: dict[str, np.ndarray]) -> Classifier:
    """Makes a classifier from the arrays that `train_classifier.train` returns."""
    shape = tuple(arrays["shape"].tolist())
    weights = {name: jnp.asarray(leaf, jnp.float32) for name, leaf in arrays.items() if "/" in name}
    params, classes = traverse_util.unflatten_dict(weights, sep="/"), arrays["logits/bias"].size

    def judge(params: PyTree, images: Array) -> tuple[Array, Array]:
        if images.shape[1:] != shape:
            raise UserError(f"images of shape {images.shape[1:]}: this classifier was trained on images of {shape}")
        return _judge(params, images, classes)

    def run(images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        images = np.asarray(images)
        images = images if images.dtype == np.uint8 else to_uint8(images)
        return in_batches(lambda part: judge(params, kinds.image.to_network(part)), PADDED, images)

    return Classifier(
        probabilities=lambda images: run(images)[1],
        features=lambda images: run(images)[0],
        size=arrays["logits/kernel"].shape[0],
        classes=classes,
        params=params,
        apply=judge,
        accuracy=float(arrays["accuracy"]),
        fingerprint=fingerprint(arrays),
    )


@functools.partial(jax.jit, static_argnames="classes")
def _judge(params: PyTree, images: Array, classes: int) -> tuple[Array, Array]:
    features, logits = linen(Net(classes), images.shape[1:]).apply(params, {}, images, train=False)[0]
    return features, nn.softmax(logits)


class Net(nn.Module):
    """Convolutional classifier: halves images to 4x4 or less; no pooling, as position tells a 6 from a 9."""

    classes: int  # number of logits

    @nn.compact
    def __call__(self, images: Array, train: bool) -> tuple[Array, Array]:
        """Maps `[b, H, W, C]` in [-1, 1] to features `[b, 64]` and logits `[b, classes]`."""
        x = images
        for depth in range(max(1, math.ceil(math.log2(max(x.shape[1:3]) / 4)))):
            x = Conv(48 if depth else 32, 3 if depth else 5, 2)(x)
            x = nn.relu(nn.GroupNorm(8)(x))
        features = nn.relu(nn.Dense(SIZE)(x.reshape(len(x), -1)))
        return features, nn.Dense(self.classes, name="logits")(features)
