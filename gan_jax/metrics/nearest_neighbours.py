"""Exact searches among features, on the device: nearest neighbours, and points inside balls.

Both sets go to the device in padded blocks of one size, so few programs serve sets of any size, and at most
1,024 x 1,024 distances exist at once. Squared distances are expanded as |x|^2 + |y|^2 - 2 x . y, one matrix product;
as this cancels for close points, it is computed about the mean and in float64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from gan_jax.devices import batched
from gan_jax.errors import UserError
from gan_jax.types import Array

BLOCK = 1024  # rows, at most
Points = tuple[Array, Array]  # a centred block, and its squared norms
EDGE = 1 - 1e-9  # factor of radii, so that the neighbour that defines a radius is outside


def nearest(
    queries: ArrayLike, references: ArrayLike, count: int, exclude_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest references of each query.

    Args:
        queries: `[n, D]`.
        references: `[m, D]`.
        count: Number of neighbours.
        exclude_self: Whether query i is reference i, and is not a neighbour of itself; its duplicates are.

    Returns:
        Euclidean distances, float64 `[n, count]`, in ascending order, and the indices of the references, `[n, count]`.
        Of neighbours at equal distance, to float32, the first are found. Returned distances are computed from
        differences, so that of a duplicate is exactly 0.

    Raises:
        UserError: If there are fewer references, or the shapes do not fit.
    """
    x, y = _pair("queries", queries, "references", references)
    if not 1 <= count <= len(y) - exclude_self:
        raise UserError(
            f"count={count}: there are {len(y)} references; pass a number from 1 to {len(y) - exclude_self}"
        )
    size = _size(x, y)
    with jax.enable_x64(True):
        blocks, middle = _blocks(y, size), y.mean(0, dtype=np.float64)

        def search(block: np.ndarray, excluded: np.ndarray) -> Array:
            best = jnp.full((size, count), jnp.inf, jnp.float32), jnp.zeros((size, count), int)
            rows = _centred(block, middle)
            for first, others in zip(range(0, len(y), size), blocks, strict=True):
                best = _closer(best, rows, _centred(others, middle), first, len(y), excluded)
            return best[1]

        excluded = np.arange(len(x)) if exclude_self else np.full(len(x), -1)
        indices = batched.in_batches(search, size, x, excluded)
    return _measured(x, y, indices)


def inside(points: ArrayLike, centers: ArrayLike, radii: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Counts which points lie in which open balls.

    Args:
        points: `[n, D]`.
        centers: `[m, D]`.
        radii: Radii of R balls about each center, `[m, R]`.

    Returns:
        The number of balls that contain each point, `[n, R]`, and the number of points in each ball, `[m, R]`.

    Raises:
        UserError: If the shapes do not fit.
    """
    x, y = _pair("points", points, "centers", centers)
    r = np.asarray(radii, np.float64)
    if r.ndim != 2 or len(r) != len(y):
        raise UserError(f"radii has shape {r.shape}: pass [{len(y)}, R], one row per center")
    size = _size(x, y)
    with jax.enable_x64(True):
        blocks, middle = _blocks(y, size), y.mean(0, dtype=np.float64)
        sizes = _blocks((EDGE * r) ** 2, size)
        balls, holds = [], [0] * len(blocks)
        for (block, real), _ in batched.padded(size, x, np.ones(len(x), bool)):
            rows, lies = _centred(block, middle), 0
            for i, (others, squares) in enumerate(zip(blocks, sizes, strict=True)):
                in_balls, held = _held(rows, _centred(others, middle), squares, real)
                lies, holds[i] = lies + in_balls, holds[i] + held
            balls.append(np.asarray(lies))
        held = np.concatenate([np.asarray(each) for each in holds])
    return np.concatenate(balls)[: len(x)], held[: len(y)]


@jax.jit
def _closer(
    best: tuple[Array, Array], queries: Points, references: Points, first: int, total: int, excluded: np.ndarray
) -> tuple[Array, Array]:
    """Updates the nearest references found so far with those of one block."""
    place = first + jnp.arange(len(references[0]))
    allowed = (place < total) & (place != excluded[:, None])
    # float32 from here on, as only the order matters: devices sort it a hundred times faster
    squares = jnp.where(allowed, _squares(queries, references), jnp.inf).astype(jnp.float32)
    distances = jnp.concatenate([best[0], squares], 1)
    indices = jnp.concatenate([best[1], jnp.broadcast_to(place, squares.shape)], 1)
    least, chosen = lax.top_k(-distances, best[0].shape[1])
    return -least, jnp.take_along_axis(indices, chosen, 1)


@jax.jit
def _held(points: Points, centers: Points, radii: Array, real: np.ndarray) -> tuple[Array, Array]:
    """Counts the balls that contain each point of a block, and the points in each ball; padding has radius 0."""
    squares = _squares(points, centers)

    def of(radii: Array) -> tuple[Array, Array]:
        lies = (squares < radii) & real[:, None]
        return lies.sum(1), lies.sum(0)

    in_balls, held = lax.map(of, radii.T)  # one radius at a time: all at once is several times slower on CPUs
    return in_balls.T, held.T


@jax.jit
def _centred(x: ArrayLike, middle: np.ndarray) -> Points:
    """Returns a centred block and its squared norms; compiled apart from the product, which it would slow."""
    centred = jnp.asarray(x, jnp.float64) - middle
    return centred, jnp.sum(centred * centred, 1)


def _squares(x: Points, y: Points) -> Array:
    return jnp.maximum(x[1][:, None] + y[1] - 2 * jnp.dot(x[0], y[0].T, precision=lax.Precision.HIGHEST), 0)


def _measured(x: np.ndarray, y: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the exact distances of the neighbours found, by differences, and sorts both by them."""
    distances = np.empty(indices.shape)
    for rows in np.array_split(np.arange(len(x)), -(-len(x) // BLOCK)):
        for j in range(indices.shape[1]):
            apart = x[rows].astype(np.float64) - y[indices[rows, j]]
            distances[rows, j] = np.sqrt(np.sum(apart * apart, 1))
    order = np.argsort(distances, 1, kind="stable")
    return np.take_along_axis(distances, order, 1), np.take_along_axis(indices, order, 1)


def _size(x: np.ndarray, y: np.ndarray) -> int:
    """Returns the rows of a block: the least power of two that holds the larger set, clipped to [128, `BLOCK`]."""
    return min(BLOCK, max(128, 1 << (max(len(x), len(y)) - 1).bit_length()))


def _blocks(x: np.ndarray, size: int) -> list[Array]:
    return [jnp.asarray(block) for (block,), _ in batched.padded(size, x)]


def _pair(name: str, x: ArrayLike, other: str, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(x, np.float32), np.asarray(y, np.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not (len(a) and len(b)):
        raise UserError(
            f"{name} has shape {a.shape} and {other} {b.shape}: pass [n, D] and [m, D] with at least one point each"
        )
    return a, b
