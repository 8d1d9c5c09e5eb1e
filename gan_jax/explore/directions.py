"""Latent directions along which a generator's output changes most, found without labels; walks along them.

Both methods analyse one layer of the averaged generator: `sefa` its derivative, `pca` its values. If the layer is
linear in the latent, and latents are isotropic, they agree.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from gan_jax import game, rng
from gan_jax.errors import UserError
from gan_jax.explore.activations import activations, first_layer, layers
from gan_jax.runs import Restored
from gan_jax.sample import generate, latents_of, require_memory
from gan_jax.types import Array, PyTree

ROWS = 128  # most activations, or derivatives, in memory at once
SCALE = 4096  # latents that measure the deviation along a direction
ROUNDS = 4  # of subspace iteration


class Directions(NamedTuple):
    """Directions in the latent space, strongest first.

    Attributes:
        vectors: Unit vectors, float32 `[count, size]`, with a positive largest component.
        strengths: Strength of each, float32 `[count]`, descending; defined by the method.
        layer: The layer of the generator that was analysed.
    """

    vectors: np.ndarray
    strengths: np.ndarray
    layer: str


def sefa(run: Restored, count: int = 8, layer: str | None = None, samples: int = 256, seed: int = 0) -> Directions:
    """Finds the directions that change a layer most (SeFa, Shen and Zhou 2021, arXiv:2007.06600), for any layer.

    The eigenvectors of E_z[J^T J], where J is the layer's derivative by the latent: the unit vector v that maximises
    the mean of |J v|^2, then the best one orthogonal to it, and so on. For a first layer A z + b it is the closed form
    of the paper, the right singular vectors of A, whatever the latents. The batch norm after that layer also accounts
    for the rescaling of the units, which the paper's A ignores; the last layer gives the directions that change the
    image most.

    Args:
        run: An opened run.
        count: Number of directions, at most the latent's dimensions.
        layer: One of `layers(run)`; by default the first that depends on the latent, as in the paper.
        samples: Number of latents to average over; no effect if the layer is linear.
        seed: Selects the latents.

    Returns:
        Orthonormal directions; their strengths are the eigenvalues, the mean of |J v|^2: squared singular values of A.

    Raises:
        UserError: If there is no such layer, or `count` or `samples` is too small.
    """
    layer, values = _prepare(run, count, layer, samples, seed, curved=False)
    size = values.shape[1]

    @jax.jit
    def summed(average: PyTree, values: Array) -> Array:
        with jax.default_matmul_precision("highest"):
            push = jax.linearize(lambda z: activations(run, average, z)[layer], values)[1]
            columns = jax.vmap(lambda axis: push(jnp.broadcast_to(axis, values.shape)))(jnp.eye(size))
            rows = columns.reshape(size, -1)  # all latents at once, as only the sum over them matters
            return rows @ rows.T

    parts = values.reshape(-1, _divisor(samples, ROWS // size), size)
    matrix = sum(np.asarray(summed(run.ema["generator"], part), np.float64) for part in parts) / samples
    strengths, vectors = np.linalg.eigh(matrix)
    return _directions(vectors.T[::-1][:count], strengths[::-1][:count], layer)


def pca(run: Restored, count: int = 8, layer: str | None = None, samples: int = 4096, seed: int = 0) -> Directions:
    """Finds the principal components of a layer's activations (GANSpace, Härkönen et al. 2020, arXiv:2004.02546).

    x = V^T (y - E y), V the leading eigenvectors of Cov(y); direction k is the regression of z on x_k,
    Cov(z, x_k) / Var(x_k), normalised to length 1. A component that is an even function of the latent has no such
    direction, and the result for it is noise.

    The components come from subspace iteration (Halko et al. 2009, arXiv:0909.4061), which recomputes the activations
    each round and never holds them all; it is exact for a layer that is linear in the latent.

    Args:
        run: An opened run.
        count: Number of directions; fewer are returned if the latent has fewer dimensions, or fewer components vary.
        layer: One of `layers(run)`; by default the first that is not linear in the latent, as `sefa` covers the others.
        samples: Number of latents, at least 2.
        seed: Selects the latents.

    Returns:
        Directions, not always orthogonal; their strengths are the variances of the components.

    Raises:
        UserError: If there is no such layer, or it does not vary, or `count` or `samples` is too small.
    """
    layer, values = _prepare(run, count, layer, samples, seed, curved=True)
    size, units = values.shape[1], math.prod(layers(run)[layer])
    parts = jnp.asarray(values.reshape(-1, _divisor(samples, ROWS), size))

    @jax.jit
    def over_all(average: PyTree, mean: Array, basis: Array) -> tuple[Array, Array, Array]:
        def add(sums: tuple[Array, Array], part: Array) -> tuple[tuple[Array, Array], Array]:
            centred = activations(run, average, part)[layer].reshape(len(part), -1) - mean
            coordinates = centred @ basis
            return (sums[0] + centred.sum(axis=0), sums[1] + centred.T @ coordinates), coordinates

        with jax.default_matmul_precision("highest"):
            (total, product), coordinates = lax.scan(add, (jnp.zeros(units), jnp.zeros(basis.shape)), parts)
        return total / samples, product, coordinates.reshape(samples, -1)

    # a linear layer has no more than `size` components: the others are spare
    average, mean = run.ema["generator"], jnp.zeros(units)
    basis = jax.random.normal(rng.key(0), (units, min(units, size + 8)))
    mean = over_all(average, mean, basis)[0]
    for _ in range(ROUNDS):
        basis = jnp.asarray(np.linalg.qr(over_all(average, mean, basis)[1])[0])
    coordinates = over_all(average, mean, basis)[2]
    components, deviations, _ = np.linalg.svd(coordinates, full_matrices=False)  # `[samples, width]`, orthonormal
    least = max(1e-4 * deviations[0], 1e-6 * math.sqrt(samples) * np.linalg.norm(mean))  # below it: rounding errors
    rank = min(count, size, int((deviations > least).sum()))
    if not rank:
        raise UserError(f"layer={layer!r}: its activations do not vary with the latent; give another of layers(run)")
    vectors = components[:, :rank].T @ (values - values.mean(axis=0))
    return _directions(vectors, deviations[:rank] ** 2 / samples, layer)


def traverse(
    run: Restored, seed: int, vectors: ArrayLike, steps: int, extent: float = 3.0, samples: int = 1
) -> np.ndarray:
    """Moves the latents of images along directions, symmetrically about each image.

    z + t s v, t from -extent to extent, where s is the measured deviation of the latents along the unit vector v: 1 for
    normal latents, 0.58 for those uniform on [-1, 1], whose interval a walk may leave.

    Args:
        run: An opened run.
        seed: Selects the images, as in `sample.samples`.
        vectors: Directions `[count, size]`, as `Directions.vectors`; their lengths do not matter.
        steps: Images per walk, at least 2; if odd, the middle one is the image itself.
        extent: Largest distance from the image, in deviations of the latent.
        samples: Number of images to move along each direction: 0 to samples - 1 of the seed.

    Returns:
        Images `[count * samples * steps, ...]`, walk by walk: direction 0 from each image, direction 1 from each, ...
    """
    size, along = game.sampler(run.system)[0].size, np.asarray(vectors, np.float32)
    if along.ndim != 2 or along.shape[1] != size or not len(along):
        raise UserError(f"vectors have shape {along.shape}: give [count, {size}], count at least 1")
    lengths = np.linalg.norm(along, axis=1, keepdims=True)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise UserError(f"vectors have lengths {lengths[:, 0]}: each must be finite and above 0")
    if steps < 2 or samples < 1 or not 0 < extent < math.inf:
        raise UserError(
            f"steps={steps}, samples={samples}, extent={extent}: give at least 2 steps, at least 1 sample and a finite "
            "extent above 0"
        )
    require_memory(run, len(along) * samples * steps)
    along, drawn = along / lengths, np.asarray(latents_of(run, seed, max(samples, SCALE)))
    along = along * np.std(drawn @ along.T, axis=0)[:, None]
    offsets = np.linspace(-extent, extent, steps, dtype=np.float32)[:, None] * along[:, None, None]
    walks = drawn[:samples, None] + offsets  # [count, samples, steps, size]
    return generate(run, jnp.asarray(walks.reshape(-1, size)))


def _prepare(
    run: Restored, count: int, layer: str | None, samples: int, seed: int, curved: bool
) -> tuple[str, np.ndarray]:
    """Checks the arguments; returns the layer, by default that of `first_layer`, and the latents."""
    if count < 1 or samples < 2:
        raise UserError(f"count={count}, samples={samples}: give at least 1 direction and 2 latents")
    names = list(layers(run))
    if layer is not None and layer not in names:
        raise UserError(f"layer={layer!r} does not exist; the generator has {', '.join(names)}")
    drawn = np.asarray(latents_of(run, seed, samples))
    return layer or first_layer(run, drawn, curved), drawn


def _divisor(total: int, most: int) -> int:
    """Returns the largest divisor of a total that is at most `most`, or 1: parts of one size compile once."""
    return next((part for part in range(min(total, most), 1, -1) if total % part == 0), 1)


def _directions(vectors: np.ndarray, strengths: np.ndarray, layer: str) -> Directions:
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    vectors = vectors * np.sign(largest) / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Directions(vectors.astype(np.float32), np.maximum(strengths, 0).astype(np.float32), layer)
