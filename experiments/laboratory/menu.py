"""The menus: names of losses, terms, rules and other parts, and what they stand for."""

import functools
from collections.abc import Callable
from typing import Any

import optax

from gan_jax import augment, losses, penalties, rules, terms
from gan_jax.losses import f_divergences, labels
from gan_jax.methods.latent_optimisation import natural_step
from gan_jax.methods.pseudo_augmentation import pseudo_augmentation
from gan_jax.types import Latent, Loss, Rule, Term

LOSSES: dict[str, Loss] = {
    "minimax": losses.minimax(),
    "non_saturating": losses.non_saturating(),
    "zero_sum": losses.zero_sum(losses.non_saturating()),
    "least_squares": losses.least_squares(),
    "wasserstein": losses.wasserstein(),
    "hinge": losses.hinge(),
    "relativistic": losses.relativistic(losses.non_saturating()),
    "relativistic_hinge": losses.relativistic(losses.hinge()),
    "relativistic_average": losses.relativistic_average(losses.non_saturating()),
    "boundary_seeking": losses.boundary_seeking(),
    "softmax": losses.softmax(),
    "dual_contrastive": losses.dual_contrastive(),
    "kl": f_divergences.f_gan(f_divergences.kl()),
    "reverse_kl": f_divergences.f_gan(f_divergences.reverse_kl()),
    "pearson": f_divergences.f_gan(f_divergences.pearson()),
    "neyman": f_divergences.f_gan(f_divergences.neyman()),
    "squared_hellinger": f_divergences.f_gan(f_divergences.squared_hellinger()),
    "jensen_shannon": f_divergences.f_gan(f_divergences.jensen_shannon()),
    "total_variation": f_divergences.f_gan(f_divergences.total_variation()),
    "smoothed": labels.smooth(losses.non_saturating()),
    "flipped": labels.flip(losses.non_saturating(), 0.05),
    "top_k": losses.top_k(losses.non_saturating(), optax.linear_schedule(1.0, 0.5, 5_000)),
    "energy": losses.energy(margin=1.0),
    "began": losses.balanced(),
}
"""energy and began have an autoencoder as the discriminator."""

TERMS: dict[str, dict[str, Term]] = {
    "r1": {"discriminator": penalties.r1(1.0)},
    "r2": {"discriminator": penalties.r2(1.0)},
    "gradient_penalty": {"discriminator": penalties.gradient_penalty(0.1)},
    "one_sided": {"discriminator": penalties.gradient_penalty(0.1, one_sided=True)},
    "zero_centred": {"discriminator": penalties.gradient_penalty(0.1, target=0.0)},
    "dragan": {"discriminator": penalties.dragan(0.1)},
    "max_gradient": {"discriminator": penalties.max_gradient(0.1)},
    "lecam": {"discriminator": penalties.lecam(0.1)},
    "approximated_r1": {"discriminator": terms.approximated_r1(50.0, 0.1)},
    "approximated_r2": {"discriminator": terms.approximated_r2(50.0, 0.1)},
    "lazy_r1": {"discriminator": terms.lazy(penalties.r1(1.0), 4)},
    "consistency": {"discriminator": terms.consistency(augment.instance_noise(0.05), real=1.0, fake=1.0)},
    "latent_consistency": {
        "discriminator": terms.latent_consistency(1.0),
        "generator": terms.latent_diversity(0.1),
    },
    "feature_matching": {"generator": terms.feature_matching(1.0)},
    "pull_away": {"generator": terms.pull_away(0.1)},
    "mode_seeking": {"generator": terms.mode_seeking(0.1)},
    "path_length": {"generator": terms.path_length(0.1)},
    "orthogonal": {"discriminator": terms.orthogonal(1e-4, "discriminator")},
    "historical": {"discriminator": terms.historical_averaging(1e-3, "discriminator")},
}
"""The weights suit points about 2 from the origin; images need weights of another order."""

RULES: dict[str, Callable[..., Rule]] = {
    "alternating": rules.alternating,
    "simultaneous": rules.simultaneous,
    "unrolled": functools.partial(rules.unrolled, steps=5),
    "extragradient": rules.extragradient,
    "consensus": functools.partial(rules.consensus, strength=0.1),
    "symplectic": functools.partial(rules.symplectic, strength=0.1),
}
PARTS: dict[str, Callable[[Latent], dict[str, Any]]] = {
    "diffusion": lambda latent: {"augment": augment.diffusion("diffusion", std=0.5)},
    "pseudo_augmentation": lambda latent: {"pseudo": pseudo_augmentation("pseudo_augmentation")},
    "latent_optimisation": lambda latent: {"refine": natural_step(latent, 0.9, 5.0, bound=None)},
}
"""Options of `Game`. The noise of diffusion and the share of samples shown as real are adaptive."""
IN_TURNS = ("alternating", "unrolled")
"""Rules under which the players move one after another, so that one can move more often."""

MENU = "\n\n".join(
    f"{name}: {', '.join(menu)}"
    for name, menu in (("loss", LOSSES), ("terms", TERMS), ("rule", RULES), ("parts", PARTS))
)
