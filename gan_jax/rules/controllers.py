"""Controllers, hooks that run after the moves of an iteration; and conditions for `Player.active`.

Controllers read metrics already averaged over devices, so their slots are the same on every device.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp

from gan_jax.checks import carried, require, require_decay
from gan_jax.errors import UserError
from gan_jax.optimizers import Schedule
from gan_jax.types import Array, Controller, Metrics, PyTree, TrainState


def ema(network: str, decay: float | Schedule) -> Controller:
    """Exponential moving average of a network's parameters, for sampling.

    average <- d average + (1 - d) current. A constant decay is ramped up, d = min(decay, (1 + step) / (10 + step)), as
    otherwise the initial parameters would dominate the first 1 / (1 - decay) iterations; a schedule is used as it is.
    Running statistics are averaged with the same weights, so that averaged parameters come with statistics that fit
    them.

    Args:
        network: The network's name.
        decay: Final d, in [0, 1), or d as a schedule of the iteration; 0 copies the current network.
    """
    if not callable(decay):
        require_decay(decay)

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        if network not in state.ema:
            raise UserError(f"network={network!r}: the state has averages only of {sorted(state.ema)}")
        d = decay(state.step) if callable(decay) else jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        current = {"params": state.params[network], "stats": state.stats[network]}
        average = jax.tree.map(lambda a, x: (d * a + (1 - d) * x).astype(a.dtype), state.ema[network], current)
        return replace(state, ema=state.ema | {network: average}), metrics

    return Controller(f"average {network}", hook, averages=(network,))


def half_life(images: Schedule, batch_size: int) -> Schedule:
    """Returns the decay of an average with a half-life in images, 0.5^(batch size / half-life), for `ema`.

    Args:
        images: The half-life as a schedule of the iteration, in images, at least 0; 0 copies the current network.
        batch_size: Images of an iteration.
    """
    return lambda step: 0.5 ** (batch_size / jnp.maximum(images(step), 1e-8))


def lookahead(networks: Sequence[str], every: int = 5, fraction: float = 0.5, name: str = "lookahead") -> Controller:
    """Joint look-ahead (Chavdarova et al. 2021, "Taming GANs with Lookahead-Minmax", arXiv:2006.14567).

    Every `every` iterations slow <- slow + fraction * (current - slow), and current <- slow, for all networks at once.
    Running statistics and optimiser states are not reset.

    Args:
        networks: Names of all players' networks, as they must be reset together.
        every: Iterations between resets, k in the paper; at least 1.
        fraction: Step of the slow parameters, alpha in the paper; in (0, 1].
        name: Name of the controller, and of the slot with the slow parameters.
    """
    require(lambda: every >= 1, f"every={every}: give at least 1 iteration between look-aheads")
    require(lambda: 0 < fraction <= 1, f"fraction={fraction}: give a number above 0 and at most 1")

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        due = (state.step + 1) % every == 0
        current, slow = {name: state.params[name] for name in networks}, state.extra[name]
        slow = jax.tree.map(lambda s, x: jnp.where(due, s + fraction * (x - s), s), slow, current)
        current = jax.tree.map(lambda s, x: jnp.where(due, s, x), slow, current)
        return replace(state, params=state.params | current, extra=state.extra | {name: slow}), metrics

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        unknown = set(networks) - set(params)
        if unknown:
            raise UserError(f"networks: {sorted(unknown)} do not exist; choose from {sorted(params)}")
        return {name: jax.tree.map(jnp.copy, {name: params[name] for name in networks})}

    return Controller(name, hook, slots)


def balance(gamma: float = 0.5, rate: float = 0.001, name: str = "balance") -> Controller:
    """BEGAN's proportional control of k (Berthelot et al. 2017, arXiv:1703.10717), for `losses.balanced`.

    k <- clip(k + rate * (gamma L(x) - L(G(z))), 0, 1), starting at 0. L(x) comes from the discriminator's move; L(G(z))
    is the loss of the generator's move. The metric "balance/measure", L(x) + |gamma L(x) - L(G(z))|, falls as the game
    converges, and "balance/ratio", L(G(z)) / L(x), settles at gamma.

    Args:
        gamma: Diversity ratio, in [0, 1].
        rate: Proportional gain, lambda_k in the paper; positive.
        name: Name of the controller, and of the slot with k.
    """
    require(lambda: 0 <= gamma <= 1, f"gamma={gamma}: the diversity ratio lies in [0, 1]")
    require(lambda: rate > 0, f"rate={rate}: k's gain must be positive")

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        real, fake = -metrics["discriminator/logit_real"], metrics["generator/loss"]
        error = gamma * real - fake
        k = jnp.clip(state.extra[name] + rate * error, 0, 1)
        measures = {"balance/k": k, "balance/measure": real + jnp.abs(error), "balance/ratio": fake / real}
        return replace(state, extra=state.extra | {name: k}), metrics | measures

    return Controller(name, hook, lambda params: {name: jnp.zeros(())})


def adaptive_augmentation(
    batch_size: int, target: float = 0.6, images: int = 500_000, every: int = 4, name: str = "ada"
) -> Controller:
    """ADA's control of the augmentation probability p (Karras et al. 2020, arXiv:2006.06676), for `augment.ada`.

    With another name it controls the p of `augment.diffusion` or of `methods.pseudo_augmentation`, whose papers use the
    same rule.

    Every `every` iterations p <- clip(p + sign(r - target) * every * batch_size / images, 0, 1), starting at 0, where
    r = E[sign(D(x))] on the real examples of these iterations: the paper's overfitting heuristic r_t. The loss must
    separate real from fake at logit 0, as cross-entropy, hinge and least squares with a = -b do; relativistic losses
    do not.

    Args:
        batch_size: Examples per iteration, over all devices.
        target: Target of r, in (0, 1).
        images: Number of real images in which p can rise from 0 to 1.
        every: Iterations between changes of p, 4 in the paper; at least 1.
        name: Name of the controller, and of the slot with p; the slot NAME_signs has the sum of r since p last changed.
    """
    users = f"Game(augment=...) with augment.ada, augment.diffusion or methods.pseudo_augmentation of slot {name!r}"
    require(lambda: 0 < target < 1, f"target={target}: the target of the mean sign of logits must lie in (0, 1)")
    require(lambda: batch_size >= 1, f"batch_size={batch_size}: it must be at least 1")
    require(lambda: images >= 1, f"images={images}: it must be at least 1")
    require(lambda: every >= 1, f"every={every}: give at least 1 iteration between changes of p")

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        due = (state.step + 1) % every == 0
        p, signs = state.extra[name], state.extra[f"{name}_signs"] + 2 * metrics["discriminator/accuracy_real"] - 1
        change = jnp.sign(signs / every - target) * (every * batch_size / images)
        slots = {name: jnp.where(due, jnp.clip(p + change, 0, 1), p), f"{name}_signs": jnp.where(due, 0.0, signs)}
        return replace(state, extra=state.extra | slots), metrics | {f"{name}/probability": slots[name]}

    return Controller(name, hook, lambda params: {name: jnp.zeros(()), f"{name}_signs": jnp.zeros(())}, users=users)


def accuracy(decay: float = 0.9, name: str = "accuracy") -> Controller:
    """Moving average of the discriminator's accuracy over iterations, starting at 1/2, for `below`.

    The loss must separate real from fake at logit 0; see `adaptive_augmentation`.

    Args:
        decay: Weight of the old value, in [0, 1).
        name: Name of the controller, and of the slot with the average.
    """
    require_decay(decay)

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        now = (metrics["discriminator/accuracy_real"] + metrics["discriminator/accuracy_fake"]) / 2
        value = decay * state.extra[name] + (1 - decay) * now
        return replace(state, extra=state.extra | {name: value}), metrics

    users = f"a player with active=controllers.below(threshold, {name!r})"
    return Controller(name, hook, lambda params: {name: jnp.asarray(0.5)}, users=users)


def below(threshold: float, slot: str = "accuracy") -> Callable[[TrainState], Array]:
    """Condition: a player moves only while the value of a slot is below a threshold.

    Args:
        threshold: Such as 0.8 for the discriminator's accuracy.
        slot: Name of the slot; the default is that of the controller `accuracy`.

    Returns:
        `(state) -> bool []`, for `Player.active`.
    """
    return lambda state: carried(state, slot, "controllers.accuracy()") < threshold


def after(steps: int) -> Callable[[TrainState], Array]:
    """Condition: a player does not move in the first iterations, such as a generator while the discriminator pretrains.

    Args:
        steps: Iterations before its first move, at least 0.

    Returns:
        `(state) -> bool []`, for `Player.active`.
    """
    require(lambda: steps >= 0, f"steps={steps}: the number of iterations to wait cannot be negative")
    return lambda state: state.step >= steps
