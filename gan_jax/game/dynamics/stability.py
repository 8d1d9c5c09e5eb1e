"""Linear stability of an update at a fixed point, and its simulation to compare."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gan_jax import rng
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch, Metrics, PyTree, TrainState, Update

Verdict = Literal["converges", "diverges", "undecided"]

STEPS = (1e-4, -1e-4, 1e-6, -1e-6)  # of difference quotients; the last two are much closer to a derivative that exists


class Stability(NamedTuple):
    """Linear stability of an update at a fixed point.

    Attributes:
        eigenvalues: Of the update's Jacobian, complex `[n]`, largest modulus first; NaN if there is no derivative.
        radius: Spectral radius: in the long run small deviations change by this factor per iteration.
        verdict: "converges" if the radius is below 1, "diverges" (from this point, perhaps to another) if it is above,
            "undecided" if it is within 1e-6 of 1, or NaN.
    """

    eigenvalues: np.ndarray
    radius: float
    verdict: Verdict


def repeated(update: Update, times: int) -> Update:
    """Returns an update of several iterations, such as one period of look-ahead or of a lazy penalty, for `stability`.

    Iterations are numbered from the state's step, and each has a key of its own. The step itself is not changed. The
    metrics are the last iteration's.

    Args:
        update: Any update.
        times: Number of iterations, at least 1.
    """
    if times < 1:
        raise UserError(f"times={times}: give at least 1 iteration")

    def several(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def one(now: TrainState, i: Array) -> tuple[TrainState, Metrics]:
            new, metrics = update(now, batch, jax.random.fold_in(key, i))
            return replace(new, step=now.step + 1), metrics

        new, metrics = jax.lax.scan(one, state, jnp.arange(times))
        return replace(new, step=state.step), jax.tree.map(lambda x: x[-1], metrics)

    return several


def stability(update: Update, state: TrainState, batch: Batch | None = None, key: Array | None = None) -> Stability:
    """Returns the eigenvalues of an update's Jacobian at a fixed point, and whether the update converges to it.

    lambda = eig(dF/dx), where x is the update's floating-point state: parameters, running statistics, slots and
    optimiser states. The averages of `ema` have no effect on training and are left out. Integers and flags are held at
    their values after one iteration, so that a special first step does not count. Everything is computed in float64,
    as float32 cannot tell a kink from rounding.

    A number that never changes (a frozen network, an injected learning rate) has the eigenvalue 1, and so has the
    direction of a line of fixed points: then the verdict cannot be "converges".

    The Jacobian is computed by forward-mode differentiation and compared with difference quotients of both signs, along
    every axis and 8 random directions. If the quotients of the smaller step are not much closer to it, the eigenvalues
    are NaN: the update has no derivative, or `stop_gradient` hides it.

    Args:
        update: One iteration, of a state of few numbers: the cost is about 5 evaluations and 5 derivatives per number.
        state: A fixed point.
        batch: The batch; none by default.
        key: Key of every evaluation.

    Raises:
        UserError: If the update changes the state, by more than 1e-9.
    """
    with jax.enable_x64(True):
        results = jax.jit(functools.partial(_linearised, update))(
            _double(state), _double(batch or {}), rng.key(0) if key is None else key
        )
        moved, jacobian, errors = (np.asarray(x) for x in results)
    if not moved <= 1e-9:
        raise UserError(
            f"state: the update moves it by {moved:.3g}, so it is not a fixed point; give an equilibrium, and a batch "
            "for which no player moves"
        )
    rounding = 1e-8 * (1 + np.abs(jacobian).max())
    if not np.isfinite(jacobian).all() or not (errors[2:] <= errors[:2] / 5 + rounding).all():
        return Stability(np.full(len(jacobian), np.nan, complex), np.nan, "undecided")
    eigenvalues = np.linalg.eigvals(jacobian).astype(complex)
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
    radius = float(np.abs(eigenvalues[0]))
    if abs(radius - 1) <= 1e-6:
        return Stability(eigenvalues, radius, "undecided")
    return Stability(eigenvalues, radius, "converges" if radius < 1 else "diverges")


def simulate(
    update: Update, state: TrainState, batch: Batch | None = None, *, steps: int, key: Array | None = None
) -> np.ndarray:
    """Returns the distance of all parameters from 0, the equilibrium of both games, after each iteration.

    |params_t|, t = 1 ... steps, computed in float64. To compare with `stability`, start near the equilibrium: farther
    away, training may circle even an unstable point for ever.

    Args:
        update: One iteration.
        state: Initial state.
        batch: Batch of every iteration; none by default.
        steps: Number of iterations.
        key: Iteration t uses a key derived from it and t.

    Returns:
        `[steps]`.
    """

    def iterate(state: TrainState, t: Array) -> tuple[TrainState, Array]:
        new, _ = update(state, around, jax.random.fold_in(seed, t))
        return replace(new, step=state.step + 1), optax.tree.norm(new.params)

    with jax.enable_x64(True):
        around, seed = _double(batch or {}), rng.key(0) if key is None else key
        _, distances = jax.jit(lambda state: jax.lax.scan(iterate, state, jnp.arange(steps)))(_double(state))
        return np.asarray(distances)


def _linearised(update: Update, state: TrainState, batch: Batch, key: Array) -> tuple[Array, Array, Array]:
    """Returns the largest change of the state, the Jacobian `[n, n]`, and quotients' errors `[steps, directions]`."""
    point, _ = _numbers(state)
    _, put = _numbers(update(state, batch, key)[0])

    def f(x: Array) -> Array:
        return _numbers(update(put(x), batch, key)[0])[0]

    random = jax.random.normal(rng.key(0), (8, len(point)))
    directions = jnp.concatenate([jnp.eye(len(point)), random / jnp.linalg.norm(random, axis=1, keepdims=True)])
    steps = jnp.array([0.0, *STEPS])[:, None, None]
    along = jnp.repeat(directions[None], len(steps), axis=0)
    # one compiled function: the unused derivatives away from the point cost less than compiling a second one
    values, slopes = jax.vmap(jax.vmap(lambda x, d: jax.jvp(f, (x,), (d,))))(point + steps * directions, along)
    value, slope = values[0, 0], slopes[0]
    errors = jnp.abs((values[1:] - value) / steps[1:] - slope).max(axis=-1)
    return jnp.abs(value - point).max(), slope[: len(point)].T, errors


def _numbers(state: TrainState) -> tuple[Array, Callable[[Array], TrainState]]:
    """Returns the floating-point state as a vector (without `ema`), and the function from a vector to a state."""
    leaves, structure = jax.tree.flatten((state.params, state.stats, state.opt_state, state.extra))
    floating = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    flat, unravel = ravel_pytree([leaves[i] for i in floating])

    def put(x: Array) -> TrainState:
        new = list(leaves)
        for i, leaf in zip(floating, unravel(x), strict=True):
            new[i] = leaf
        params, stats, opt_state, extra = jax.tree.unflatten(structure, new)
        return replace(state, params=params, stats=stats, opt_state=opt_state, extra=extra)

    return flat, put


def _double(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jnp.asarray(x, float) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
