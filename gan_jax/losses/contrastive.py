"""The dual contrastive loss, which compares each logit with all logits of the other side."""

import jax

from gan_jax.numerics import average
from gan_jax.types import Array, GanLoss


def dual_contrastive() -> GanLoss:
    """Dual contrastive loss (Yu et al. 2021, arXiv:2103.16748).

    D minimises log(1 + exp(-D(x)) sum_z exp(D(G(z)))) + log(1 + exp(D(G(z))) sum_x exp(-D(x))): it learns to tell each
    real example from all samples of the global batch, and each sample from all real examples. G maximises this, as in
    the paper's min-max problem; `losses.exchanged(losses.dual_contrastive())` exchanges real and fake for G instead.
    Adding a constant to all logits changes nothing. For a patch critic, sums are per patch. The authors' code is
    not public, so this was not checked against it; the implementation by lucidrains has the same terms, and exchanges
    real and fake for G.
    """

    def discriminator(real: Array, fake: Array) -> Array:
        of_real = jax.nn.softplus(jax.nn.logsumexp(fake, axis=0) - real)
        of_fake = jax.nn.softplus(fake + jax.nn.logsumexp(-real, axis=0))
        return average(of_real) + average(of_fake)

    return GanLoss(discriminator, lambda real, fake: -discriminator(real, fake))
