"""Boundary-seeking GANs of binary images, with pixels -1 or 1 (Hjelm et al. 2018, arXiv:1702.08431).

A network maps z to the mean of each pixel, and uniform numbers u decide its value. The latent is (z, u), so a sample is
a function of its latent, as in other systems.
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
    """Returns the generator's term: -sum_m w_m log g(x_m | z), with M samples of each z.

    w_m is D(x_m) / (1 - D(x_m)), normalised over m. No gradient passes through samples or weights. As M grows, the
    gradient tends to that of KL(p || g) at each z, where p(x | z) is g(x | z) D(x) / (1 - D(x)), normalised.

    A slot holds the effective number of samples, 1 / sum_m w_m^2, from 1 to M (equal weights).

    Args:
        size: Size of z, the first part of a latent; the generator is a `sampler`.
        samples: M, at least 2: a single sample always has weight 1.
    """
    require(lambda: samples >= 2, f"samples={samples}: importance weights compare samples of one z; give at least 2")

    def value(context: Context) -> tuple[Array, dict[str, Array]]:
        means, images, logits = _judged(context, size, samples)
        weights = jax.nn.softmax(logits, axis=1)  # D / (1 - D) is exp(logit)
        # never log 0: a pixel only takes values of positive probability
        likelihood = jnp.sum(jnp.log((1 + images * means) / 2).reshape(*logits.shape, -1), axis=2)
        effective = parallel.pmean(jnp.mean(1 / jnp.sum(weights**2, axis=1)))
        return -jnp.sum(weights * likelihood, axis=1), {SLOT: effective}

    return Term("boundary_seeking", value, slots=lambda params: {SLOT: jnp.zeros(())}, player="generator")


def judged(size: int, samples: int = 20) -> Term:
    """Returns the discriminator's term for samples: -1/M sum_m log(1 - D(x_m)), with M samples of each z.

    A loss uses one sample of each z, so pair this term with a loss whose discriminator part has real images alone.

    Args:
        size: Size of z, see `boundary_seeking`.
        samples: M.
    """
    return Term("samples", lambda context: jax.nn.softplus(_judged(context, size, samples)[2]), player="discriminator")


def effective_samples() -> Controller:
    """Logs the effective number of samples from the slot of `boundary_seeking`."""

    def hook(state: TrainState, metrics: Metrics, key: Array) -> tuple[TrainState, Metrics]:
        return state, metrics | {f"generator/{SLOT}": state.extra[SLOT]}

    return Controller(SLOT, hook)


def uniforms(keys: Array, shape: tuple[int, ...]) -> Array:
    """Draws uniform numbers in [0, 1), `[n, *shape]`, example i from key i alone."""
    # drawn flat, which XLA runs several times faster on CPUs
    return jax.vmap(lambda key: jax.random.uniform(key, (math.prod(shape),)))(keys).reshape(-1, *shape)


def draw(means: Array, uniforms: Array) -> Array:
    """Draws binary pixels: 1 with probability (1 + mean) / 2, else -1.

    Args:
        means: Means in [-1, 1]; a mean of -1 or 1 is the pixel's value.
        uniforms: Uniform numbers in [0, 1); shapes broadcast.
    """
    return jnp.where(uniforms < (1 + means) / 2, 1, -1).astype(means.dtype)


def binarised(images: Array, keys: Array, state: TrainState) -> Array:
    """Augmentation that binarises images at random, with pixels as means; pixels of -1 and 1 stay."""
    return draw(images, uniforms(keys, images.shape[1:]))


def latent(base: Latent, shape: tuple[int, ...]) -> Latent:
    """Returns the distribution of (z, u); truncation acts on z alone.

    Args:
        base: Distribution of z.
        shape: Shape of an image.

    Raises:
        UserError: If the shape is that of points.
    """
    require(
        lambda: len(shape) == 3, f"shape={shape}: only images have black and white pixels; give a data set of images"
    )

    def drawn(keys: Array, truncation: float | None = None) -> Array:
        pixels = uniforms(rng.each(keys, "pixels"), (math.prod(shape),))
        return jnp.concatenate([base.draw(keys, truncation), pixels], axis=1)

    name = f"{base.name} in {base.size} dimensions; pixels uniform on [0, 1]"
    return Latent(base.size + math.prod(shape), drawn, name=name)


def sampler(means: Network, size: int) -> Network:
    """Returns the network that draws binary images from latents (z, u); from z alone it returns the means.

    Args:
        means: Network from z to means in [-1, 1].
        size: Size of z.
    """

    def image(mean: Array, latents: Array) -> Array:
        if latents.shape[1] <= size:
            return mean
        return draw(mean, latents[:, size:].reshape(mean.shape))

    def apply(
        params: PyTree, stats: PyTree, latents: Array, *, train: bool, key: Array | None = None
    ) -> tuple[Array, PyTree]:
        mean, stats = means.apply(params, stats, latents[:, :size], train=train, key=key)
        return image(mean, latents), stats

    def inspect(params: PyTree, stats: PyTree, latents: Array, **options: PyTree) -> tuple[Array, dict[str, Array]]:
        mean, layers = means.inspect(params, stats, latents[:, :size], **options)
        return image(mean, latents), layers

    return means._replace(apply=apply, inspect=inspect)


def _judged(context: Context, size: int, samples: int) -> tuple[Array, Array, Array]:
    """Draws M images for each z; returns means `[b, 1, ...]`, images `[b, M, ...]` and logits `[b, M]`."""
    means = context.generate(context.latents[:, :size])[:, None]
    images = draw(means, uniforms(context.keys, (samples, *means.shape[2:])))
    return means, images, context.critic(images.reshape(-1, *means.shape[2:])).reshape(-1, samples)
