"""Terms of auxiliary predictions: a network predicts an image's latent codes or class."""

import jax.numpy as jnp
import optax

from gan_jax.checks import require_weight
from gan_jax.errors import UserError
from gan_jax.types import Array, Context, Latent, Term


def surprise(latent: Latent, output: Array, latents: Array, spread: float = 1.0) -> Array:
    """Returns the negative log-likelihood -log Q(c | x) of the codes c in latents, from a head's output on x.

    The head's output is the logits of a categorical code, and the mean of a normal distribution for any other.

    Args:
        latent: Distribution of the latents, with at least one part.
        output: The head's output `[b, codes]`, the parts in order; see `size`.
        latents: `[b, size]`.
        spread: Standard deviation of the normal distributions.

    Returns:
        `[b]`, in nats; E[-surprise] + H(c) is a lower bound on the mutual information I(c; x).

    Raises:
        UserError: If the latent has no parts.
    """
    if not latent.parts:
        raise UserError("the latent has no codes; add some to the noise with latents.joined")
    total, start = jnp.zeros(len(output)), 0
    for part in latent.parts:
        predicted, true = output[:, start : start + part.size], latents[:, part.start : part.start + part.size]
        if part.categorical:
            total += optax.softmax_cross_entropy(predicted, true)
        else:
            errors = ((predicted - true) / spread) ** 2 + jnp.log(2 * jnp.pi * spread**2)
            total += jnp.sum(errors, axis=1) / 2
        start += part.size
    return total


def size(latent: Latent) -> int:
    """Returns the size of a head's output for all codes together."""
    return sum(part.size for part in latent.parts)


def mutual_information(head: str, latent: Latent, weight: float = 1.0, spread: float = 1.0) -> Term:
    """Mutual information of codes and samples, for either player: weight * -log Q(c | G(z, c)).

    Args:
        head: Name of Q, a network from features `[b, F]` to `[b, size(latent)]`; the game needs a "body".
        latent: Distribution of the generator's inputs, with codes as parts.
        weight: Lambda in InfoGAN (Chen et al. 2016, arXiv:1606.03657); positive.
        spread: See `surprise`.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = context.apply(head, context.fake_output["features"])
        return weight * surprise(latent, output, context.latents, spread)

    return Term("mutual_information", value)


def real_labels(head: str, weight: float = 1.0) -> Term:
    """Classification loss on real examples, for the discriminator: weight * -log Q(label | x).

    Args:
        head: Name of Q, a network from features `[b, F]` to logits `[b, classes]`; the game needs a "body".
        weight: Positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = context.apply(head, context.real_output["features"])
        return weight * optax.softmax_cross_entropy_with_integer_labels(output, context.batch["label"])

    return Term("real_labels", value, player="discriminator")


def few_labels(weight: float = 1.0) -> Term:
    """Semi-supervised classification loss, for the discriminator (Salimans et al. 2016, arXiv:1606.03498).

    weight * -log p(y | x, real) on the labelled examples of `data.tasks.semi_supervised`. The discriminator must return
    "classes", the class logits; the game has no "body".

    Args:
        weight: Positive.

    Raises:
        UserError: While tracing, if the batch has no "few_image".
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        if "few_image" not in context.batch:
            raise UserError(
                "the batch has no few_image; train on a data set with few labels, such as --dataset few:10:0:digits"
            )
        logits = context.apply("discriminator", context.batch["few_image"])["classes"]
        return weight * optax.softmax_cross_entropy_with_integer_labels(logits, context.batch["few_label"])

    return Term("few_labels", value, player="discriminator")
