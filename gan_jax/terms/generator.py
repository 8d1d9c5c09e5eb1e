"""Regularisation terms of the generator; comparisons within a batch are over the global batch."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from gan_jax import numerics, rng
from gan_jax.checks import require, require_decay, require_noise, require_weight
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.numerics import safe_root
from gan_jax.terms import shifts
from gan_jax.terms.augmentation_consistency import nearby
from gan_jax.types import Array, Context, PyTree, Term


def feature_matching(weight: float = 1.0) -> Term:
    """Feature matching (Salimans et al. 2016, arXiv:1606.03498).

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

    return Term("feature_matching", value, player="generator")


def absolute_error(weight: float = 100.0) -> Term:
    """L1 term of pix2pix, for translation of paired images (Isola et al. 2017, arXiv:1611.07004).

    weight * |x - G(s)|, averaged over pixels and channels; s is the source image of the target x.

    Args:
        weight: Lambda, positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        return weight * numerics.average(jnp.abs(context.real - context.fake))

    return Term("absolute_error", value, player="generator")


def pull_away(weight: float = 0.1) -> Term:
    """Pulling-away term of EBGAN, against mode collapse (Zhao et al. 2017, arXiv:1609.03126).

    weight / (B (B - 1)) * sum over i /= j of cos(f(G(z_i)), f(G(z_j)))^2, f the discriminator's features.

    Args:
        weight: Positive.

    Raises:
        UserError: While tracing, if the discriminator returns no features, or the batch has only one example.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        features = parallel.gather(_features(context.fake_output))
        count = _require_several("pull_away", features)
        features = features / safe_root(jnp.sum(features**2, axis=1, keepdims=True))
        cosines = features @ features.T
        return weight / (count * (count - 1)) * jnp.sum(jnp.where(jnp.eye(count, dtype=bool), 0, cosines**2))

    return Term("pull_away", value, player="generator")


def mode_seeking(weight: float = 1.0) -> Term:
    """Mode seeking regularisation, MSGAN (Mao et al. 2019, arXiv:1903.05628).

    weight / (|G(z) - G(z')| / |z - z'| + 1e-5), with mean absolute differences; z' is the next latent in the global
    batch. Ratios are per pair, as in the paper's formula.

    Args:
        weight: Lambda, positive.

    Raises:
        UserError: While tracing, if the batch has only one example.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        pair = context.fake, context.latents
        everything = parallel.gather(pair)
        _require_several("mode_seeking", everything[0])
        others = parallel.local(jax.tree.map(lambda x: jnp.roll(x, -1, axis=0), everything))
        images, latents = (numerics.average(jnp.abs(a - b)) for a, b in zip(pair, others, strict=True))
        return weight / (images / latents + 1e-5)

    return Term("mode_seeking", value, player="generator")


def latent_diversity(weight: float = 0.5, std: float = 0.07) -> Term:
    """Latent consistency regularisation, zCR: the generator's term (Zhao et al. 2021, arXiv:2002.04724).

    -weight * |G(z) - G(z + std * N(0, I))|^2, averaged over pixels and channels, so that the weight does not depend on
    the resolution. The discriminator's term is `latent_consistency`.

    Args:
        weight: Lambda_gen, positive.
        std: Standard deviation of the noise, positive. Public implementations for CIFAR-10 use 0.03 and 0.05.
    """
    require_weight("weight", weight)
    require_noise("std", std)

    def value(context: Context) -> Array:
        return -weight * numerics.average((context.fake - nearby(context, std)) ** 2)

    return Term("latent_diversity", value, player="generator")


def path_length(
    weight: float = 2.0, decay: float = 0.99, name: str = "path_length", layer: str = "", shrink: int = 1
) -> Term:
    """Path length regularisation of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958).

    weight * (l - a)^2, l = |J^T y|, J = dG(z) / dz, y = N(0, I) / sqrt(H W), a <- a + (1 - decay) (E l - a), a = 0 at
    first. As in the authors' code, a is the updated average, and gradients flow through it. For points, y is not
    divided by sqrt(H W).

    Args:
        weight: Positive.
        decay: Weight of the average's old value, in [0, 1).
        name: Name of the term, and of the slot with a.
        layer: Path of the generator's layer whose output takes the place of z in J; "" for the latents. In the paper it
            is the styles, "styles" in `networks.stylegan2`. With several vectors for each example, `[b, layers, size]`,
            l^2 is the mean of their squared lengths.
        shrink: Only the first 1 / shrink of the global batch is used; 2 in the authors' code.
    """
    require_weight("weight", weight)
    require_decay(decay)
    require(lambda: shrink >= 1, f"shrink={shrink}: give at least 1")

    def value(context: Context) -> tuple[Array, dict[str, Array]]:
        pixels = math.prod(context.fake.shape[1:-1])
        direction = rng.normal(rng.each(context.keys, "direction"), context.fake) / math.sqrt(pixels)
        latents, direction = _first((context.latents, direction), shrink)
        slope = _slope(lambda latents: jnp.sum(context.generate(latents) * direction), latents, layer)
        length = safe_root(jnp.mean(jnp.sum(slope**2, axis=-1).reshape(len(slope), -1), axis=1))
        average = context.state.extra[name]
        average = (average + (1 - decay) * (parallel.pmean(jnp.mean(length)) - average)).astype(average.dtype)
        return weight * (length - average) ** 2, {name: lax.stop_gradient(average)}

    return Term(name, value, ("generator",), lambda params: {name: jnp.zeros(())}, "generator")


def _slope(function: Callable[[Array], Array], latents: Array, layer: str) -> Array:
    """Returns the gradient of a function of latents with respect to them, or to the output of the generator's layer."""
    if not layer:
        return jax.grad(function)(latents)

    def moved(delta: Array) -> Array:
        with shifts.shifted(layer, delta):
            return function(latents)

    output = shifts.shape(layer, lambda: function(latents))
    return jax.grad(moved)(jnp.zeros(output.shape, output.dtype))


def _first(tree: PyTree, shrink: int) -> PyTree:
    """Takes the first 1 / shrink of the global batch, of which each device has its share."""
    if shrink == 1:
        return tree

    def some(x: Array) -> Array:
        count = len(x) // shrink
        if count % parallel.size():
            raise UserError(
                f"shrink={shrink}: {count} of {len(x)} examples do not divide among the devices; give a smaller one, "
                "or a larger batch"
            )
        return x[:count]

    return parallel.local(jax.tree.map(some, parallel.gather(tree)))


def _features(output: dict[str, PyTree]) -> Array:
    if "features" not in output:
        raise UserError(
            f"the discriminator returns no features, only {sorted(output)}; build it with with_features=True"
        )
    return output["features"].reshape(len(output["features"]), -1)


def _require_several(name: str, rows: Array) -> int:
    if len(rows) < 2:
        raise UserError(f"{name} compares the examples of a batch, but there is only 1; raise the batch size")
    return len(rows)
