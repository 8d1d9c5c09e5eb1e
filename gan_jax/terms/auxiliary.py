"""Terms of what an image tells: the codes that it was made of, or its class, as a network besides realness says."""

import jax.numpy as jnp
import optax

from gan_jax.checks import require_weight
from gan_jax.errors import UserError
from gan_jax.types import Array, Context, Latent, Term


def surprise(latent: Latent, output: Array, latents: Array, spread: float = 1.0) -> Array:
    """Returns -log Q(c | x) of the codes in latents, by what a head says of x.

    Of a categorical code the head gives logits; of any other the mean of a normal distribution.

    Args:
        latent: Distribution of the latents, with at least one part.
        output: The head's, `[b, codes]`: the parts one after another.
        latents: `[b, size]`.
        spread: The normal distributions' deviation.

    Returns:
        `[b]`, in nats; E [-surprise] + H(c) is a lower bound of the mutual information I(c; x).
    """
    if not latent.parts:
        raise UserError("the latent has no codes; join some to the noise by latents.joined")
    total, start = jnp.zeros(len(output)), 0
    for part in latent.parts:
        said, true = output[:, start : start + part.size], latents[:, part.start : part.start + part.size]
        if part.categorical:
            total += optax.softmax_cross_entropy(said, true)
        else:
            errors = ((said - true) / spread) ** 2 + jnp.log(2 * jnp.pi * spread**2)
            total += jnp.sum(errors, axis=1) / 2
        start += part.size
    return total


def size(latent: Latent) -> int:
    """Returns how many numbers a head gives of all codes together."""
    return sum(part.size for part in latent.parts)


def mutual_information(head: str, latent: Latent, weight: float = 1.0, spread: float = 1.0) -> Term:
    """Returns weight * -log Q(c | G(z, c)), for either player: how well samples' codes can be read from them.

    Args:
        head: Q, the name of a network of features, `[b, F]` -> `[b, size(latent)]`; the game needs a "body".
        latent: Distribution of the generator's inputs.
        weight: Positive.
        spread: See `surprise`.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = context.apply(head, context.fake_output["features"])
        return weight * surprise(latent, output, context.latents, spread)

    return Term("mutual_information", value)


def real_labels(head: str, weight: float = 1.0) -> Term:
    """Returns weight * -log Q(label | x) on real examples, for the discriminator; see `mutual_information`."""
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = context.apply(head, context.real_output["features"])
        return weight * optax.softmax_cross_entropy_with_integer_labels(output, context.batch["label"])

    return Term("real_labels", value, player="discriminator")


def few_labels(weight: float = 1.0) -> Term:
    """Returns weight * -log p(y | x, real) on the labelled examples of `data.tasks.semi_supervised`.

    The discriminator gives "classes"; the game has no "body". Salimans et al. 2016, arXiv:1606.03498.

    Args:
        weight: Positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        if "few_image" not in context.batch:
            raise UserError("the data have no labelled examples apart; give such a set: --dataset few:10:0:digits")
        said = context.apply("discriminator", context.batch["few_image"])["classes"]
        return weight * optax.softmax_cross_entropy_with_integer_labels(said, context.batch["few_label"])

    return Term("few_labels", value, player="discriminator")
