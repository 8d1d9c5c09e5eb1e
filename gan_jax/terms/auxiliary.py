"""Terms of what an image tells: the codes that it was made of, or its class, as a network besides realness says."""

import jax.numpy as jnp
import optax

from gan_jax import rng
from gan_jax.checks import require_weight
from gan_jax.errors import UserError
from gan_jax.types import Array, Context, Latent, Network, Term


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


def told(head: Network, name: str, latent: Latent, weight: float = 1.0, spread: float = 1.0) -> Term:
    """Returns weight * -log Q(c | G(z, c)), for either player: samples tell their codes.

    Args:
        head: Of features, `[b, F]` -> `[b, size(latent)]`; the game needs a "body".
        name: The head's among the networks; who is to move it names it in `moves`.
        latent: Distribution of the generator's inputs.
        weight: Positive.
        spread: See `surprise`.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = _read(head, name, context, context.fake_output["features"])
        return weight * surprise(latent, output, context.latents, spread)

    return Term(value)


def classified(head: Network, name: str, weight: float = 1.0) -> Term:
    """Returns weight * -log Q(label | x) on real examples, for the discriminator; arguments as in `told`."""
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        output = _read(head, name, context, context.real_output["features"])
        return weight * optax.softmax_cross_entropy_with_integer_labels(output, context.batch["label"])

    return Term(value, player="discriminator")


def labelled(discriminator: Network, weight: float = 1.0) -> Term:
    """Returns weight * -log p(y | x, real) of the labelled few of `data.few`, for a discriminator that gives "classes".

    Salimans et al. 2016, arXiv:1606.03498.

    Args:
        discriminator: The game's, which knows none of `objectives.Game`'s bodies.
        weight: Positive.
    """
    require_weight("weight", weight)

    def value(context: Context) -> Array:
        if "few_image" not in context.batch or context.key is None:
            raise UserError("the data have no labelled examples apart; give such a set: --dataset few:10:0:digits")
        params, stats = context.state.params["discriminator"], context.state.stats["discriminator"]
        key = rng.named(context.key, "labelled")
        said, _ = discriminator.apply(params, stats, context.batch["few_image"], train=True, key=key)
        label = context.batch["few_label"]
        return weight * optax.softmax_cross_entropy_with_integer_labels(said["classes"], label)

    return Term(value, player="discriminator")


def _read(head: Network, name: str, context: Context, features: Array) -> Array:
    return head.apply(context.state.params[name], context.state.stats[name], features, train=True)[0]
