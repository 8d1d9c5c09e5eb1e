"""The baseline's networks: DCGAN's or residual ones for images, fully connected ones for other kinds."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from gan_jax import latents, rng
from gan_jax.baseline.config import Essentials, Latents, Networks, ResidualNetworks, Widening, Widths
from gan_jax.data import Spec
from gan_jax.errors import UserError
from gan_jax.networks import dcgan, linen, mixed, mlp, resnet
from gan_jax.networks.heads import Body, Head
from gan_jax.networks.layers.norm import AnyNorm
from gan_jax.networks.layers.sides import MAX_WIDENING
from gan_jax.networks.wrappers import remat
from gan_jax.types import Latent, Network

Architecture = Literal["dcgan", "resnet"]


def source_shape(spec: Spec) -> tuple[int, ...]:
    """Returns the shape of the sources that a translator translates.

    Raises:
        UserError: If the data have none.
    """
    if spec.source is None:
        raise UserError("the data have no source images to translate; give pairs, such as --dataset edges:digits")
    return spec.source


def latent(config: Latents) -> Latent:
    """Returns the distribution of latents that the config names."""
    return latents.latent(config.latent, config.latent_size)


def generator_module(
    config: Widths, spec: Spec, norm: AnyNorm = "batch", architecture: Architecture = "dcgan"
) -> nn.Module:
    """Returns the generator's module: DCGAN's or residual for images; for other kinds an MLP of two hidden layers.

    Args:
        config: Gives the width and, if it is a `Widening`, the cap on the channels of DCGAN's maps.
        spec: Shape of the examples.
        norm: Normalisation, for images; the MLP has none.
        architecture: Architecture, for images.

    Raises:
        UserError: If a width or size is below 1, or `architecture` is "resnet" for data other than images.
    """
    _require_positive("g_width", config.g_width)
    if not spec.kind.is_image:
        if architecture != "dcgan":
            raise UserError(f"network={architecture!r} is for images, not {spec.kind.noun}; leave --network out")
        return mlp.Generator(spec.shape, (4 * config.g_width,) * 2, norm="none", bounded=False)
    if architecture == "resnet":
        return resnet.Generator(spec.shape, config.g_width, norm)
    return dcgan.Generator(spec.shape, config.g_width, norm, max_widening=_cap(config))


def _cap(config: Widths) -> int:
    cap = config.max_widening if isinstance(config, Widening) else MAX_WIDENING
    _require_positive("max_widening", cap)
    return cap


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{name}={value}: give at least 1")


def discriminator_module(
    config: Widths, spec: Spec, norm: AnyNorm = "batch", architecture: Architecture = "dcgan", **options: Any
) -> nn.Module:
    """Returns the discriminator's module: DCGAN's or residual for images; for other kinds an MLP of two hidden layers.

    Args:
        config: Gives the width and, if it is a `Widening`, the cap on the channels of DCGAN's maps.
        spec: Shape of the examples.
        norm: Normalisation; for data other than images "batch" means none.
        architecture: Architecture, for images.
        options: Other attributes of the module, such as `with_features`.
    """
    _require_positive("d_width", config.d_width)
    if not spec.kind.is_image:
        return mlp.Discriminator((4 * config.d_width,) * 2, "none" if norm == "batch" else norm, **options)
    if architecture == "resnet":
        return resnet.Discriminator(spec.shape, config.d_width, norm, **options)
    return dcgan.Discriminator(spec.shape, config.d_width, norm, max_widening=_cap(config), **options)


def networks(
    config: Networks | ResidualNetworks,
    spec: Spec,
    norm: AnyNorm = "batch",
    architecture: Architecture = "dcgan",
    **options: Any,
) -> dict[str, Network]:
    """Returns the generator, with batch norm, and the discriminator; arguments as in `discriminator_module`."""
    return {
        "generator": network(config, generator_module(config, spec, architecture=architecture), (config.latent_size,)),
        "discriminator": network(config, discriminator_module(config, spec, norm, architecture, **options), spec.shape),
    }


def network(config: Essentials, module: nn.Module, *shapes: tuple[int, ...]) -> Network:
    """Returns a Flax module as a `Network`, with the config's precision and rematerialisation."""
    return remat.rematerialised(mixed(linen(module, *shapes), config.precision), config.activations)


def headed(
    config: Networks, spec: Spec, latent: Latent, norm: AnyNorm = "batch", hidden: int = 0, **heads: nn.Module
) -> dict[str, Network]:
    """Returns a generator, with batch norm, and a "body" with several heads, one of which is the discriminator.

    Args:
        config: Holds the widths.
        spec: Shape of the examples.
        latent: Distribution of latents.
        norm: Normalisation of the body.
        hidden: Units of a dense layer at the body's end, for images; 0 for none.
        heads: Name -> module of a further head, from features `[b, F]`.
    """
    body = network(config, Body(config.d_width, norm, hidden, _cap(config)), spec.shape)
    example = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    output = jax.eval_shape(lambda key, x: body.apply(*body.init(key), x, train=False)[0], rng.key(0), example)
    parts = {"generator": network(config, generator_module(config, spec), (latent.size,)), "body": body}
    heads = {"discriminator": Head(), **heads}
    return parts | {name: network(config, head, output.shape[1:]) for name, head in heads.items()}
