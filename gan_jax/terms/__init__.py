"""Regularisation terms, added to a player's loss; gradient penalties on the discriminator are in `gan_jax.penalties`.

A new term is a function that returns a `Term`, and one line below. It goes into `generator` if it compares samples,
`parameters` if it depends on parameters alone, `auxiliary` if it uses labels or codes, and `augmentation_consistency`
if it compares the discriminator's outputs. A term that is not linear in the batch must gather it first
(`devices.parallel.gather`). `combinators` make terms from other terms.
"""

from gan_jax.terms.augmentation_consistency import (
    approximated_r1,
    approximated_r2,
    consistency,
    latent_consistency,
)
from gan_jax.terms.auxiliary import few_labels, mutual_information, real_labels
from gan_jax.terms.combinators import combine, lazy, scheduled
from gan_jax.terms.generator import (
    absolute_error,
    feature_matching,
    latent_diversity,
    mode_seeking,
    path_length,
    pull_away,
)
from gan_jax.terms.parameters import historical_averaging, orthogonal

__all__ = [
    "absolute_error",
    "approximated_r1",
    "approximated_r2",
    "combine",
    "consistency",
    "feature_matching",
    "few_labels",
    "historical_averaging",
    "latent_consistency",
    "latent_diversity",
    "lazy",
    "mode_seeking",
    "mutual_information",
    "orthogonal",
    "path_length",
    "pull_away",
    "real_labels",
    "scheduled",
]
