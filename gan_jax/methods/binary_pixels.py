"""Images of pixels that are -1 or 1, and how a generator learns to draw them (Hjelm et al. 2018, arXiv:1702.08431).

A network gives each pixel's mean, and uniform numbers decide what it is. They are part of the latent, (z, u), z being
what the network takes, so that a sample is a function of its latent as everywhere else.
"""

import math

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import require
from gan_jax.devices import parallel
from gan_jax.types import Array, Context, Controller, Latent, Metrics, Network, PyTree, Term, TrainState

SLOT = "effective_samples"


def boundary_seeking(size: int, samples: int = 20) -> Term:
    """Returns the generator's term, -sum_m w_m log g(x_m | z) of M samples of each z.

    w_m is D(x_m) / (1 - D(x_m)), divided by the sum over m. No gradient passes a sample, and so none a weight. As M
    grows, the gradient becomes that of KL(p || g) at each z, where p(x | z) is g(x | z) D(x) / (1 - D(x)), normalised.

    It carries the effective number of samples, 1 / sum_m w_m^2, from M where they count alike down to 1.

    Args:
        size: Of z, with which latents begin; the generator is a `sampler`.
        samples: M, at least 2: of one sample the weight is 1, whatever D says.
    """
    require(lambda: samples >= 2, f"samples={samples}: weights tell samples of one z apart; give at least 2")

    def value(context: Context) -> tuple[Array, dict[str, Array]]:
        means, images, logits = _judged(context, size, samples)
        weights = jax.nn.softmax(logits, axis=1)  # D / (1 - D) is exp(logit)
        # never of 0: a pixel only takes a value that its mean allows
        likelihood = jnp.sum(jnp.log((1 + images * means) / 2).reshape(*logits.shape, -1), axis=2)
        effective = parallel.pmean(jnp.mean(1 / jnp.sum(weights**2, axis=1)))
        return -jnp.sum(weights * likelihood, axis=1), {SLOT: effective}

    return Term("boundary_seeking", value, slots=lambda params: {SLOT: jnp.zeros(())}, player="generator")


def judged(size: int, samples: int = 20) -> Term:
    """Returns the discriminator's term for samples, -1/M sum_m log(1 - D(x_m)), with M samples of each z.

    A loss judges one sample of each z; so pair this term with a loss whose discriminator part has real images alone.

    Args:
        size: See `boundary_seeking`.
        samples: M.
    """
    return Term("samples", lambda context: jax.nn.softplus(_judged(context, size, samples)[2]), player="discriminator")


def effective_samples() -> Controller:
    """Logs the effective number of samples that `boundary_seeking` carries."""

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        return state, metrics | {f"generator/{SLOT}": state.extra[SLOT]}

    return Controller(SLOT, hook)


def uniforms(keys: Array, shape: tuple[int, ...]) -> Array:
    """Draws uniform numbers in [0, 1), `[n, *shape]`, example i from key i alone."""
    # flat: XLA runs that several times faster on a CPU
    return jax.vmap(lambda key: jax.random.uniform(key, (math.prod(shape),)))(keys).reshape(-1, *shape)


def draw(means: Array, uniforms: Array) -> Array:
    """Makes pixels 1 with probability (1 + mean) / 2, else -1.

    Args:
        means: In [-1, 1]; where one is -1 or 1, so is the pixel.
        uniforms: In [0, 1); shapes broadcast.
    """
    return jnp.where(uniforms < (1 + means) / 2, 1, -1).astype(means.dtype)


def binarised(images: Array, keys: Array, state: TrainState) -> Array:
    """Makes pixels 1 as often as they are bright, an `Augment`; those that are -1 or 1 already stay."""
    return draw(images, uniforms(keys, images.shape[1:]))


def latent(base: Latent, shape: tuple[int, ...]) -> Latent:
    """Returns the distribution of (z, u), of which only z is ever truncated.

    Args:
        base: That of z.
        shape: Of an image.

    Raises:
        UserError: If the shape is that of points.
    """
    require(lambda: len(shape) == 3, f"shape={shape}: points have no pixels to be black or white; give images")

    def drawn(keys: Array, truncation: float | None = None) -> Array:
        pixels = uniforms(rng.each(keys, "pixels"), (math.prod(shape),))
        return jnp.concatenate([base.draw(keys, truncation), pixels], axis=1)

    return Latent(base.size + math.prod(shape), drawn)


def sampler(means: Network, size: int) -> Network:
    """Returns the network that draws images of latents (z, u), and of z alone gives the means.

    Args:
        means: From z to means in [-1, 1].
        size: That of z.
    """

    def image(found: Array, latents: Array) -> Array:
        return draw(found, latents[:, size:].reshape(found.shape)) if latents.shape[1] > size else found

    def apply(
        params: PyTree, stats: PyTree, latents: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, PyTree]:
        found, stats = means.apply(params, stats, latents[:, :size], train=train, key=key)
        return image(found, latents), stats

    def inspect(params: PyTree, stats: PyTree, latents: Array, **options: PyTree) -> tuple[Array, dict[str, Array]]:
        found, layers = means.inspect(params, stats, latents[:, :size], **options)
        return image(found, latents), layers

    return means._replace(apply=apply, inspect=inspect)


def _judged(context: Context, size: int, samples: int) -> tuple[Array, Array, Array]:
    """Draws images of each z; returns the means `[b, 1, ...]`, the images `[b, M, ...]` and their logits `[b, M]`."""
    means = context.generate(context.latents[:, :size])[:, None]
    images = draw(means, uniforms(context.keys, (samples, *means.shape[2:])))
    return means, images, context.critic(images.reshape(-1, *means.shape[2:])).reshape(-1, samples)
