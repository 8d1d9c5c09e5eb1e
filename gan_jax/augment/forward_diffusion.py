"""Instance noise at an adaptive level, drawn for each example from a forward diffusion."""

from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.checks import carried, require, require_noise
from gan_jax.types import Array, Augment, TrainState


def diffusion(
    slot: str = "diffusion",
    *,
    std: float = 0.05,
    shortest: int = 10,
    longest: int = 1_000,
    betas: tuple[float, float] = (1e-4, 2e-2),
    clean: float = 0.5,
    priority: bool = True,
    with_level: bool = False,
) -> Augment:
    """Instance noise of Diffusion-GAN: a forward diffusion of adaptive length (Wang et al. 2022, arXiv:2206.02262).

    sqrt(a_t) x + std sqrt(1 - a_t) e, e ~ N(0, I), with a_t = (1 - beta_1) ... (1 - beta_t), where beta rises linearly
    from betas[0] to betas[1] in T steps. T = shortest + p (longest - shortest), rounded, with p = `state.extra[slot]`.
    An example has t = 0, no noise, with probability `clean`, else t from 1 to T with probability proportional to t. The
    defaults are those of the authors' code for StyleGAN2 (diffusion-stylegan2/training/diffusion.py of
    Zhendong-Wang/Diffusion-GAN); but that code draws t with probability proportional to t - 1, only 32 times for each
    T, and reuses these draws. For projected GANs that code has std 0.5, T from 5 to 500, betas up to 0.01, and a
    target of 0.45.

    Control p by `controllers.adaptive_augmentation(batch_size, images=100_000, name="diffusion")`.

    Args:
        slot: Name of the slot with p, in [0, 1].
        std: Standard deviation of the noise at a_t = 0, for images in [-1, 1]; positive.
        shortest: T at p = 0, at least 2.
        longest: T at p = 1.
        betas: First and last beta, in [0, 1).
        clean: Probability of no noise, in [0, 1]; 1/2 in the authors' code.
        priority: Whether the probability of t is proportional to t; otherwise t is uniform.
        with_level: Whether the discriminator gets t / longest, `[b]`, as a further input (see
            `networks.heads.WithLevel`); in the authors' code it gets t.

    Raises:
        UserError: If an argument is out of range. When called: if the state has no such slot.
    """
    require_noise("std", std)
    require(lambda: 2 <= shortest <= longest, f"shortest={shortest}, longest={longest}: give 2 <= shortest <= longest")
    require(lambda: 0 <= betas[0] <= betas[1] < 1, f"betas={betas}: give two numbers in [0, 1), the smaller one first")
    require(lambda: 0 <= clean <= 1, f"clean={clean}: a probability must lie in [0, 1]")

    def augment(images: Array, keys: Array, state: TrainState) -> Any:
        p = carried(state, slot, f"controllers.adaptive_augmentation(batch_size, name={slot!r})")
        length = jnp.round(shortest + p * (longest - shortest))
        rise = jnp.arange(longest) / (length - 1)
        beta = jnp.minimum(betas[0] + (betas[1] - betas[0]) * rise, betas[1])  # beyond T none is used
        shares = jnp.exp(jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.log1p(-beta))]))  # a_t, t = 0, ..., longest
        u, v = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(rng.each(keys, "level")).T
        # the distribution function t (t + 1) / (T (T + 1)), inverted
        level = jnp.ceil((jnp.sqrt(1 + 4 * u * length * (length + 1)) - 1) / 2) if priority else jnp.ceil(u * length)
        level = jnp.where(v < clean, 0, jnp.clip(level, 1, length)).astype(int)
        share = shares[level].reshape(-1, *[1] * (images.ndim - 1)).astype(images.dtype)
        noised = jnp.sqrt(share) * images + std * jnp.sqrt(1 - share) * rng.normal(rng.each(keys, "noise"), images)
        return (noised, (level / longest).astype(images.dtype)) if with_level else noised

    return augment
