"""Local dynamics of adversarial training: whether training converges to a game's equilibrium from nearby.

Two small games with known equilibria: `dirac`, built from the library's losses, terms, rules and optimisers, and
`quadratic`, from its rules and optimisers. `stability` computes the eigenvalues of any update at a fixed point, and
`simulate` runs the update to compare.

Verdicts of `stability(*dirac(loss, optimizer, rule=...))` at learning rate 1/2; the loss is the non-saturating one and
there are no terms unless named (`tests/test_dynamics.py` has the other settings and checks the table):

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

The first two undecided cases have their eigenvalues on the unit circle: to first order their distance from equilibrium
stays the same. The other two have no derivative at the equilibrium: the gradient of WGAN-GP's penalty jumps where the
critic is flat, and Adam divides by the root of a second moment that is 0 there.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from gan_jax import latents, rng, rules
from gan_jax.errors import UserError
from gan_jax.game import build
from gan_jax.game.objectives import Game
from gan_jax.game.players import discriminator, generator
from gan_jax.optimizers import AnyOptimizer
from gan_jax.rules.controllers import ema
from gan_jax.types import (
    Array,
    Augment,
    Aux,
    Batch,
    Controller,
    Loss,
    Metrics,
    Network,
    Player,
    PyTree,
    Rule,
    Term,
    TrainState,
    Update,
)

Optimizers = AnyOptimizer | Mapping[str, AnyOptimizer]
Verdict = Literal["converges", "diverges", "undecided"]

STEPS = (1e-4, -1e-4, 1e-6, -1e-6)  # of difference quotients; the last two are much closer to a derivative that exists


class Dynamics(NamedTuple):
    """An update with its initial state and batch: the first arguments of `stability` and `simulate`.

    Attributes:
        update: One iteration.
        state: Initial state.
        batch: Batch of every iteration.
    """

    update: Update
    state: TrainState
    batch: Batch


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


def dirac(
    loss: Loss,
    optimizer: Optimizers,
    start: tuple[float, float] = (0.0, 0.0),
    examples: int = 1,
    data: float = 0.0,
    bias: float = 0.0,
    *,
    rule: Callable[[Sequence[Player]], Rule] = rules.alternating,
    discriminator_terms: Sequence[Term] = (),
    generator_terms: Sequence[Term] = (),
    augment: Augment | None = None,
    controllers: Sequence[Controller] = (),
) -> Dynamics:
    """Returns the Dirac-GAN (Mescheder et al. 2018, arXiv:1801.04406; the paper's data are at 0).

    All data are one point, the generator's samples are data + theta, and the critic is D(x) = psi x + bias: a game of
    two networks with one parameter each. Its equilibrium is theta = psi = 0. With simultaneous gradient
    descent at learning rate h, data at 0 and no terms, the eigenvalues are 1 +- i h f'(0), where f'(0) is 1/2 for
    cross-entropy and 1 for Wasserstein. R1 of weight gamma makes them 1 - h (gamma / 2 -+ sqrt(gamma^2 / 4 - f'(0)^2)).
    Data elsewhere have the effect of R1 with gamma = -2 f''(0) data^2, where f''(0) is -1/4 for cross-entropy and 0 for
    Wasserstein.

    Args:
        loss: Any loss whose gradients vanish at the equilibrium, where all logits are `bias`.
        optimizer: Optimiser of both players, or player name -> optimiser.
        start: Initial (theta, psi).
        examples: Batch size; all examples are equal.
        data: The data point. At 0, D on real examples does not depend on psi, which hides part of the dynamics.
        bias: Constant part of the logits, such as 1/2 for least squares.
        rule: `(players) -> Rule`, one of `rules`; bind its other arguments by `functools.partial`.
        discriminator_terms: Terms of the discriminator.
        generator_terms: Terms of the generator.
        augment: Augmentation of real and fake, such as instance noise.
        controllers: Hooks that run after the moves.
    """
    theta, psi = start
    networks = {
        "generator": _number(theta, lambda theta, z: jnp.broadcast_to(data + theta, z.shape)),
        "discriminator": _number(psi, lambda psi, x: psi * x + bias),
    }
    game = Game(networks, loss, latents.normal(1), augment=augment)
    each = optimizer if isinstance(optimizer, Mapping) else dict.fromkeys(networks, optimizer)
    players = [
        discriminator(game, each["discriminator"], discriminator_terms),
        generator(game, each["generator"], generator_terms),
    ]
    system = build.system(game, rule(players), [*controllers, ema("generator", 0.0)])
    rows = (examples, 1) if system.batches == 1 else (system.batches, examples, 1)
    return Dynamics(system.update, system.init(rng.key(0)), {"image": jnp.full(rows, float(data))})


def quadratic(
    a: Any,
    b: Any,
    c: Any,
    optimizer: Optimizers,
    rule: Callable[[Sequence[Player]], Rule] = rules.simultaneous,
    start: tuple[Any, Any] = (0.0, 0.0),
) -> Dynamics:
    """Returns the game min_x max_y x^T a x / 2 + x^T b y - y^T c y / 2, with equilibrium x = y = 0.

    Args:
        a: Number or `[n, n]`.
        b: Number or `[n, m]`; with a = c = 0 the game is bilinear.
        c: Number or `[m, m]`.
        optimizer: Optimiser of both players, or {"x": ..., "y": ...}.
        rule: `(players) -> Rule`.
        start: Initial x `[n]` and y `[m]`; a number fills the vector.

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
    """Returns an update of several iterations, such as one period of look-ahead or of a lazy penalty, for `stability`.

    Iterations are numbered from the state's step, and each has a key of its own. The step itself is not changed. The
    metrics are the last iteration's.

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


def _number(start: float, output: Callable[[Array, Array], Array]) -> Network:
    """Returns a network of one scalar parameter, `(parameter, inputs) -> output`, without statistics."""

    def apply(params: Array, stats: PyTree, x: Array, train: bool, key: Array | None = None) -> tuple[Array, PyTree]:
        return output(params, x), stats

    return Network(lambda key: (jnp.asarray(start, float), {}), apply, lambda: False)
