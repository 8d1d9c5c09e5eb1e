import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads
from toy import double, few

from gan_jax.devices import parallel
from gan_jax.networks import linen, mlp, packed
from gan_jax.networks.layers.batch import MinibatchDiscrimination, VirtualBatchNorm, minibatch_deviation
from gan_jax.networks.layers.norm import normalise
from gan_jax.networks.wrappers.reference_batch import with_reference

KEY = jax.random.key(0)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def parameters(network):
    """Draws them by NumPy: most of the time of these tests would go into compiling JAX's generators."""
    draw = np.random.default_rng(0)
    params, stats = jax.eval_shape(network.init, KEY)
    assert stats == {}
    return jax.tree.map(lambda p: jnp.asarray(draw.normal(size=p.shape) / 2, p.dtype), params)


DISCRIMINATION = MinibatchDiscrimination(features=3, kernel_size=2)
KERNEL = {"params": {"Dense_0": {"kernel": normal(7, 6, 6) / 2}}}


@pytest.mark.parametrize(
    ("shape", "group", "channels"),
    [((8, 3, 3, 4), 4, 2), ((8, 6), 2, 1), ((6, 2, 2, 3), 8, 1), ((12, 6), 3, 3)],
    ids=["maps", "features", "small batch", "channels"],
)
def test_deviation_is_that_of_strided_groups(shape, group, channels):
    x = normal(1, *shape)
    y = np.asarray(jax.jit(minibatch_deviation, static_argnums=(1, 2))(x, group, channels))
    np.testing.assert_array_equal(y[..., : shape[-1]], x)
    group, width = min(group, len(x)), shape[-1] // channels
    for first in range(len(x) // group):
        members = range(first, len(x), len(x) // group)
        for channel in range(channels):
            part = np.stack([x[i][..., channel * width : (channel + 1) * width] for i in members]).astype(np.float64)
            mean = sum(part) / group
            expected = np.mean(np.sqrt(sum((p - mean) ** 2 for p in part) / group + 1e-8))
            for i in members:
                np.testing.assert_allclose(y[i][..., shape[-1] + channel], expected, rtol=1e-5)


def test_equal_examples_deviate_by_the_epsilon_alone_and_their_gradient_is_finite():
    x = jnp.broadcast_to(normal(1, 1, 5), (8, 5))
    total, gradient = jax.jit(jax.value_and_grad(lambda x: minibatch_deviation(x)[:, 5].sum()))(x)
    np.testing.assert_allclose(total, 8e-4, rtol=1e-4)
    np.testing.assert_array_equal(gradient, 0)


def test_batches_and_features_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="group=4 does not divide the global batch of 6"):
        minibatch_deviation(normal(1, 6, 5))
    with pytest.raises(ValueError, match="channels=2 does not divide the 5 features"):
        minibatch_deviation(normal(1, 8, 5), channels=2)


def test_discrimination_sums_closeness_over_all_pairs():
    x = normal(1, 5, 6)
    y = jax.jit(DISCRIMINATION.apply)(KERNEL, x)
    (kernel,) = jax.tree.leaves(KERNEL)
    rows = (np.asarray(x, np.float64) @ np.asarray(kernel)).reshape(5, 3, 2)
    expected = np.zeros((5, 3))
    for i in range(5):
        for j in range(5):
            expected[i] += np.exp(-np.abs(rows[i] - rows[j]).sum(-1))
    np.testing.assert_allclose(y, np.concatenate([x, expected], 1), rtol=1e-5)


def test_equal_examples_are_as_close_as_can_be():
    y = np.asarray(jax.jit(DISCRIMINATION.apply)(KERNEL, jnp.ones((5, 6))))
    np.testing.assert_allclose(y[:, 6:], 5, rtol=1e-6)


@pytest.mark.parametrize(
    "layer", [minibatch_deviation, lambda x: DISCRIMINATION.apply(KERNEL, x)], ids=["deviation", "discrimination"]
)
def test_gradients_reach_every_example_of_a_group(layer):
    with jax.enable_x64(True):
        weights = double(normal(6, 8, 9))  # of the columns of [b, 6 + columns]
        check_grads(jax.jit(lambda x: jnp.vdot(y := layer(x), weights[:, : y.shape[1]])), (double(normal(1, 8, 6)),), 1)


class Virtual(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return normalise(x, "virtual", train)


@pytest.mark.parametrize("shape", [(4,), (3, 3, 4)], ids=["points", "maps"])
def test_virtual_batch_norm_takes_the_moments_of_the_references_and_the_example_pooled(shape):
    reference, x = normal(1, 5, *shape) * 3 + 1, normal(2, 4, *shape) - 2
    scale, bias = normal(3, 4), normal(4, 4)
    network = with_reference(linen(Virtual(), shape), reference)
    params = {"VirtualBatchNorm_0": {"scale": scale, "bias": bias}}
    assert jax.tree.structure((params, {})) == jax.tree.structure(jax.eval_shape(network.init, KEY))
    y, stats = jax.jit(lambda x: network.apply(params, {}, x, train=True))(x)
    assert stats == {}
    axes = tuple(range(len(shape)))
    for own, found in zip(np.asarray(x, np.float64), np.asarray(y), strict=True):
        pool = np.concatenate([np.asarray(reference, np.float64), own[None]])
        expected = (own - pool.mean(axes)) / np.sqrt(pool.var(axes) + 1e-5) * scale + bias
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_references_are_normalised_by_their_own_moments():
    x = normal(1, 7, 3, 3, 4) * 3 + 1
    variables = {"params": {"scale": jnp.ones(4), "bias": jnp.zeros(4)}}
    y = np.asarray(jax.jit(VirtualBatchNorm().apply, static_argnums=2)(variables, x, 5))[:5]
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.var(y, (0, 1, 2)), 1, rtol=1e-4)


def test_through_many_layers_an_example_depends_on_the_references_but_not_on_its_batch():
    inner = linen(mlp.Generator((2,), (8, 8), "virtual"), (3,))
    params = parameters(with_reference(inner, normal(1, 6, 3)))

    @jax.jit
    def outputs(reference, x):
        return with_reference(inner, reference).apply(params, {}, x, train=True)[0]

    x, others = normal(3, 4, 3), normal(4, 4, 3).at[0].set(normal(3, 4, 3)[0])
    first = outputs(normal(1, 6, 3), x)[0]
    np.testing.assert_allclose(outputs(normal(1, 6, 3), others)[0], first, rtol=1e-5)
    assert not np.allclose(outputs(normal(2, 6, 3), x)[0], first, atol=1e-2)


def test_virtual_batch_norm_needs_references_that_vary():
    network = linen(Virtual(), (4,))
    with pytest.raises(ValueError, match="with_reference"):
        jax.eval_shape(network.init, KEY)
    with pytest.raises(ValueError, match=r"reference has \[1\] rows"):
        with_reference(network, normal(1, 1, 4))
    with pytest.raises(ValueError, match=r"\[3, 2\]"):
        with_reference(network, normal(1, 3, 4), normal(1, 2, 4))


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(1)(x.reshape(len(x), -1))[:, 0]


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)], ids=["points", "images"])
def test_a_linear_critic_of_packs_sums_over_their_consecutive_examples(shape):
    *sides, channels = shape
    inner = linen(Linear(), (*sides, 2 * channels))
    network = packed(inner, 2)
    params = parameters(network)
    x = normal(1, 6, *shape)
    logits, _ = jax.jit(lambda x: network.apply(params, {}, x, train=True))(x)
    kernel = np.reshape(params["Dense_0"]["kernel"], (*sides, 2, channels))
    scores = [[np.sum(image * kernel[..., place, :]) for place in (0, 1)] for image in np.asarray(x)]
    expected = [scores[i][0] + scores[i + 1][1] + params["Dense_0"]["bias"][0] for i in (0, 2, 4)]
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert network.batch_dependent() is False


