import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.networks import linen, resnet

KEY = jax.random.key(0)


def count(network):
    return sum(x.size for x in jax.tree.leaves(jax.eval_shape(network.init, KEY)[0]))


def evaluate(network, params, stats, inputs):
    return jax.jit(lambda p, s, x: network.apply(p, s, x, train=False)[0])(params, stats, inputs)


def test_sizes_are_those_of_wgan_gp():
    # by hand: 3x3 convolutions 128 -> 128 have 9 * 128 * 128 + 128 parameters, 1x1 ones 128 * 128 + 128
    conv, shortcut, norm = 147_584, 16_512, 2 * 128
    generator = linen(resnet.Generator((32, 32, 3)), (128,))
    first, last = 128 * 2_048 + 2_048, norm + 9 * 128 * 3 + 3
    assert count(generator) == first + 3 * (2 * conv + shortcut + 2 * norm) + last
    critic = linen(resnet.Discriminator((32, 32, 3)), (32, 32, 3))
    first = (9 * 3 * 128 + 128) + conv + (3 * 128 + 128)
    assert count(critic) == first + (2 * conv + shortcut) + 2 * (2 * conv) + 129


@pytest.mark.parametrize("side", [28, 32, 64])
def test_sides_are_those_of_the_images(side):
    shape = (side, side, 3)
    generator = linen(resnet.Generator(shape, 8), (5,))
    critic = linen(resnet.Discriminator(shape, 8, "spectral", with_features=True), shape)
    both = {name: jax.eval_shape(network.init, KEY) for name, network in (("g", generator), ("d", critic))}
    images = jax.eval_shape(lambda p, z: generator.apply(*p, z, train=True)[0], both["g"], jnp.zeros((2, 5)))
    assert images.shape == (2, *shape)
    said = jax.eval_shape(lambda p, x: critic.apply(*p, x, train=True, key=KEY)[0], both["d"], images)
    assert said["logits"].shape == (2,) and said["features"].shape == (2, 8)


def test_a_critic_whose_branches_are_silent_is_its_shortcuts():
    # with the 3x3 kernels 0 only shortcuts are left: means over 4x4 squares, two linear maps, and the last layer
    shape = (32, 32, 3)
    critic = linen(resnet.Discriminator(shape, 8, pool="sum"), shape)
    params, stats = jax.jit(critic.init)(KEY)
    params = jax.tree.map(lambda x: jnp.zeros_like(x) if x.shape[:2] == (3, 3) else x, params)
    images = jax.random.uniform(KEY, (2, *shape))
    first, second = (
        params[name]
        for name in sorted(n for n, p in params.items() if p.get("kernel", KEY).ndim == 4 and p["kernel"].shape[0] == 1)
    )
    x = images.reshape(2, 8, 4, 8, 4, 3).mean((2, 4))
    x = x @ first["kernel"][0, 0] @ second["kernel"][0, 0]  # biases are 0 at first
    expected = jnp.maximum(x, 0).sum((1, 2)) @ params["Dense_0"]["kernel"][:, 0]
    np.testing.assert_allclose(evaluate(critic, params, stats, images), expected, rtol=1e-4, atol=1e-4)


def test_a_generator_whose_branches_are_silent_doubles_pixels():
    generator = linen(resnet.Generator((32, 32, 3), 8, "none"), (5,))
    params, stats = jax.jit(generator.init)(KEY)
    last = params["Conv_9"]["kernel"]
    silent = jax.tree.map(lambda x: jnp.zeros_like(x) if x.shape[:2] == (3, 3) else x, params)
    silent["Conv_9"]["kernel"] = jnp.zeros_like(last).at[1, 1].set(last[1, 1])  # looks at its own place only
    images = evaluate(generator, silent, stats, jax.random.normal(KEY, (2, 5)))
    blocks = images.reshape(2, 4, 8, 4, 8, 3)
    np.testing.assert_allclose(blocks, jnp.broadcast_to(blocks[:, :, :1, :, :1], blocks.shape), atol=1e-6)
    assert jnp.std(blocks[:, :, 0, :, 0]) > 0.1
