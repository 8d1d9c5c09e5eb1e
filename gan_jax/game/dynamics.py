"""The local dynamics of adversarial training: whether a game's equilibrium attracts the updates that train it.

Two games small enough to be understood, made of the very losses, terms, rules and optimisers that train networks:
`dirac`, and `quadratic`, which knows no networks. `stability` asks of any update whether it returns to a fixed point
from nearby, and `simulate` plays it, so that both can be held against each other.

What `stability(*dirac(loss, optimizer, rule=...))` says at a rate of 1/2, with cross-entropy where no loss is named and
no term where none is (the other numbers are in `tests/test_dynamics.py`, which holds the table to the code):

    simultaneous, non-saturating                          diverges
    simultaneous, wasserstein                             diverges
    simultaneous, hinge                                   diverges
    simultaneous, positive momentum                       diverges
    alternating, positive momentum                        diverges
    simultaneous, R1                                      converges
    alternating, R1                                       converges
    simultaneous, R2                                      converges
    simultaneous, relativistic, R1 and R2                 converges
    simultaneous, instance noise                          converges
    extragradient                                         converges
    optimistic gradient                                   converges
    consensus                                             converges
    symplectic                                            converges
    unrolled, zero-sum, 5 steps                           converges
    alternating, negative momentum                        converges
    simultaneous, look-ahead of 5                         converges
    alternating, non-saturating                           undecided
    alternating, wasserstein                              undecided
    alternating, wasserstein, gradient penalty            undecided
    alternating, R1, Adam                                 undecided

The first two undecided have their eigenvalues on the circle: to first order they keep their distance. The slope of
WGAN-GP's penalty jumps where the critic is flat, and Adam divides by the root of a second moment that vanishes at the
equilibrium: neither has a derivative there.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gan_jax import latents, rng, rules
from gan_jax.errors import UserError
from gan_jax.game.build import gan
from gan_jax.optimizers import AnyOptimizer
from gan_jax.types import Array, Aux, Batch, Loss, Metrics, Network, Player, PyTree, TrainState, Update

Optimizers = AnyOptimizer | Mapping[str, AnyOptimizer]
Verdict = Literal["converges", "diverges", "undecided"]

STEPS = (1e-4, -1e-4, 1e-6, -1e-6)  # of quotients: where a derivative exists, the last two are much closer to it


class Dynamics(NamedTuple):
    """A game that goes on: what `stability` and `simulate` take, in their order.

    Attributes:
        update: One iteration.
        state: Where it starts.
        batch: What every iteration sees.
    """

    update: Update
    state: TrainState
    batch: Batch


class Stability(NamedTuple):
    """What becomes of small deviations from a fixed point.

    Attributes:
        eigenvalues: Of the update's Jacobian, complex `[n]`, largest modulus first; NaN where there is no derivative.
        radius: The largest modulus: small deviations change by this factor an iteration, in the long run.
        verdict: "converges" for a radius below 1, "diverges" above: the point repels, which does not say where to.
            "undecided" where the radius is 1 up to 1e-6, or NaN.
    """

    eigenvalues: np.ndarray
    radius: float
    verdict: Verdict


def dirac(
    loss: Loss,
    optimizer: Optimizers,
    start: tuple[float, float] = (0.0, 0.0),
    examples: int = 1,
    data: float = 0.0,
    bias: float = 0.0,
    **options: Any,
) -> Dynamics:
    """Returns the Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406), which has its data at 0.

    All data is one point, the generator makes the point data + theta, and the critic is D(x) = psi x + bias: a
    `system.gan` of two networks of one number each. Its equilibrium is theta = psi = 0. With simultaneous moves at rate
    h, data at 0 and no terms, the eigenvalues are 1 +- i h f'(0), where f'(0) is 1/2 for cross-entropy and 1 for
    Wasserstein; R1 of weight gamma makes them 1 - h (gamma / 2 -+ sqrt(gamma^2 / 4 - f'(0)^2)). Data elsewhere act on
    them as R1 of gamma = -2 f''(0) data^2 does, where f''(0) is -1/4 for cross-entropy and 0 for Wasserstein.

    Args:
        loss: Any that is at rest where all logits are `bias`.
        optimizer: Of both players, or of each by name.
        start: (theta, psi).
        examples: Rows of the batch, all alike.
        data: The point. At 0 the critic's output on real examples does not vary, which hides whatever depends on it.
        bias: Constant part of the logits, such as 1/2 for least squares.
        options: Of `system.gan`: rule, terms, augment, controllers, ...
    """
    theta, psi = start
    networks = {
        "generator": _number(theta, lambda theta, z: jnp.broadcast_to(data + theta, z.shape)),
        "discriminator": _number(psi, lambda psi, x: psi * x + bias),
    }
    system = gan(networks, loss, latents.normal(1), optimizer, **options)
    rows = (examples, 1) if system.batches == 1 else (system.batches, examples, 1)
    return Dynamics(system.update, system.init(rng.key(0)), {"image": jnp.full(rows, float(data))})


def quadratic(
    a: Any,
    b: Any,
    c: Any,
    optimizer: Optimizers,
    rule: Callable[..., Update] = rules.simultaneous,
    start: tuple[Any, Any] = (0.0, 0.0),
) -> Dynamics:
    """Returns the linear-quadratic game min_x max_y x^T a x / 2 + x^T b y - y^T c y / 2, of equilibrium x = y = 0.

    Args:
        a: Number or `[n, n]`.
        b: Number or `[n, m]`; with a = c = 0 the game is bilinear.
        c: Number or `[m, m]`.
        optimizer: Of both players, or of "x" and "y".
        rule: `(players) -> Update`.
        start: x `[n]` and y `[m]`, or numbers for all of either.

    Raises:
        UserError: If the shapes do not fit.
    """
    a, b, c = (np.atleast_2d(np.asarray(matrix, float)) for matrix in (a, b, c))
    n, m = b.shape
    if a.shape != (n, n) or c.shape != (m, m):
        raise UserError(f"a {a.shape}, b {b.shape}, c {c.shape}: they must be [n, n], [n, m], [m, m]")

    def value(x: Array, y: Array) -> Array:
        return x @ a @ x / 2 + x @ b @ y - y @ c @ y / 2

    def objective(sign: int) -> Callable[[TrainState, Batch, Array], tuple[Array, Aux]]:
        return lambda state, batch, key: (sign * value(state.params["x"], state.params["y"]), Aux())

    optimizers = optimizer if isinstance(optimizer, Mapping) else dict.fromkeys("xy", optimizer)
    players = [Player(name, (name,), objective(sign), optimizers[name]) for name, sign in (("x", 1), ("y", -1))]
    params = {name: jnp.broadcast_to(jnp.asarray(s, float), k) for name, s, k in zip("xy", start, (n, m), strict=True)}
    opt_state = {name: optimizers[name].init({name: params[name]}) for name in params}
    state = TrainState(jnp.zeros((), jnp.int32), params, {"x": {}, "y": {}}, opt_state, {}, {})
    return Dynamics(rule(players), state, {})


def repeated(update: Update, times: int) -> Update:
    """Returns so many iterations as one: the period of what happens every so often (look-ahead, lazy penalties).

    The steps are counted from the state's, and each has a key of its own. The last metrics are returned.

    Args:
        update: Any update.
        times: Number of iterations, at least 1.
    """
    if times < 1:
        raise UserError(f"times={times}: at least 1 iteration is made")

    def several(state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        def one(now: TrainState, i: Array) -> tuple[TrainState, Metrics]:
            new, metrics = update(now, batch, jax.random.fold_in(key, i))
            return replace(new, step=now.step + 1), metrics

        new, metrics = jax.lax.scan(one, state, jnp.arange(times))
        return replace(new, step=state.step), jax.tree.map(lambda x: x[-1], metrics)

    return several


def stability(update: Update, state: TrainState, batch: Batch | None = None, key: Array | None = None) -> Stability:
    """Returns the eigenvalues of an update at a fixed point, and what follows from them.

    lambda = eig(dF/dx), where x is all that the update reads and moves: parameters, statistics, carried slots and what
    optimisers remember, which decides with the rest. The averages of `ema`, which only follow, are left out; integers
    and flags are held as they are after one iteration, so that a first step that differs does not count. All is done in
    float64 whatever the state is in: float32 cannot tell a kink from its rounding.

    A number that nothing moves (a frozen network, an injected learning rate) has the eigenvalue 1, and so has a
    direction along a line of fixed points: the verdict is then "undecided" at best.

    The derivative is taken forward, which passes through loops, gradients and vector-Jacobian products alike, and is
    held against difference quotients, both ways, along all axes and some random directions. Unless the quotients of the
    smaller step are much the closer ones, there is no derivative, or not one that a real step would notice; the same
    is said of a map that hides its derivative behind `stop_gradient`.

    Args:
        update: One iteration, of few numbers: it is evaluated 5 times for each.
        state: A fixed point.
        batch: What the update sees; none by default.
        key: Of all randomness, drawn the same each time.

    Raises:
        UserError: If the update moves the state.
    """
    with jax.enable_x64(True):
        found = jax.jit(functools.partial(_linearised, update))(
            _double(state), _double(batch or {}), rng.key(0) if key is None else key
        )
        moved, jacobian, errors = (np.asarray(x) for x in found)
    if not moved <= 1e-9:
        raise UserError(
            f"state: the update moves it by {moved:.3g}, so it is no fixed point; give an equilibrium, and a batch at "
            "which each player is at rest"
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
    """Returns how far all parameters are from 0, the equilibrium of both games, after each iteration.

    |params_t|, t = 1 ... steps, in float64. Start near the equilibrium to see what `stability` says of it: from farther
    away even a point that repels may be circled for ever.

    Args:
        update: One iteration.
        state: Where to start; its steps are counted.
        batch: What every iteration sees; none by default.
        steps: Number of iterations.
        key: Of all randomness; iteration t has its own.

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
    """Returns how far the point moves, the Jacobian `[n, n]`, and the errors `[steps, directions]` of quotients."""
    point, _ = _numbers(state)
    _, put = _numbers(update(state, batch, key)[0])

    def f(x: Array) -> Array:
        return _numbers(update(put(x), batch, key)[0])[0]

    random = jax.random.normal(rng.key(0), (8, len(point)))
    directions = jnp.concatenate([jnp.eye(len(point)), random / jnp.linalg.norm(random, axis=1, keepdims=True)])
    steps = jnp.array([0.0, *STEPS])[:, None, None]
    along = jnp.repeat(directions[None], len(steps), axis=0)
    # one compiled body for all: the derivatives elsewhere than at the point cost less than a second body
    values, slopes = jax.vmap(jax.vmap(lambda x, d: jax.jvp(f, (x,), (d,))))(point + steps * directions, along)
    value, slope = values[0, 0], slopes[0]
    errors = jnp.abs((values[1:] - value) / steps[1:] - slope).max(axis=-1)
    return jnp.abs(value - point).max(), slope[: len(point)].T, errors


def _numbers(state: TrainState) -> tuple[Array, Callable[[Array], TrainState]]:
    """Flattens the floating leaves that matter, and returns how to put others in their place."""
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


def _number(start: float, output: Callable[[Array, Array], Array]) -> Network:
    """Returns the network of one parameter and no statistics."""

    def apply(params: Array, stats: PyTree, x: Array, train: bool, key: Array | None = None) -> tuple[Array, PyTree]:
        return output(params, x), stats

    return Network(lambda key: (jnp.asarray(start, float), {}), apply, lambda: False)
