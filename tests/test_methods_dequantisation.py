import jax.numpy as jnp
import numpy as np
import pytest
from toy import KEY, points_game, state_of

from experiments import sngan, wgan_gp
from gan_jax import baseline
from gan_jax.data import Spec, kinds

SPEC = Spec((32, 32, 1), 0)


@pytest.fixture
def shown(monkeypatch):
    """Makes `build` return a game that gives back the images that it is shown, as in 3 batches an iteration."""
    game = points_game()._replace(update=lambda state, batch, key: (state, batch), batches=3)
    monkeypatch.setattr(baseline, "system", lambda *args, **options: game)

    def images(build, config, grey):
        batch = {"image": jnp.broadcast_to(kinds.image.to_network(jnp.uint8(grey)), (3, 2, *SPEC.shape))}
        return np.asarray(build(config, SPEC).update(state_of(), batch, KEY)[1]["image"], np.float64)

    return images


@pytest.mark.parametrize("grey", [0, 100, 255])
@pytest.mark.parametrize(
    ("build", "config"),
    [(sngan.build, sngan.Config()), (wgan_gp.build, wgan_gp.Config(network="resnet"))],
    ids=["sngan", "wgan_gp"],
)
def test_greys_are_uniform_up_to_the_next(shown, build, config, grey):
    # of the authors' code: 2 (g / 256 - 1 / 2) + U(0, 1 / 128)
    found = shown(build, config, grey)
    place = 128 * found - (grey - 128)
    assert place.min() >= -1e-5 and place.max() <= 1 + 1e-5
    error = np.sqrt(1 / 12 / place.size)
    np.testing.assert_allclose(place.mean(), 1 / 2, atol=4 * error)
    np.testing.assert_allclose(np.histogram(place, 4, (0, 1))[0] / place.size, 1 / 4, atol=4 * error)
    flat = place.reshape(6, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(6)).max() < 4 / np.sqrt(flat.shape[1])  # each image has its own noise


def test_the_convolutional_networks_of_wgan_gp_see_whole_greys(shown):
    np.testing.assert_array_equal(
        np.unique(shown(wgan_gp.build, wgan_gp.Config(), 100)), kinds.image.to_network(jnp.uint8(100))
    )
