"""Terms of the generator, terms of parameters, and terms made of others.

Those that compare a batch with itself do so over the global batch.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jax import lax

from gan_jax import losses, parallel, rng
from gan_jax.checks import require_decay, require_noise, require_weight
from gan_jax.consistency import nearby
from gan_jax.errors import UserError
from gan_jax.penalties import safe_root
from gan_jax.types import Array, Context, PyTree, Term, TrainState


def lazy(term: Term, every: int) -> Term:
    """Evaluates a term every so many steps, that many times as strong (Karras et al. 2020, arXiv:1912.04958).

    What it carries moves only then.

    Args:
        term: Any term.
        every: Steps between evaluations, at least 1; it is due at step 0.
    """
    if every < 1:
        raise UserError(f"every={every}: a lazy term is due once in at least 1 step")

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        def due() -> tuple[Array, dict[str, PyTree]]:
            values, extra = _evaluate(term, context)
            return every * values, extra

        values, extra = jax.eval_shape(due)
        return lax.cond(
            context.state.step % every == 0,
            due,
            lambda: (jnp.zeros(values.shape, values.dtype), {slot: context.state.extra[slot] for slot in extra}),
        )

    return term._replace(value=value)


def scheduled(term: Term, schedule: optax.Schedule) -> Term:
    """Multiplies a term by a function of the step.

    Args:
        term: Any term.
        schedule: `(step) -> factor`, such as `optax.linear_schedule(0, 1, 10_000)`.
    """

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        values, extra = _evaluate(term, context)
        return jnp.asarray(schedule(context.state.step)) * values, extra

    return term._replace(value=value)


def combine(*terms: Term) -> Term:
    """Adds terms up to one, to be lazy or scheduled together.

    The sum of their means; each draws from keys of its own.

    Args:
        terms: At least one; no two may carry the same slot.
    """
    if not terms:
        raise UserError("terms=(): there is nothing to combine; give at least one term")

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        total, joined = jnp.zeros(()), {}
        for place, term in enumerate(terms):
            values, extra = _evaluate(term, context._replace(keys=rng.each(context.keys, f"{place}")))
            total += parallel.pmean(jnp.mean(values))
            joined |= extra
        return total, joined

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        joined: dict[str, PyTree] = {}
        for first in (term.slots(params) for term in terms):
            if twice := set(first) & set(joined):
                raise UserError(f"two combined terms carry the slot {sorted(twice)}; name one of them otherwise")
            joined |= first
        return joined

    players = {term.player for term in terms} - {""}
    if len(players) > 1:
        raise UserError(f"terms: they are of different players, {sorted(players)}; combine those of one")
    return Term(value, tuple({name for term in terms for name in term.per_example}), slots, "".join(players))


def feature_matching(weight: float = 1.0) -> Term:
    """Returns feature matching (Salimans et al. 2016, arXiv:1606.03498).

    weight * |E f(x) - E f(G(z))|^2, f the discriminator's features.

    Args:
        weight: Positive.

    Raises:
        UserError: While tracing, if the discriminator returns no features.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        means = [jnp.mean(_features(output), axis=0) for output in (context.real_output, context.fake_output)]
        real, fake = parallel.pmean(means)
        return weight * jnp.sum((real - fake) ** 2)

    return Term(value, player="generator")


def absolute_error(weight: float = 100.0) -> Term:
    """Returns pix2pix's L1 term (Isola et al. 2017, arXiv:1611.07004), for generators that translate pairs.

    weight * |x - G(s)|, averaged over pixels and channels.

    Args:
        weight: Lambda, positive.
    """
    require_weight("weight", weight)
    return Term(lambda context: weight * losses.average(jnp.abs(context.real - context.fake)), player="generator")


