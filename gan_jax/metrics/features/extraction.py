"""Features: functions from images to vectors, by which samples are compared with real images.

Scores by different features are not comparable, so each kind carries a fingerprint. There are four kinds:
`of_classifier`, from the classifier of a data set; `inception.features`, from the network of published scores; `raw`,
the values themselves; and `function`, from any function.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import ArrayLike

from gan_jax.data import Spec
from gan_jax.data.dataset import fingerprint
from gan_jax.data.kinds import Kind
from gan_jax.devices import batched, compilation, parallel
from gan_jax.metrics.features.classifier import Classifier
from gan_jax.types import Array, PyTree

BATCH = 256  # images per batch, over all devices


class Features(NamedTuple):
    """A function from images to features.

    Attributes:
        name: Readable name.
        fingerprint: Hash of its weights; scores by features of different fingerprints are not comparable.
        resize: Method that resizes images to the network's input; "none" where they are not resized.
        size: Number of features D.
        classes: Number of classes K; 0 where it gives no probabilities.
        params: Its weights.
        apply: `(params, examples [b, ...]) -> (features [b, D], probabilities [b, K])`: pure, and independent of the
            other examples. Examples are as `to_network` of their kind returns them: images are float32 in [-1, 1], with
            8-bit values.
    """

    name: str
    fingerprint: str
    resize: str
    size: int
    classes: int
    params: PyTree
    apply: Callable[[PyTree, Array], tuple[Array, Array]]


class Plan(NamedTuple):
    """Features that are not loaded yet, and what is known of them.

    Attributes:
        name: Readable name.
        size: Number of features D.
        classes: Number of classes K; 0 where they give no probabilities.
        load: Returns the features; trains the classifier or downloads the weights if necessary.
    """

    name: str
    size: int
    classes: int
    load: Callable[[], Features]


Stream = Iterator[tuple[np.ndarray, np.ndarray]]  # batches of features [b, D] and probabilities [b, K]


def of_classifier(judge: Classifier, name: str) -> Features:
    """Returns the features before the last layer of a data set's classifier, and its probabilities.

    Args:
        judge: The classifier, from `pretrained.load`.
        name: Name of the data set that it was trained on.
    """
    return Features(
        f"classifier of {name}", judge.fingerprint, "none", judge.size, judge.classes, judge.params, judge.apply
    )


def function(name: str, apply: Callable[[PyTree, Array], Array], spec: Spec, params: PyTree = None) -> Features:
    """Makes features from any function; they have no probabilities, which some scores need.

    Args:
        name: Name, which also enters the fingerprint.
        apply: `(params, images) -> features [b, ...]`: pure, and independent of the other images.
        spec: Specification of the images.
        params: Weights of the function, if any.
    """
    shape = jax.eval_shape(apply, params, jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)).shape
    leaves = {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(params)}

    def flat(params: PyTree, images: Array) -> tuple[Array, Array]:
        return apply(params, images).reshape(len(images), -1), jnp.zeros((len(images), 0))

    mark = fingerprint({name: np.zeros(0)} | {f"{name} {path}": leaf for path, leaf in leaves.items()})
    return Features(name, mark, "none", int(np.prod(shape[1:])), 0, params, flat)


def raw(spec: Spec) -> Features:
    """Returns the raw values as features: suited to points in the plane, poor for images."""
    name = "pixels" if spec.kind.is_image else spec.kind.noun
    return function(name, lambda _, examples: examples.astype(jnp.float32), spec)


def extractor(features: Features, make: Callable[[PyTree, Array], Array]) -> Callable[[PyTree, ArrayLike], Stream]:
    """Compiles a function that makes examples and extracts their features, with each batch split over the devices.

    Args:
        features: The features.
        make: `(params, inputs [b, ...]) -> examples [b, ...]`, as networks take them: `of_data` or `of_samples`.

    Returns:
        `(params, inputs [n, ...]) -> stream`: features and probabilities in batches of at most 256; the next batch is
        computed while one is used. An example's features do not depend on the number of examples.
    """
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if BATCH % n == 0)
    mesh = parallel.mesh(devices[:count])
    whole, rows = NamedSharding(mesh, P()), NamedSharding(mesh, P(parallel.AXIS))
    compiled = compilation.interruptible(jax.jit(lambda weights, params, x: features.apply(weights, make(params, x))))

    def run(params: PyTree, inputs: ArrayLike) -> Stream:
        placed = jax.device_put((features.params, params), whole)
        return batched.stream(lambda batch: compiled(*placed, jax.device_put(batch, rows)), BATCH, inputs)

    return run


def of_data(kind: Kind) -> Callable[[PyTree, Array], Array]:
    """Returns the function that scales stored examples of a kind for networks, for `extractor`."""
    return lambda _, examples: kind.to_network(examples)


def of_samples(kind: Kind, generate: Callable[[PyTree, Array], Array]) -> Callable[[PyTree, Array], Array]:
    """Returns the function that generates samples as networks see them once stored, as real examples are."""
    return lambda params, inputs: kind.to_network(kind.from_network(generate(params, inputs)))
