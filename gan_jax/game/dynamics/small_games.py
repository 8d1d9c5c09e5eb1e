"""Two small games with known equilibria."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from gan_jax import latents, rng, rules
from gan_jax.errors import UserError
from gan_jax.game import build
from gan_jax.game.players import discriminator, generator
from gan_jax.game.playing import Game
from gan_jax.optimizers import AnyOptimizer
from gan_jax.rules.controllers import ema
from gan_jax.types import (
    Array,
    Augment,
    Aux,
    Batch,
    Controller,
    Loss,
    Network,
    Player,
    PyTree,
    Rule,
    Term,
    TrainState,
    Update,
)

Optimizers = AnyOptimizer | Mapping[str, AnyOptimizer]


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
        raise UserError(f"a {a.shape}, b {b.shape}, c {c.shape}: give shapes [n, n], [n, m], [m, m]")

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


def _number(start: float, output: Callable[[Array, Array], Array]) -> Network:
    """Returns a network of one scalar parameter, `(parameter, inputs) -> output`, without statistics."""

    def apply(params: Array, stats: PyTree, x: Array, train: bool, key: Array | None = None) -> tuple[Array, PyTree]:
        return output(params, x), stats

    return Network(lambda key: (jnp.asarray(start, float), {}), apply, lambda: False)
