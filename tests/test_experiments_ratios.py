"""Where an experiment adds weighted terms to a loss, both have the scale that the paper gives them."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from toy import KEY

from experiments import cyclegan, pix2pix
from gan_jax import baseline
from gan_jax.data import Spec
from gan_jax.networks import linen
from gan_jax.networks.patchgan import PatchGAN

REAL, FAKE = jnp.array([-1.5, 0.0, 0.3, 2.0]), jnp.array([0.7, -0.2, 0.0, -3.0])
SHAPE = (4, 4, 3)
BATCH = {name: jax.random.normal(jax.random.key(i), (5, *SHAPE)) / 2 for i, name in enumerate(("image", "source"))}


def said(x):
    """-log sigmoid: the cross-entropy of a logit with real."""
    return np.log1p(np.exp(-np.asarray(x, np.float64)))


CROSS = (lambda x, y: said(x) + said(-y), said)
PAPERS = {  # what the discriminator and the generator minimise besides terms, of real and fake logits
    "acgan": CROSS,
    "denoising_feature_matching": CROSS,
    "dragan": CROSS,
    "ebgan": (
        lambda x, y: -x + np.maximum(0, importlib.import_module("experiments.ebgan").Config().margin + y),
        np.negative,
    ),
    "infogan": CROSS,
    "mode_regularized_gan": CROSS,
    "pix2pix": CROSS,
    "wgan_gp": (lambda x, y: y - x, np.negative),
}


@pytest.mark.parametrize("name", PAPERS)
def test_the_loss_that_terms_are_added_to_is_the_papers(name, monkeypatch):
    played = []
    monkeypatch.setattr(baseline, "system", lambda config, game, *args, **options: played.append(game.loss))
    experiment = importlib.import_module(f"experiments.{name}")
    experiment.build(experiment.Config(), Spec((28, 28, 1), 10, source=(28, 28, 1)))
    discriminator, generator = PAPERS[name]
    np.testing.assert_allclose(played[0].discriminator(REAL, FAKE), discriminator(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(played[0].generator(REAL, FAKE), generator(FAKE), rtol=1e-5)


class Scaled(nn.Module):
    """A translator of one number, or a critic whose logits are the channels' weighted sums."""

    channels: int

    @nn.compact
    def __call__(self, images, *given, train):
        x = nn.Dense(self.channels)(jnp.concatenate([images, *given], axis=-1))
        return jnp.tanh(x) if self.channels > 1 else x[..., 0]


def game_of(experiment, monkeypatch, **settings):
    """Builds a game of networks without convolutions, with its first state."""

    def network(config, module, *shapes):
        return linen(Scaled(1 if isinstance(module, PatchGAN) else 3), *shapes)

    monkeypatch.setattr(baseline, "network", network)
    game = experiment.build(experiment.Config(**settings), Spec(SHAPE, 0, source=SHAPE))
    state = game.init(KEY)
    values = {player.name: player.objective(state, BATCH, KEY)[0] for player in game.players}
    run = {n: lambda *x, n=n: game.networks[n].apply(state.params[n], {}, *x, train=True)[0] for n in game.networks}
    return values, run


def test_the_terms_of_cyclegan_weigh_what_the_paper_says(monkeypatch):
    values, run = game_of(cyclegan, monkeypatch, cycle=10.0, identity=5.0)
    x, s = BATCH["image"], BATCH["source"]
    g, f, d, c = (run[name] for name in ("generator", "inverse", "discriminator", "source_discriminator"))
    judged = jnp.mean((d(x) - 1) ** 2 + d(g(s)) ** 2 + (c(s) - 1) ** 2 + c(f(x)) ** 2) / 2
    np.testing.assert_allclose(values["discriminator"], judged, rtol=1e-5)
    pleased = jnp.mean((d(g(s)) - 1) ** 2 + (c(f(x)) - 1) ** 2)
    cycles = jnp.mean(jnp.abs(f(g(s)) - s) + jnp.abs(g(f(x)) - x))
    kept = jnp.mean(jnp.abs(g(x) - x) + jnp.abs(f(s) - s))
    np.testing.assert_allclose(values["generator"], pleased + 10 * cycles + 5 * kept, rtol=1e-5)


def test_the_l1_term_of_pix2pix_weighs_what_the_paper_says(monkeypatch):
    values, run = game_of(pix2pix, monkeypatch, l1=100.0)
    x, s = BATCH["image"], BATCH["source"]
    fake = run["generator"](s)
    logits = run["discriminator"](fake, s)
    np.testing.assert_allclose(
        values["generator"], np.mean(said(logits)) + 100 * jnp.mean(jnp.abs(x - fake)), rtol=1e-5
    )