def pull_away(weight: float = 0.1) -> Term:
    """Returns EBGAN's pulling-away term (Zhao et al. 2017, arXiv:1609.03126), against samples that are all alike.

    weight / (B (B - 1)) * sum over i /= j of cos(f(G(z_i)), f(G(z_j)))^2, f the discriminator's features.

    Args:
        weight: Positive.

    Raises:
        UserError: While tracing, if the discriminator returns no features, or there is but one example.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        features = parallel.gather(_features(context.fake_output))
        count = _require_several("pull_away", features)
        features = features / safe_root(jnp.sum(features**2, axis=1, keepdims=True))
        cosines = features @ features.T
        return weight / (count * (count - 1)) * jnp.sum(jnp.where(jnp.eye(count, dtype=bool), 0, cosines**2))

    return Term(value, player="generator")


def mode_seeking(weight: float = 1.0) -> Term:
    """Returns the mode seeking term (Mao et al. 2019, arXiv:1903.05628).

    weight / (|G(z) - G(z')| / |z - z'| + 1e-5), mean absolute differences, z' the next latents of the batch. The ratio
    is taken pair by pair, as in the paper's formula.

    Args:
        weight: Lambda, positive.

    Raises:
        UserError: While tracing, if there is but one example.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        pair = context.fake, context.latents
        everything = parallel.gather(pair)
        _require_several("mode_seeking", everything[0])
        others = parallel.local(jax.tree.map(lambda x: jnp.roll(x, -1, axis=0), everything))
        images, latents = (losses.average(jnp.abs(a - b)) for a, b in zip(pair, others, strict=True))
        return weight / (images / latents + 1e-5)

    return Term(value, player="generator")


def latent_diversity(weight: float = 0.5, std: float = 0.07) -> Term:
    """Returns the generator's part of zCR (Zhao et al. 2021, arXiv:2002.04724); see `consistency.latent_consistency`.

    -weight * |G(z) - G(z + std * N(0, I))|^2, averaged over the entries of an image, so that the weight means the same
    at every resolution.

    Args:
        weight: Lambda_gen, positive.
        std: Standard deviation of the noise, positive. Public implementations for CIFAR-10 have 0.03 and 0.05.
    """
    require_weight("weight", weight)
    require_noise("std", std)
    return Term(
        lambda context: -weight * losses.average((context.fake - nearby(context, std)) ** 2), player="generator"
    )


def path_length(weight: float = 2.0, decay: float = 0.99, slot: str = "path_length") -> Term:
    """Returns path length regularisation (Karras et al. 2020, arXiv:1912.04958).

    weight * (l - a)^2, l = |J^T y|, J = dG(z) / dz, y = N(0, I) / sqrt(H W), a <- a + (1 - decay) (E l - a). As in the
    authors' code, a is the new average, and its share of the gradient counts. Points have no height and width, and y is
    not divided.

    Args:
        weight: Positive.
        decay: The weight of the average's old value, in [0, 1).
        slot: Where a is kept, 0 at first.
    """
    require_weight("weight", weight)
    require_decay(decay)

    def value(context: Context) -> tuple[Array, dict[str, Array]]:
        pixels = math.prod(context.fake.shape[1:-1])
        direction = rng.normal(rng.each(context.keys, "direction"), context.fake) / math.sqrt(pixels)
        slope = jax.grad(lambda latents: jnp.sum(context.generate(latents) * direction))(context.latents)
        length = safe_root(jnp.sum(slope**2, axis=1))
        average = context.state.extra[slot]
        average = (average + (1 - decay) * (parallel.pmean(jnp.mean(length)) - average)).astype(average.dtype)
        return weight * (length - average) ** 2, {slot: lax.stop_gradient(average)}

    return Term(value, ("generator",), lambda params: {slot: jnp.zeros(())}, "generator")


def orthogonal(weight: float, network: str) -> Term:
    """Returns BigGAN's orthogonal regularisation, without the diagonal (Brock et al. 2019, arXiv:1809.11096).

    weight * sum over kernels W of |W^T W * (1 - I)|_F^2, W reshaped `[in, out]`.

    Args:
        weight: Beta, 1e-4 in the paper; positive.
        network: Whose parameters of two axes or more are its kernels, embeddings among them.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        kernels = [x.reshape(-1, x.shape[-1]) for x in jax.tree.leaves(_params(context.state, network)) if x.ndim > 1]
        products = [kernel.T @ kernel for kernel in kernels]
        return weight * sum((jnp.sum((p - jnp.diag(jnp.diag(p))) ** 2) for p in products), start=jnp.zeros(()))

    return Term(value, player=network)


def historical_averaging(weight: float, network: str) -> Term:
    """Returns historical averaging (Salimans et al. 2016, arXiv:1606.03498).

    weight * |theta - mean of the theta of earlier moves|^2; 0 on the first.

    Args:
        weight: Positive.
        network: Whose parameters; the mean is kept in the slot "historical_" and this name.
    """
    require_weight("weight", weight)
    slot = f"historical_{network}"

    def value(context: Context) -> tuple[Array, dict[str, PyTree]]:
        now, carried = _params(context.state, network), context.state.extra[slot]
        distances = jax.tree.map(lambda x, mean: jnp.sum((x - mean) ** 2), now, carried["mean"])
        count = carried["count"] + 1
        mean = jax.tree.map(lambda x, mean: mean + lax.stop_gradient(x - mean) / count, now, carried["mean"])
        return weight * jax.tree.reduce(jnp.add, distances), {slot: {"count": count, "mean": mean}}

    def slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
        _require_network(params, network)
        return {slot: {"count": jnp.zeros((), jnp.int32), "mean": jax.tree.map(jnp.copy, params[network])}}

    return Term(value, slots=slots, player=network)


def _evaluate(term: Term, context: Context) -> tuple[Array, dict[str, PyTree]]:
    """Gives terms that carry nothing the form of those that do."""
    values = term.value(context)
    return values if isinstance(values, tuple) else (values, {})


def _features(output: dict[str, PyTree]) -> Array:
    if "features" not in output:
        raise UserError(
            f"the discriminator returns no features, only {sorted(output)}; build it with with_features=True"
        )
    return output["features"].reshape(len(output["features"]), -1)


def _require_several(name: str, rows: Array) -> int:
    if len(rows) < 2:
        raise UserError(f"{name} compares the examples of a batch, and there is only 1; make the batch larger")
    return len(rows)


def _params(state: TrainState, network: str) -> PyTree:
    _require_network(state.params, network)
    return state.params[network]


def _require_network(params: dict[str, PyTree], network: str) -> None:
    if network not in params:
        raise UserError(f"network={network!r}: there is none of that name; there are {sorted(params)}")
