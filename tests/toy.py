"""Small games that several tests play."""

import jax
import jax.numpy as jnp
import optax

from gan_jax import data, latents, losses
from gan_jax.data import Spec
from gan_jax.networks import dcgan, mlp
from gan_jax.networks.linen import linen
from gan_jax.networks.norm import Norm
from gan_jax.system import gan


def points_game(d_norm: Norm = "none", optimizer=None, **options):
    """A GAN of small fully connected networks on points in the plane."""
    latent = latents.normal(4)
    networks = {
        "generator": linen(mlp.Generator((2,), (16, 16), bounded=False), (4,)),
        "discriminator": linen(mlp.Discriminator((16, 16), d_norm), (2,)),
    }
    adam = optimizer or optax.sgd(0.1)
    loss = options.pop("loss", losses.non_saturating())
    return gan(networks, loss, latent, {"discriminator": adam, "generator": adam}, **options)


def images_game(d_norm: Norm = "batch", **options):
    """A DCGAN four channels wide on 28 x 28 images."""
    spec = Spec((28, 28, 1), 10)
    latent = latents.normal(8)
    networks = {
        "generator": linen(dcgan.Generator(spec.shape, 4), (8,)),
        "discriminator": linen(dcgan.Discriminator(spec.shape, 4, d_norm), spec.shape),
    }
    sgd = optax.sgd(0.05)
    return gan(networks, losses.non_saturating(), latent, {"discriminator": sgd, "generator": sgd}, **options)


def points(count=256, seed=1):
    return {"image": jax.random.normal(jax.random.key(seed), (count, 2)) + jnp.array([2.0, -1.0])}


def images(count=64):
    return {"image": jnp.asarray(data.load("digits").arrays["image"][:count])}


def double(tree):
    """Casts floating leaves to float64, in which equal formulas agree to 1e-12 and a wrong mean cannot hide."""
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)
