import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import began
from gan_jax.data import Spec
from gan_jax.networks import linen, mlp
from gan_jax.networks.autoencoder import Autoencoder, UpsamplingAutoencoder, UpsamplingDecoder, norm_of_error

KEY = jax.random.key(0)
SHAPE = (28, 28, 1)
EXAMPLES = jax.random.normal(KEY, (3, *SHAPE))
NORMS = {
    2: np.linalg.norm(EXAMPLES.reshape(3, -1), axis=1) / 28,  # of 28^2 entries
    1: np.abs(EXAMPLES.reshape(3, -1)).mean(axis=1),
}


@pytest.mark.parametrize(
    ("module", "order"),
    [
        (Autoencoder(SHAPE, 2, code=6), 2),
        (Autoencoder(SHAPE, 2, code=6, order=1), 1),
        (UpsamplingAutoencoder(SHAPE, 2, code=6), 1),
        (mlp.Autoencoder((5,), code=6), 2),
        (mlp.Autoencoder((5,), code=6, order=1), 1),
    ],
)
def test_a_logit_is_minus_the_norm_of_the_error(module, order):
    critic = linen(module, SHAPE)
    silent = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(critic.init, KEY))  # decodes all as 0
    apply = jax.jit(
        lambda p, s, x: critic.apply(p, s, x, train=False)[0],
        compiler_options={"xla_backend_optimization_level": 0},
    )
    said = apply(*silent, EXAMPLES)
    np.testing.assert_allclose(said["logits"], -NORMS[order], rtol=1e-5)
    assert said["features"].shape == (3, 6)


@pytest.mark.parametrize("order", [1, 2])
def test_a_norm_does_not_grow_with_the_image(order):
    larger = jnp.tile(EXAMPLES, (1, 2, 2, 3))
    norms = [norm_of_error(x, x / 3, order) for x in (EXAMPLES, larger)]
    np.testing.assert_allclose(norms[1], norms[0], rtol=1e-5)
    np.testing.assert_allclose(norms[0], 2 / 3 * NORMS[order], rtol=1e-5)


@pytest.mark.parametrize(("side", "first", "levels"), [(28, 7, 3), (32, 8, 3), (64, 8, 4)])
def test_sizes_are_those_of_began(side, first, levels):
    # by hand, of width n and code h: two convolutions at each side; the encoder's l-th side has l n channels
    n, h, shape = 5, 6, (side, side, 3)

    def conv(before, after):
        return 9 * before * after + after

    decoder = (h + 1) * first**2 * n + 2 * levels * conv(n, n) + conv(n, 3)
    encoder = conv(3, n) + sum(conv(max(i - 1, 1) * n, i * n) + conv(i * n, i * n) for i in range(1, levels + 1))
    encoder += sum(conv(i * n, i * n) for i in range(1, levels)) + (first**2 * levels * n + 1) * h
    for module, shapes, size in (
        (UpsamplingDecoder(shape, n), (h,), decoder),
        (UpsamplingAutoencoder(shape, n, h), shape, encoder + decoder),
    ):
        params, stats = jax.eval_shape(linen(module, shapes).init, KEY)
        assert sum(x.size for x in jax.tree.leaves(params)) == size and not stats


def test_began_repeats_the_nearest_neighbour_and_makes_what_it_likes():
    # a decoder whose convolutions pass their first channel on, and double it, has one value for each of the first map
    decoder = linen(UpsamplingDecoder(SHAPE, 2), (3,))
    params = jax.tree.map(lambda x: jnp.zeros(x.shape), jax.eval_shape(decoder.init, KEY)[0])
    first = jnp.linspace(-1.0, 2.0, 49)
    params["Dense_0"]["bias"] = jnp.stack([first, 0 * first], axis=1).reshape(-1)
    for name in params:
        if name.startswith("Conv"):
            params[name]["kernel"] = params[name]["kernel"].at[1, 1, 0, 0].set(2.0)
    (image,), _ = decoder.apply(params, {}, jnp.zeros((1, 3)), train=False)
    expected = first
    for _ in range(6):
        expected = jax.nn.elu(2 * expected)
    np.testing.assert_allclose(image[::4, ::4, 0].reshape(-1), 2 * expected, rtol=1e-5)
    np.testing.assert_array_equal(image, jnp.repeat(jnp.repeat(image[::4, ::4], 4, axis=0), 4, axis=1))
    assert image.max() > 100 and image.min() < -1


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dcgan", "upsampling"])
def test_began_plays_with_either_network(network):
    game = began.build(began.Config(network=network, g_width=4, d_width=4, batch_size=8), Spec(SHAPE, 10))
    state, batch = jax.eval_shape(game.init, KEY), {"image": jax.ShapeDtypeStruct((8, *SHAPE), "float32")}
    after, metrics = jax.eval_shape(game.update, state, batch, KEY)
    assert jax.tree.map(lambda x: x.shape, after) == jax.tree.map(lambda x: x.shape, state)
    assert "balance/k" in metrics
    assert bool(state.stats["discriminator"]) == (network == "dcgan")  # batch norm's moments
