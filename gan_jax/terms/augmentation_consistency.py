"""Consistency terms: the discriminator's output should not change under small changes of its input."""

from collections.abc import Callable

import jax.numpy as jnp

from gan_jax import numerics, rng
from gan_jax.checks import require, require_noise, require_weight
from gan_jax.types import Array, Augment, Context, Term

Critic = Callable[[Array], Array]


def consistency(augment: Augment, real: float = 10.0, fake: float = 0.0) -> Term:
    """Consistency regularisation, CR (Zhang et al. 2020, arXiv:1910.12027).

    real * |D(T(x)) - D(x)|^2 + fake * |D(T(G(z))) - D(G(z))|^2, averaged over patch logits. With both weights it is
    balanced consistency regularisation, bCR (Zhao et al. 2021, arXiv:2002.04724). If the game augments too, both
    sides of a difference get the same draw of that augmentation.

    Args:
        augment: T, drawn once per image.
        real: Weight on real examples, positive.
        fake: Weight on fake examples, at least 0; 10 in the bCR paper.
    """
    require_weight("real", real)
    require(lambda: fake >= 0, f"fake={fake}: a weight cannot be negative; 0 leaves the fake examples out")

    def value(context: Context) -> Array:
        def unlike(critic: Critic, images: Array, name: str) -> Array:
            changed = augment(images, rng.each(context.keys, name), context.state)
            return _squared_distance(critic(changed), critic(images))

        values = real * unlike(context.critic, context.real, "real")
        if isinstance(fake, int | float) and fake == 0:
            return values
        return values + fake * unlike(context.fake_critic, context.fake, "fake")

    return Term("consistency", value, player="discriminator")


def latent_consistency(weight: float = 5.0, std: float = 0.07) -> Term:
    """Latent consistency regularisation, zCR: the discriminator's term (Zhao et al. 2021, arXiv:2002.04724).

    weight * |D(G(z)) - D(G(z + std * N(0, I)))|^2, averaged over patch logits. The generator's term is
    `latent_diversity`.

    Args:
        weight: Lambda_dis, positive.
        std: Standard deviation of the noise, positive. Public implementations for CIFAR-10 use 0.03 and 0.05.
    """
    require_weight("weight", weight)
    require_noise("std", std)

    def value(context: Context) -> Array:
        return weight * _squared_distance(context.fake_critic(nearby(context, std)), context.fake_critic(context.fake))

    return Term("latent_consistency", value, player="discriminator")


def approximated_r1(weight: float = 100.0, std: float = 0.01) -> Term:
    """Approximated R1 of adversarial post-training, without second derivatives (Lin et al. 2025, arXiv:2501.08316).

    weight * |D(x) - D(x + std * e)|^2, e ~ N(0, I), averaged over patch logits; both get the same augmentation.
    For a smooth discriminator and small std its mean is `penalties.r1(2 * weight * std**2)`. Unlike R1 it allows any
    normalisation in the discriminator.

    Args:
        weight: Lambda, positive; 100 in the paper.
        std: Standard deviation of the noise, positive; sigma = 0.01 for latents of images in the paper, 0.1 for video.
    """
    return _perturbed("approximated_r1", lambda context: (context.critic, context.real), weight, std)


def approximated_r2(weight: float = 100.0, std: float = 0.01) -> Term:
    """Approximated R2: `approximated_r1` on samples, weight * |D(G(z)) - D(G(z) + std * e)|^2.

    Args:
        weight: Lambda, positive.
        std: Standard deviation of the noise, positive.
    """
    return _perturbed("approximated_r2", lambda context: (context.fake_critic, context.fake), weight, std)


def _perturbed(name: str, of: Callable[[Context], tuple[Critic, Array]], weight: float, std: float) -> Term:
    require_weight("weight", weight)
    require_noise("std", std)

    def value(context: Context) -> Array:
        critic, x = of(context)
        noise = rng.normal(rng.each(context.keys, "noise"), x)
        return weight * _squared_distance(critic(x + std * noise), critic(x))

    return Term(name, value, player="discriminator")


def nearby(context: Context, std: float) -> Array:
    """Generates from perturbed latents of `context.fake`: G(z + std * N(0, I))."""
    return context.generate(context.latents + std * rng.normal(rng.each(context.keys, "latent"), context.latents))


def _squared_distance(a: Array, b: Array) -> Array:
    return numerics.average(jnp.square(a - b))
