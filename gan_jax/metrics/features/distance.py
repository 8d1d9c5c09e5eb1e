"""Squared distances between images, by which path lengths are measured."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gan_jax.metrics.features.extraction import Features
from gan_jax.types import Array, PyTree


class Distance(NamedTuple):
    """A squared distance between two images.

    Attributes:
        name: Readable name of the features.
        fingerprint: Hash of their weights.
        resize: Method that resizes images; "none" where they are not resized.
        formula: How features become a distance, in words, for the protocol of scores.
        prefix: Prefix of the names of scores by this distance, such as "lpips_"; "" for distances of features.
        params: Weights.
        apply: `(params, first [b, ...], second [b, ...]) -> squared distances [b]`, between examples in the form that
            `Features.apply` takes.
    """

    name: str
    fingerprint: str
    resize: str
    formula: str
    prefix: str
    params: PyTree
    apply: Callable[[PyTree, Array, Array], Array]


def of_features(judge: Features) -> Distance:
    """Returns the distance |f(x) - f(y)|^2, with features f scaled to norm 1."""

    def apply(params: PyTree, first: Array, second: Array) -> Array:
        f, g = (_unit(judge.apply(params, images)[0]) for images in (first, second))
        return jnp.sum((f - g) ** 2, axis=1)

    return Distance(judge.name, judge.fingerprint, judge.resize, "features of norm 1", "", judge.params, apply)


def _unit(features: Array) -> Array:
    return features / jnp.maximum(jnp.linalg.norm(features, axis=1, keepdims=True), 1e-10)
