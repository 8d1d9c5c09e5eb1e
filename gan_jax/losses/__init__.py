"""Adversarial losses: `(real_logits, fake_logits) -> one value per example`, for discriminator and generator.

A new loss is a function in `adversarial` that returns a `GanLoss`, one line below, and a test of its closed form in
`tests/test_losses.py`. Losses made from others go into `combinators`, f-divergences into `f_divergences`, changes of
any loss's labels into `labels`; the dual contrastive loss is in `contrastive`. Logits are those of the global batch.
"""

from gan_jax.losses.adversarial import (
    balanced,
    began,
    boundary_seeking,
    energy,
    hinge,
    least_squares,
    minimax,
    non_saturating,
    softmax,
    wasserstein,
)
from gan_jax.losses.combinators import exchanged, relativistic, relativistic_average, resolve, top_k, zero_sum
from gan_jax.losses.contrastive import dual_contrastive
from gan_jax.losses.f_divergences import f_gan
from gan_jax.losses.labels import flip, noisy_hinge, smooth

__all__ = [
    "balanced",
    "began",
    "boundary_seeking",
    "dual_contrastive",
    "energy",
    "exchanged",
    "f_gan",
    "flip",
    "hinge",
    "least_squares",
    "minimax",
    "noisy_hinge",
    "non_saturating",
    "relativistic",
    "relativistic_average",
    "resolve",
    "smooth",
    "softmax",
    "top_k",
    "wasserstein",
    "zero_sum",
]
