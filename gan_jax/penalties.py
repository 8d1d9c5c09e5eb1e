"""Regularisation terms on the discriminator's input gradient or logits.

A discriminator that packs m consecutive images into each logit (`networks.packed`) has b / m examples of m images each:
norms are over whole packs, and random numbers are drawn once per pack.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import numerics, rng
from gan_jax.checks import require, require_decay, require_noise, require_weight
from gan_jax.devices import parallel
from gan_jax.numerics import safe_root
from gan_jax.types import Array, Context, Term

Critic = Callable[[Array], Array]


def r1(weight: float, of_sum: bool = False) -> Term:
    """R1: gradient penalty on real examples (Mescheder et al. 2018, arXiv:1801.04406).

    weight / 2 * |grad D(x)|^2.

    Args:
        weight: Gamma, 10 in the paper; positive.
        of_sum: Whether the gradient in each example is that of the sum of the global batch's logits, as in StyleGAN2
            (Karras et al. 2020, arXiv:1912.04958). Both are the same unless a logit depends on other examples, as with
            minibatch deviation; then only the gradient of the sum is defined.
    """
    require_weight("weight", weight)
    term = _of_slopes("r1", lambda context: weight / 2 * _squared_slope(context.critic, context.real))
    return term._replace(per_example=()) if of_sum else term


def r2(weight: float) -> Term:
    """R2: gradient penalty on fake examples (Mescheder et al. 2018, arXiv:1801.04406).

    weight / 2 * |grad D(G(z))|^2, the gradient being with respect to the image.

    Args:
        weight: Gamma, positive.
    """
    require_weight("weight", weight)
    return _of_slopes("r2", lambda context: weight / 2 * _squared_slope(context.fake_critic, context.fake))


def gradient_penalty(weight: float = 10.0, target: float = 1.0, one_sided: bool = False, of_sum: bool = False) -> Term:
    """Gradient penalty of WGAN-GP, between real and fake examples (Gulrajani et al. 2017, arXiv:1704.00028).

    weight * (|grad D(x')| - target)^2 at x' = u x + (1 - u) G(z), u uniform on [0, 1] for each pair. Target 0 gives the
    zero-centred penalty of Thanh-Tung et al. (2019, arXiv:1902.03984).

    Args:
        weight: Lambda, positive.
        target: Gradient norm at which the penalty is 0, at least 0.
        one_sided: Whether to penalise larger norms only, max(0, |grad D(x')| - target)^2: WGAN-LP (Petzka et al. 2018,
            arXiv:1709.08894).
        of_sum: Whether the gradient is that of the sum of the global batch's logits, which is defined for any critic,
            such as ProGAN's with minibatch deviation. Where a logit depends on its example alone, both are the same.
    """
    require_weight("weight", weight)
    _require_target(target)

    def value(context: Context) -> Array:
        return weight * _excess(_squared_slope(context.critic, _between(context)), target, one_sided)

    return _of_slopes("gradient_penalty", value, of_sum)


def drift(weight: float = 0.001) -> Term:
    """Drift term: holds the logits of real examples near 0 (Karras et al. 2018, arXiv:1710.10196).

    weight * D(x)^2, averaged over patch logits. A Wasserstein critic's logits have no other anchor.

    Args:
        weight: epsilon_drift in the paper, positive.
    """
    require_weight("weight", weight)
    return Term(
        "drift",
        lambda context: weight * numerics.average(context.real_output["logits"] ** 2),
        player="discriminator",
    )


def dragan(weight: float = 10.0, noise: float = 0.5, target: float = 1.0) -> Term:
    """Gradient penalty of DRAGAN, around real examples (Kodali et al. 2017, arXiv:1705.07215).

    weight * (|grad D(x + u d)| - target)^2, u uniform on [0, 1] for each example, the entries of d uniform on
    [0, noise * s], s the standard deviation of all entries of the real batch. This follows the authors' code; the
    paper's text has normal noise, D(x + d) with d ~ N(0, c I).

    Args:
        weight: Lambda, positive.
        noise: Largest perturbation, in units of s; positive, 0.5 in the authors' code.
        target: Gradient norm at which the penalty is 0, at least 0.
    """
    require_weight("weight", weight)
    require_noise("noise", noise)
    _require_target(target)

    def value(context: Context) -> Array:
        real = context.real
        mean = parallel.pmean(jnp.mean(real))
        deviation = jnp.sqrt(parallel.pmean(jnp.mean((real - mean) ** 2)))
        away = noise * deviation * rng.uniform(rng.each(context.keys, "noise"), real)
        around = real + _fraction(context) * away
        return weight * _excess(_squared_slope(context.critic, around), target)

    return _of_slopes("dragan", value)


def max_gradient(weight: float) -> Term:
    """Maximum gradient penalty of LGAN: penalises only the batch's largest gradient (Zhou et al., arXiv:1902.05687).

    weight * max |grad D(x')|^2 over the global batch, x' between real and fake as in `gradient_penalty` (Zhou et al.
    2019).

    Args:
        weight: Lambda, positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        return weight * jnp.max(parallel.gather(_squared_slope(context.critic, _between(context))))

    return _of_slopes("max_gradient", value)


def lecam(weight: float, decay: float = 0.99, name: str = "lecam") -> Term:
    """LeCam regularisation of the logits, for small data sets (Tseng et al. 2021, arXiv:2104.03310).

    weight * (|D(x) - a_fake|^2 + |D(G(z)) - a_real|^2), a_real and a_fake the moving averages of the mean logits before
    the move, 0 at first. This is the paper's formula; the authors' code has max(0, D(x) - a_fake)^2 and likewise for
    fake, which ignores logits beyond the anchor.

    Args:
        weight: Lambda, positive.
        decay: Weight of an average's old value, in [0, 1).
        name: Name of the term, and of the slot with the averages.
    """
    require_weight("weight", weight)
    require_decay(decay)

    def value(context: Context) -> tuple[Array, dict[str, dict[str, Array]]]:
        real, fake, anchor = context.real_output["logits"], context.fake_output["logits"], context.state.extra[name]
        values = numerics.average((real - anchor["fake"]) ** 2) + numerics.average((fake - anchor["real"]) ** 2)
        now = parallel.pmean(lax.stop_gradient({"real": jnp.mean(real), "fake": jnp.mean(fake)}))
        moved = jax.tree.map(lambda a, x: (decay * a + (1 - decay) * x).astype(a.dtype), anchor, now)
        return weight * values, {name: moved}

    return Term(
        name, value, slots=lambda params: {name: {"real": jnp.zeros(()), "fake": jnp.zeros(())}}, player="discriminator"
    )


def input_gradient(critic: Critic, inputs: Array) -> Array:
    """Returns the gradient of the sum of all logits, on all devices, with respect to each example.

    Args:
        critic: `[b, ...] -> logits`; if logit i depends on example i alone, the gradient is that of this logit. Patch
            logits `[b, h, w, ...]` are averaged. With a packing critic's `[b / m]`, an image's gradient is that of its
            pack's logit.
        inputs: Points of evaluation, `[b, ...]`.

    Returns:
        Gradients `[b, ...]`.
    """

    def total(x: Array) -> Array:
        logits = critic(x)
        return jnp.sum(logits) * (logits.shape[0] / logits.size)

    return jax.grad(total)(inputs)


def _of_slopes(name: str, value: Callable[[Context], Array], of_sum: bool = False) -> Term:
    """Returns a discriminator's term that differentiates it example by example, or the sum of its logits."""
    return Term(name, value, per_example=() if of_sum else ("discriminator",), player="discriminator")


def _squared_slope(critic: Critic, inputs: Array) -> Array:
    packs = _packs(critic, inputs)
    return jnp.sum(input_gradient(critic, inputs).reshape(packs, -1) ** 2, axis=1)


def _excess(squared: Array, target: float, one_sided: bool = False) -> Array:
    """Returns (|slope| - target)^2 from |slope|^2, or max(0, |slope| - target)^2."""
    if isinstance(target, int | float) and target == 0:
        return squared  # not `safe_root(squared)**2`, which has no second derivative where the critic is flat
    excess = safe_root(squared) - target
    return (jax.nn.relu(excess) if one_sided else excess) ** 2


def _between(context: Context) -> Array:
    """Draws a point on the segment between each fake example, or pack, and the real one."""
    mix = _fraction(context)
    return mix * context.real + (1 - mix) * context.fake


def _fraction(context: Context) -> Array:
    """Draws a number uniform on [0, 1) for each example, or pack, `[b, 1, ...]`."""
    real = context.real
    count = real.shape[0] // _packs(context.critic, real)
    first = rng.each(context.keys, "mix")[::count]
    mix = jax.vmap(lambda key: jax.random.uniform(key, dtype=real.dtype))(first)
    return jnp.repeat(mix, count).reshape(-1, *[1] * (real.ndim - 1))


def _packs(critic: Critic, inputs: Array) -> int:
    """Returns the critic's number of examples, or packs: the first axis of its logits."""
    return jax.eval_shape(critic, inputs).shape[0]


def _require_target(target: float) -> None:
    require(lambda: target >= 0, f"target={target}: a gradient's norm cannot be negative; give at least 0")
