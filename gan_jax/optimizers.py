"""Optimisers of players: an optax transformation, a learning rate or its schedule, and a projection.

A schedule is a function `(iteration) -> value` of the game's iterations, not of moves: a player that moves five times
per iteration, or takes extragradient steps, has the same rate in all these moves. Any optax optimiser works too; its
schedules count moves, and its learning rate is not logged.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.checks import require
from gan_jax.types import Array, PyTree

Schedule = Callable[[Array], Array]  # (iteration i32[]) -> value f32[]
Rate = float | Array | Schedule


class Optimizer(NamedTuple):
    """An optimiser: params <- project(params - learning_rate * step).

    Attributes:
        transformation: From gradients to steps before the learning rate; its `update` takes the `iteration` too.
        learning_rate: A number, or a schedule of the iteration; logged as "PLAYER/learning_rate".
        project: `(params) -> params`, applied after every move; None for no projection.
    """

    transformation: optax.GradientTransformationExtraArgs
    learning_rate: Rate
    project: Callable[[PyTree], PyTree] | None = None

    def init(self, params: PyTree) -> PyTree:
        """Returns the transformation's initial state."""
        return self.transformation.init(params)


AnyOptimizer = Optimizer | optax.GradientTransformation


def adam(
    learning_rate: Rate, b1: Rate = 0.9, b2: Rate = 0.999, eps: float = 1e-8, eps_root: float = 0.0, lazy: int = 0
) -> Optimizer:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980).

    Args:
        learning_rate: Positive, or a schedule.
        b1: Decay of the average of gradients, in [0, 1), or a schedule. Bias correction uses the current value, as in
            PyTorch.
        b2: Decay of the average of squared gradients, likewise.
        eps: Added to the square root, positive.
        eps_root: Added under the square root. `rules.unrolled` needs it positive, such as 1e-8, to have a derivative
            where a gradient is 0.
        lazy: Iterations k from one step of `game.regularisation` to the next, 0 for no such steps. As there are then
            k + 1 steps in k iterations, Adam takes c times the learning rate, b1^c and b2^c, with c = k / (k + 1)
            (Karras et al. 2020, arXiv:1912.04958, appendix B).
    """
    _require_rate("learning_rate", learning_rate)
    require(lambda: lazy >= 0, f"lazy={lazy}: give the iterations between regularisation steps, or 0 for none")
    if lazy:
        share, values = lazy / (lazy + 1), (learning_rate, b1, b2)
        learning_rate = lambda iteration: share * _value(values[0], iteration)  # noqa: E731
        b1, b2 = (lambda iteration, b=b: _value(b, iteration) ** share for b in values[1:])
    for name, beta in (("b1", b1), ("b2", b2)):
        require(lambda beta=beta: callable(beta) or 0 <= beta < 1, f"{name}={beta}: give a number in [0, 1)")

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, *, iteration: Array | int = 0, **_: Any
    ) -> tuple[PyTree, PyTree]:
        at = optax.scale_by_adam(_value(b1, iteration), _value(b2, iteration), eps, eps_root)
        return at.update(updates, state, params)

    scaled = optax.GradientTransformationExtraArgs(optax.scale_by_adam().init, update)
    return Optimizer(optax.chain(scaled, optax.identity()), learning_rate)  # the state has the form of `optax.adam`'s


def rmsprop(learning_rate: Rate, decay: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """RMSProp as in PyTorch: step = gradient / (sqrt(v) + eps), v the average of squared gradients, 0 at first.

    Args:
        learning_rate: Positive, or a schedule.
        decay: Decay of v, in [0, 1).
        eps: Positive.
    """
    _require_rate("learning_rate", learning_rate)
    scaled = optax.scale_by_rms(decay, eps, eps_in_sqrt=False)
    return Optimizer(optax.chain(scaled, optax.identity()), learning_rate)


def sgd(learning_rate: Rate) -> Optimizer:
    """Gradient descent.

    Args:
        learning_rate: Positive, or a schedule.
    """
    _require_rate("learning_rate", learning_rate)
    return Optimizer(optax.with_extra_args_support(optax.identity()), learning_rate)


def clipped(optimizer: Optimizer, limit: float = 0.01) -> Optimizer:
    """Weight clipping: clips all parameters to [-limit, limit] after every move (WGAN, arXiv:1701.07875).

    Args:
        optimizer: Any optimiser of this module.
        limit: c in the paper (Arjovsky et al. 2017), positive.
    """
    require(lambda: limit > 0, f"limit={limit}: it must be positive")
    return optimizer._replace(project=lambda params: jax.tree.map(lambda p: jnp.clip(p, -limit, limit), params))


def linear(rate: float | Array, steps: int, start: int = 0) -> Schedule:
    """Linear decay to 0.

    Args:
        rate: Initial value.
        steps: Number of iterations of the decay, at least 1.
        start: Iteration at which the decay begins, at least 0.
    """
    _require_steps(steps, start)
    return lambda iteration: rate * jnp.clip(1 - (iteration - start) / steps, 0, 1)


def cosine(rate: float | Array, steps: float, start: int = 0, final: float | Array = 0.0) -> Schedule:
    """Cosine schedule, along half a period, by default a decay to 0.

    Args:
        rate: Initial value.
        steps: Number of iterations until the final value, at least 1.
        start: Iteration until which the value stays the initial one, at least 0.
        final: Final value.
    """
    _require_steps(steps, start)

    def schedule(iteration: Array) -> Array:
        return final + (rate - final) * (1 + jnp.cos(jnp.pi * jnp.clip((iteration - start) / steps, 0, 1))) / 2

    return schedule


def piecewise(rates: Mapping[int, float | Array]) -> Schedule:
    """Piecewise constant: each value holds from its iteration until the next one given.

    Args:
        rates: Iteration -> value from that iteration on; must include iteration 0.
    """
    require(
        lambda: min(rates, default=1) == 0, f"rates={dict(rates)}: give a value for iteration 0, and no earlier one"
    )
    first, *later = sorted(rates)

    def schedule(iteration: Array) -> Any:
        value = rates[first]
        for start in later:
            value = jnp.where(iteration < start, value, rates[start])
        return value

    return schedule


def warm_up(rate: Rate, steps: int) -> Schedule:
    """Linear warm-up: multiplies a rate by (iteration + 1) / steps in the first iterations.

    Args:
        rate: A number, or a schedule.
        steps: Number of iterations of the warm-up, at least 1.
    """
    _require_steps(steps, 0)
    return lambda iteration: _value(rate, iteration) * jnp.clip((iteration + 1) / steps, 0, 1)


def moved(
    optimizer: AnyOptimizer, slopes: PyTree, state: PyTree, params: PyTree, iteration: Array | int
) -> tuple[PyTree, PyTree]:
    """Returns parameters and optimiser state after one move; learning rates are applied here and nowhere else.

    Args:
        optimizer: The player's optimiser.
        slopes: Gradients, a tree like `params`.
        state: The optimiser's state.
        params: Parameters before the move.
        iteration: The game's iteration, i32[].
    """
    if not isinstance(optimizer, Optimizer):
        updates, state = optimizer.update(slopes, state, params)
        return optax.apply_updates(params, updates), state
    steps, state = optimizer.transformation.update(slopes, state, params, iteration=iteration)
    rate = learning_rate(optimizer, iteration)
    params = optax.apply_updates(params, jax.tree.map(lambda step: jnp.asarray(-rate * step, step.dtype), steps))
    return optimizer.project(params) if optimizer.project else params, state


def learning_rate(optimizer: Optimizer, iteration: Array | int) -> Any:
    """Returns an optimiser's learning rate in an iteration."""
    return _value(optimizer.learning_rate, iteration)


def _value(rate: Rate, iteration: Array | int) -> Any:
    return rate(jnp.asarray(iteration)) if callable(rate) else rate


def _require_rate(name: str, rate: Rate) -> None:
    require(lambda: callable(rate) or rate > 0, f"{name}={rate}: it must be positive")


def _require_steps(steps: float, start: int) -> None:
    require(lambda: steps >= 1, f"steps={steps}: give at least 1")
    require(lambda: start >= 0, f"start={start}: give at least 0")