def test_a_batch_that_does_not_fall_into_packs_is_refused():
    network = packed(linen(Linear(), (9,)), 3)
    with pytest.raises(ValueError, match=r"count=3 does not divide the batch of 4 .* multiple of 3 times"):
        jax.eval_shape(lambda x: network.apply(*network.init(KEY), x, train=True), normal(1, 4, 3))
    with pytest.raises(ValueError, match="count=0"):
        packed(network, 0)


NETWORKS = {
    "deviation": lambda: linen(mlp.Discriminator((8, 8), minibatch="deviation"), (3,)),
    "discrimination": lambda: linen(mlp.Discriminator((8, 8), minibatch="discrimination"), (3,)),
    "virtual": lambda: with_reference(linen(mlp.Discriminator((8, 8), "virtual"), (3,)), normal(5, 6, 3)),
    "packed": lambda: packed(linen(mlp.Discriminator((8, 8), minibatch="deviation"), (6,)), 2),
}


@pytest.mark.parametrize("name", few(NETWORKS, "discrimination", "virtual"))
def test_the_number_of_devices_changes_neither_logits_nor_gradients(name):
    # a matrix before the critic stands for a generator, whose gradient comes through the inputs
    with jax.enable_x64(True):
        network = NETWORKS[name]()
        params = double({"critic": parameters(network), "before": normal(1, 3, 3)})

        def step(params, x):
            def loss(params):
                inputs = jnp.tanh(parallel.local(x) @ params["before"])
                logits, _ = network.apply(params["critic"], {}, inputs, train=True)
                return jnp.mean(jax.nn.softplus(logits)), logits

            gradient, logits = jax.grad(loss, has_aux=True)(params)
            return parallel.pmean(gradient), parallel.gather(logits)

        x = double(normal(2, 8, 3))
        expected, found = (
            way(step)(jax.tree.map(jnp.copy, params), x)
            for way in (parallel.single, lambda f: parallel.simulated(f, 4))
        )
        assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(expected))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), expected, found)
