"""Optimisers of players: an optax transformation, a learning rate that is a schedule of the iteration, a projection.

A schedule is a function `(iteration) -> value`. It counts iterations of the game, not moves: a player that moves five
times an iteration, or looks ahead, has the same rate in all of these moves. Any optax optimiser works too; its own
schedules count moves, and its rate is not logged.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import require
from gan_jax.types import Array, PyTree

Schedule = Callable[[Array], Array]  # (iteration i32[]) -> value f32[]
Rate = float | Array | Schedule


class Optimizer(NamedTuple):
    """How a player moves: params <- project(params - learning_rate * step).

    Attributes:
        transformation: From gradients to steps of rate 1; its update takes the `iteration` too.
        learning_rate: A number, or a schedule of the iteration; logged as PLAYER/learning_rate.
        project: Applied to the parameters after every move; None leaves them as they are.
    """

    transformation: optax.GradientTransformationExtraArgs
    learning_rate: Rate
    project: Callable[[PyTree], PyTree] | None = None

    def init(self, params: PyTree) -> PyTree:
        """Returns the transformation's first state."""
        return self.transformation.init(params)


AnyOptimizer = Optimizer | optax.GradientTransformation


def adam(learning_rate: Rate, b1: Rate = 0.9, b2: Rate = 0.999, eps: float = 1e-8, eps_root: float = 0.0) -> Optimizer:
    """Returns Adam (Kingma and Ba 2015, arXiv:1412.6980).

    Args:
        learning_rate: Positive, or a schedule.
        b1: Decay of the gradients' average, in [0, 1), or a schedule. Bias is corrected by the current value, as in
            PyTorch.
        b2: Decay of the squared gradients' average, likewise.
        eps: Added to the root, positive.
        eps_root: Added to the squares, such as 1e-8: `rules.unrolled` needs a derivative where a gradient is 0.
    """
    _require_rate("learning_rate", learning_rate)
    for name, beta in (("b1", b1), ("b2", b2)):
        require(lambda beta=beta: callable(beta) or 0 <= beta < 1, f"{name}={beta}: give a number from 0 to below 1")

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, *, iteration: Array | int = 0, **_: Any
    ) -> tuple[PyTree, PyTree]:
        at = optax.scale_by_adam(_value(b1, iteration), _value(b2, iteration), eps, eps_root)
        return at.update(updates, state, params)

    scaled = optax.GradientTransformationExtraArgs(optax.scale_by_adam().init, update)
    return Optimizer(optax.chain(scaled, optax.identity()), learning_rate)  # the state has the form of `optax.adam`'s


def rmsprop(learning_rate: Rate, decay: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """Returns PyTorch's RMSProp: step = gradient / (sqrt(v) + eps), v the average of squares, 0 at first.

    Args:
        learning_rate: Positive, or a schedule.
        decay: Of v, in [0, 1).
        eps: Positive.
    """
    _require_rate("learning_rate", learning_rate)
    scaled = optax.scale_by_rms(decay, eps, eps_in_sqrt=False)
    return Optimizer(optax.chain(scaled, optax.identity()), learning_rate)


def sgd(learning_rate: Rate) -> Optimizer:
    """Returns gradient descent.

    Args:
        learning_rate: Positive, or a schedule.
    """
    _require_rate("learning_rate", learning_rate)
    return Optimizer(optax.with_extra_args_support(optax.identity()), learning_rate)


def clipped(optimizer: Optimizer, limit: float = 0.01) -> Optimizer:
    """Ends every move with all parameters in [-limit, limit] (Arjovsky et al. 2017, arXiv:1701.07875).

    Args:
        optimizer: Any of this module's.
        limit: c, positive.
    """
    require(lambda: limit > 0, f"limit={limit}: it must be positive")
    return optimizer._replace(project=lambda params: jax.tree.map(lambda p: jnp.clip(p, -limit, limit), params))


def linear(rate: float | Array, steps: int, start: int = 0) -> Schedule:
    """Returns the schedule that falls to 0 along a line.

    Args:
        rate: Its value up to `start`.
        steps: Iterations from there to 0, at least 1.
        start: Iterations before it falls.
    """
    _require_steps(steps, start)
    return lambda iteration: rate * jnp.clip(1 - (iteration - start) / steps, 0, 1)


def cosine(rate: float | Array, steps: int, start: int = 0) -> Schedule:
    """Returns the schedule that falls to 0 along half a cosine; arguments as of `linear`."""
    _require_steps(steps, start)
    return lambda iteration: rate * (1 + jnp.cos(jnp.pi * jnp.clip((iteration - start) / steps, 0, 1))) / 2


def warm_up(rate: Rate, steps: int) -> Schedule:
    """Returns a schedule that rises from 0 over its first iterations, along a line, to what another one says.

    Args:
        rate: A number, or the other schedule.
        steps: Iterations, at least 1.
    """
    _require_steps(steps, 0)
    return lambda iteration: _value(rate, iteration) * jnp.clip((iteration + 1) / steps, 0, 1)


def moved(
    optimizer: AnyOptimizer, slopes: PyTree, state: PyTree, params: PyTree, iteration: Array | int
) -> tuple[PyTree, PyTree]:
    """Returns parameters after one move, and the optimiser's state: the only place where a learning rate is applied.

    Args:
        optimizer: Of the player.
        slopes: Gradients, as `params`.
        state: The optimiser's.
        params: Before the move.
        iteration: Of the game, i32[].
    """
    if not isinstance(optimizer, Optimizer):
        updates, state = optimizer.update(slopes, state, params)
        return optax.apply_updates(params, updates), state
    steps, state = optimizer.transformation.update(slopes, state, params, iteration=iteration)
    rate = learning_rate(optimizer, iteration)
    params = optax.apply_updates(params, jax.tree.map(lambda step: jnp.asarray(-rate * step, step.dtype), steps))
    return optimizer.project(params) if optimizer.project else params, state


def learning_rate(optimizer: Optimizer, iteration: Array | int) -> Any:
    """Returns the learning rate in an iteration."""
    return _value(optimizer.learning_rate, iteration)


def _value(rate: Rate, iteration: Array | int) -> Any:
    return rate(jnp.asarray(iteration)) if callable(rate) else rate


def _require_rate(name: str, rate: Rate) -> None:
    require(lambda: callable(rate) or rate > 0, f"{name}={rate}: it must be positive")


def _require_steps(steps: int, start: int) -> None:
    require(lambda: steps >= 1, f"steps={steps}: give at least 1")
    require(lambda: start >= 0, f"start={start}: give at least 0")
