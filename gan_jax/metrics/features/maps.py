"""Feature maps of a classifier or of Inception, as a frozen `Backbone` for `networks.projected`."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax.metrics.features import inception as inceptions
from gan_jax.metrics.features import inception_network, resize
from gan_jax.metrics.features.classifier import Classifier, Net
from gan_jax.networks.wrappers.projected import Backbone
from gan_jax.types import Array, PyTree

SCALES = ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")  # sides 71, 35, 17 and 8


def of_classifier(classifier: Classifier) -> Backbone:
    """Returns the maps after each convolution of a data set's classifier, such as `pretrained.load("digits")`.

    Args:
        classifier: The classifier; images must have the shape on which it was trained.
    """
    return Backbone(classifier.params, functools.partial(_of_classifier, classifier))


def inception(path: Path | str | None = None, scales: Sequence[str] = SCALES) -> Backbone:
    """Returns maps of Inception-v3 at several scales, of images resized to 299x299 by bilinear interpolation.

    FID by the same Inception features then favours the generator; score it by other features.

    Args:
        path: Weights, as in `inception.features`.
        scales: Names of layers, largest map first.
    """
    return Backbone(inceptions.features(path).params, functools.partial(_of_inception, tuple(scales)))


def _of_classifier(classifier: Classifier, weights: PyTree, images: Array) -> tuple[Array, ...]:
    jax.eval_shape(classifier.apply, weights, images)  # refuses other shapes
    net = functools.partial(Net(classifier.classes).apply, {"params": weights}, images, train=False)
    return _captured(net, lambda name: name.startswith("GroupNorm"))


def _of_inception(scales: tuple[str, ...], weights: PyTree, images: Array) -> tuple[Array, ...]:
    x = resize.bilinear(images, inceptions.SIDE)
    x = jnp.broadcast_to(x, (*x.shape[:3], 3))
    net = functools.partial(inception_network.Net().apply, {"params": weights}, x)
    return _captured(net, lambda name: name in scales)


def _captured(run: Callable[[], Any], chosen: Callable[[str], bool]) -> tuple[Array, ...]:
    """Runs a network, and returns the outputs of layers chosen by name, in order of evaluation, after a ReLU."""
    taken: list[Array] = []

    def intercept(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        value = call(*args, **kwargs)
        path = context.module.path
        if context.method_name == "__call__" and len(path) == 1 and chosen(path[0]):
            taken.append(nn.relu(value))
        return value

    with nn.intercept_methods(intercept):
        run()
    return tuple(taken)
