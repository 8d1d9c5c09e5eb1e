import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from toy import double, few

from gan_jax import rng
from gan_jax.devices import parallel
from gan_jax.networks import dcgan, linen, mixed, mlp, rematerialised
from gan_jax.networks.layers.conv import native
from gan_jax.networks.layers.noise import Dropout, dropout
from gan_jax.networks.layers.norm import normalise
from gan_jax.networks.patchgan import HALVINGS, PatchGAN, receptive_field, windows
from gan_jax.networks.translator import Translator
from gan_jax.networks.unet import UNet

KEY = jax.random.key(0)
SHAPE = (8, 8, 2)
NETWORKS = {  # with the shapes of their inputs
    "unet": (UNet(3, 4, 2, dropout=0.5), [SHAPE]),
    "translator": (Translator(3, 4, 1, downs=1), [SHAPE]),
    "patches": (PatchGAN(4, 16), [SHAPE, (8, 8, 1)]),
    "pixels": (PatchGAN(4, 1), [SHAPE]),
    "whole": (PatchGAN(4, "image", with_features=True), [SHAPE]),
}


@pytest.fixture(autouse=True)
def _native():
    """XLA's own convolutions, which compile sooner; tests/test_networks_conv.py tells that they agree with ours."""
    with native():
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def parameters(network, seed=0):
    """Draws them by NumPy, at a scale that keeps signals alive."""
    draw = np.random.default_rng(seed)
    params, stats = jax.eval_shape(network.init, KEY)
    assert stats == {}

    def scaled(p):
        return jnp.asarray(draw.normal(size=p.shape) / math.sqrt(math.prod(p.shape[:-1])), p.dtype)

    return jax.tree.map(scaled, params)


def built(name):
    module, shapes = NETWORKS[name]
    network = linen(module, *shapes)
    return network, parameters(network), [normal(i, 8, *shape) for i, shape in enumerate(shapes)]


def outputs(module, *shapes, batch=2):
    """Shapes of what it makes of a batch."""

    def run():
        network = linen(module, *shapes)
        return network.apply(*network.init(KEY), *[jnp.zeros((batch, *shape)) for shape in shapes], train=False)[0]

    return jax.tree.map(lambda x: x.shape, jax.eval_shape(run))


def count(module, *shapes):
    return sum(p.size for p in jax.tree.leaves(jax.eval_shape(linen(module, *shapes).init, KEY)[0]))


@pytest.mark.parametrize(
    ("shape", "depths"), [((32, 32, 3), range(1, 6)), ((28, 28, 1), (1, 2)), ((16, 24, 2), (3,)), ((256, 256, 3), (8,))]
)
def test_a_unet_keeps_the_size_at_every_depth(shape, depths):
    for depth in depths:
        assert outputs(UNet(5, 2, depth, dropout=0.5), shape) == (2, *shape[:2], 5)


def test_a_translator_keeps_the_size():
    for shape, downs in (((28, 28, 1), 2), ((32, 16, 3), 3), ((7, 7, 1), 0)):
        assert outputs(Translator(2, 2, blocks=1, downs=downs), shape) == (2, *shape[:2], 2)


@pytest.mark.parametrize(
    ("side", "fields", "features"),
    [
        (28, {1: 28, 16: 12, 34: 5, 70: 1}, 3 * 3 * 8),
        (32, {1: 32, 16: 14, 34: 6, 70: 2}, 4 * 4 * 8),
        (256, {16: 126, 34: 62, 70: 30}, 4 * 4 * 16),
    ],
)
def test_a_critic_of_patches_has_a_map_of_logits_and_one_of_images_one_logit(side, fields, features):
    shapes = (side, side, 3), (side, side, 1)
    for field, places in fields.items():
        assert outputs(PatchGAN(2, field), *shapes) == (2, places, places)
    assert outputs(PatchGAN(2, "image"), *shapes) == (2,)
    assert outputs(PatchGAN(2, "image", with_features=True), *shapes) == {"logits": (2,), "features": (2, features)}


@pytest.mark.parametrize(("field", "side", "place"), [(1, 5, 2), (16, 32, 7), (34, 52, 5), (70, 96, 5)])
def test_a_logit_sees_a_patch_of_just_the_side_that_is_named(field, side, place):
    halvings = HALVINGS[field]
    assert receptive_field(windows(halvings)) == field
    network = linen(PatchGAN(2, field, norm="none"), (side, side, 1))
    params = parameters(network)

    @jax.jit
    def gradient(images):
        return jax.grad(lambda x: network.apply(params, {}, x, train=True)[0][0, place, place])(images)

    seen = np.asarray(gradient(normal(1, 1, side, side, 1)))[0, :, :, 0] != 0
    # padded by 1 before each layer, at the stride of the layers before
    first = place * 2**halvings - (2**halvings - 1 + 2 * 2**halvings if halvings else 0)
    assert first >= 0 and first + field <= side  # all of the patch is within the image
    patch = np.arange(first, first + field)
    np.testing.assert_array_equal(np.flatnonzero(seen.any(1)), patch)
    np.testing.assert_array_equal(np.flatnonzero(seen.any(0)), patch)


def test_parameters_are_as_many_as_by_hand():
    # windows of 16 weights, a bias in layers without a norm, and a scale and a bias in those with one
    critic = (
        (16 * 6 * 64 + 64)
        + (16 * 64 * 128 + 2 * 128)
        + (16 * 128 * 256 + 2 * 256)
        + (16 * 256 * 512 + 2 * 512)
        + (16 * 512 + 1)
    )
    assert critic == 2_768_705
    assert count(PatchGAN(64, 70), (96, 96, 3), (96, 96, 3)) == critic
    encoder = (
        (16 * 3 * 64 + 64)
        + (16 * 64 * 128 + 2 * 128)
        + (16 * 128 * 256 + 2 * 256)
        + (16 * 256 * 512 + 2 * 512)
        + 3 * (16 * 512 * 512 + 2 * 512)
        + (16 * 512 * 512 + 512)
    )
    decoder = (
        (16 * 512 * 512 + 2 * 512)
        + 3 * (16 * 1024 * 512 + 2 * 512)
        + (16 * 1024 * 256 + 2 * 256)
        + (16 * 512 * 128 + 2 * 128)
        + (16 * 256 * 64 + 2 * 64)
        + (16 * 128 * 3 + 3)
    )
    assert encoder + decoder == 54_414_531
    assert count(UNet(3, 64, depth=8), (256, 256, 3)) == encoder + decoder


class Instance(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return normalise(x, "instance", train)


def test_instance_norm_takes_the_moments_of_each_map_of_each_example():
    x = normal(1, 3, 4, 5, 2) * 3 + 10
    network = linen(Instance(), (4, 5, 2))
    scale, bias = normal(2, 2), normal(3, 2)
    params = {"InstanceNorm_0": {"scale": scale, "bias": bias}}
    assert jax.tree.structure((params, {})) == jax.tree.structure(jax.eval_shape(network.init, KEY))
    apply = jax.jit(network.apply, static_argnames="train")
    y = apply(params, {}, x, train=True)[0]
    for example in range(3):
        for channel in range(2):
            own = np.asarray(x[example, :, :, channel], np.float64)
            deviation = math.sqrt(((own - own.sum() / 20) ** 2).sum() / 20 + 1e-5)
            expected = (own - own.sum() / 20) / deviation * scale[channel] + bias[channel]
            np.testing.assert_allclose(y[example, :, :, channel], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(apply(params, {}, x, train=False)[0], y)
    # contrast and brightness of an example are erased: what it was made for
    contrast, brightness = jnp.abs(normal(4, 3, 1, 1, 2)) + 1, normal(5, 3, 1, 1, 2)
    np.testing.assert_allclose(apply(params, {}, contrast * x + brightness, train=True)[0], y, atol=1e-4)
    assert network.batch_dependent() is False


def test_instance_norm_refuses_what_it_would_erase_and_fits_the_networks_of_images():
    with pytest.raises(ValueError, match=r"norm='instance' sets activations of a single position, \(1, 16\), to 0"):
        count(mlp.Discriminator((16, 16), "instance"), (2,))
    shape = (28, 28, 1)
    assert outputs(dcgan.Generator(shape, 2, "instance"), (4,)) == (2, *shape)
    assert outputs(dcgan.Discriminator(shape, 2, "instance"), shape) == (2,)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_example_depends_neither_on_the_others_nor_on_its_place(name):
    network, params, inputs = built(name)

    @functools.partial(jax.jit, static_argnames="train")
    def apply(*inputs, train):
        return network.apply(params, {}, *inputs, train=train, key=KEY if train else None)[0]

    def equal(one, other):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)

    order = np.random.default_rng(0).permutation(8)
    straight, permuted = apply(*inputs, train=False), apply(*[x[order] for x in inputs], train=False)
    equal(jax.tree.map(lambda x: x[order], straight), permuted)
    others = [normal(5 + i, *x.shape).at[3].set(x[3]) for i, x in enumerate(inputs)]
    equal(*[jax.tree.map(lambda x: x[3], apply(*x, train=True)) for x in (inputs, others)])


@pytest.mark.parametrize(("norm", "dependent"), [("instance", False), ("batch", True)])
def test_a_critic_is_batch_dependent_under_batch_norm_alone(norm, dependent):
    assert linen(PatchGAN(2, 1, norm), (4, 4, 1)).batch_dependent() is dependent


def test_a_unet_can_copy_images_through_its_outermost_skip():
    # Conv_0 lays the four pixels of each 2x2 block out as channels, of both signs, as ReLU passes one, and the last
    # layer puts them back; all other weights are zero
    network = linen(UNet(1, 8, 2, "none"), (8, 8, 1))
    params = jax.tree.map(lambda p: np.zeros(p.shape, np.float32), jax.eval_shape(network.init, KEY)[0])
    for row in (0, 1):
        for column in (0, 1):
            for sign, channel in ((1, 2 * row + column), (-1, 2 * row + column + 4)):
                params["Conv_0"]["kernel"][row + 1, column + 1, 0, channel] = sign
                params["ConvTranspose_1"]["kernel"][2 - row, 2 - column, 8 + channel, 0] = sign
    images = normal(1, 2, 8, 8, 1)
    output, _ = network.apply(params, {}, images, train=False)
    np.testing.assert_allclose(output, np.tanh(images), rtol=1e-5, atol=1e-6)


def test_every_map_of_a_unet_reaches_the_output_past_the_deeper_ones():
    network = linen(UNet(1, 4, 3, "none"), (8, 8, 1))
    params, images = parameters(network), normal(1, 2, 8, 8, 1)

    @jax.jit
    def gradients(alive):
        def loss(alive):
            def edit(path, value):
                return value * alive[path] if path in alive else value

            return jnp.sum(network.inspect(params, {}, images, edit=edit)[0] ** 2)

        return jax.grad(loss)(alive)

    for cut in range(1, 4):
        alive = {f"Conv_{level}": float(level < cut) for level in range(3)}
        found = gradients(alive)
        assert abs(found[f"Conv_{cut - 1}"]) > 1e-4


def test_a_residual_block_whose_last_weights_are_zero_changes_nothing():
    one, none = (linen(Translator(1, 4, blocks, "none", downs=1), (8, 8, 1)) for blocks in (1, 0))
    params, images = parameters(one), normal(1, 2, 8, 8, 1)
    params["Conv_3"] = jax.tree.map(jnp.zeros_like, params["Conv_3"])
    short = {name: params[name] for name in ("Conv_0", "Conv_1", "ConvTranspose_0")} | {"Conv_2": params["Conv_4"]}
    expected, found = (n.apply(p, {}, images, train=False)[0] for n, p in ((none, short), (one, params)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_borders_leave_no_frame_where_maps_are_reflected():
    network = linen(Translator(2, 4, 2, "none", downs=0), (8, 8, 1))
    output, _ = network.apply(parameters(network), {}, jnp.full((1, 8, 8, 1), 0.7), train=False)
    assert np.ptp(output, axis=-1).min() > 1e-3
    np.testing.assert_allclose(output, np.broadcast_to(output[:, :1, :1], output.shape), rtol=1e-5, atol=1e-6)


def test_what_is_given_beside_images_is_further_channels():
    field = PatchGAN(2, 16)
    beside, joined = linen(field, (8, 8, 1), (8, 8, 2)), linen(field, (8, 8, 3))
    params = parameters(joined)
    images, source = normal(1, 4, 8, 8, 1), normal(2, 4, 8, 8, 2)
    apply = jax.jit(lambda *inputs: field.apply({"params": params}, *inputs, train=True))
    np.testing.assert_array_equal(apply(images, source), apply(jnp.concatenate([images, source], -1)))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, jax.eval_shape(beside.init, KEY)[0])
    with pytest.raises(ValueError, match=r"condition has shape \(4, 4, 4, 2\), images \(4, 8, 8, 1\)"):
        apply(images, source[:, :4, :4])


def test_features_are_what_the_last_layer_sees():
    network, params, inputs = built("whole")
    said, _ = network.apply(params, {}, *inputs, train=True)
    kernel, bias = params["Dense_0"]["kernel"][:, 0], params["Dense_0"]["bias"]
    np.testing.assert_allclose(said["logits"], said["features"] @ kernel + bias, rtol=1e-4, atol=1e-5)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = jnp.full((64, 8, 8, 4), 3.0)
    keys = rng.per_example(KEY, 64)
    y = np.asarray(jax.jit(dropout, static_argnums=1)(x, 0.25, keys))
    assert set(np.unique(y)) == {0.0, 4.0}
    share = (y == 0).mean()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / y.size)
    # activations are dropped each for itself: two neighbours of any axis agree no more often than by chance
    for axis in range(4):
        both = (np.take(y, range(1, y.shape[axis]), axis) == 0) & (np.take(y, range(y.shape[axis] - 1), axis) == 0)
        assert abs(both.mean() - 1 / 16) < 6 * math.sqrt(1 / 16 / both.size)
    assert dropout(jnp.ones((1, 3), jnp.bfloat16), 0.5, keys[:1]).dtype == jnp.bfloat16


def test_dropout_is_off_unless_training_and_needs_noise_when_it_is_on():
    class Noisy(nn.Module):
        rate: float = 0.5

        @nn.compact
        def __call__(self, x, train):
            return Dropout(self.rate)(x, train)

    x = normal(1, 4, 6)
    network = linen(Noisy(), (6,))
    np.testing.assert_array_equal(network.apply({}, {}, x, train=False)[0], x)
    np.testing.assert_array_equal(linen(Noisy(0.0), (6,)).apply({}, {}, x, train=True)[0], x)
    one, other = (network.apply({}, {}, x, train=True, key=jax.random.key(seed))[0] for seed in (0, 1))
    assert np.any(one != x) and np.any(one != other)
    with pytest.raises(ValueError, match=r"key=None: Dropout draws noise"):
        network.apply({}, {}, x, train=True)
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=f"rate={rate}"):
            dropout(x, rate, rng.per_example(KEY, 4))


def test_a_unet_drops_in_the_first_three_blocks_that_are_not_the_last():
    for depth, blocks in ((1, 0), (2, 1), (4, 3), (6, 3)):
        dropped = []

        def spy(method, args, kwargs, context, dropped=dropped):
            if isinstance(context.module, Dropout) and context.method_name == "__call__":
                dropped.append(args[0].shape[1])
            return method(*args, **kwargs)

        with nn.intercept_methods(spy):
            count(UNet(1, 2, depth, dropout=0.5), (64, 64, 1))
        assert dropped == [2 ** (6 - depth + 1 + block) for block in range(blocks)]


@pytest.mark.parametrize("name", few(["unet", "patches"], "patches"))
def test_the_number_of_devices_changes_neither_outputs_nor_gradients(name):
    with jax.enable_x64(True):
        network, params, inputs = built(name)
        weights = double(normal(9, *jax.eval_shape(lambda: network.apply(params, {}, *inputs, train=False)[0]).shape))

        def step(params, weights, *inputs):
            def loss(params):
                output, _ = network.apply(params, {}, *parallel.local(inputs), train=True, key=KEY)
                return jnp.mean(output * parallel.local(weights)), output

            gradient, output = jax.grad(loss, has_aux=True)(params)
            return parallel.pmean(gradient), parallel.gather(output)

        params, inputs = double(params), double(inputs)
        expected, found = (
            way(step)(jax.tree.map(jnp.copy, params), weights, *inputs)
            for way in (parallel.single, lambda f: parallel.simulated(f, 4))
        )
        assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(expected))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), expected, found)


@pytest.mark.parametrize("name", NETWORKS)
def test_they_compute_in_bfloat16(name):
    whole, params, inputs = built(name)
    short = mixed(whole, jnp.bfloat16)
    _, layers = jax.eval_shape(short.inspect, params, {}, *inputs)
    assert layers and {str(layer.dtype) for layer in jax.tree.leaves(layers)} == {"bfloat16"}, layers
    exact, near = (jax.jit(lambda n=n: n.apply(params, {}, *inputs, train=True, key=KEY)[0])() for n in (whole, short))
    for ours, theirs in zip(jax.tree.leaves(near), jax.tree.leaves(exact), strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, atol=0.1 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("name", "keep"), [pytest.param("unet", "nothing", marks=pytest.mark.slow), ("translator", "layers")]
)
def test_what_is_made_again_for_the_backward_pass_is_the_same(name, keep):
    whole, params, inputs = built(name)
    results = []
    for network in (whole, rematerialised(whole, keep)):

        def loss(params, network=network):
            output, _ = network.apply(params, {}, *inputs, train=True, key=KEY)
            return jnp.mean((output - 0.1) ** 2)

        results.append(jax.jit(jax.value_and_grad(loss))(params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


@pytest.mark.parametrize(
    ("module", "shape", "match"),
    [
        (
            UNet(1, 2, 3),
            (28, 28, 1),
            r"images of 28x28: depth=3, .* 2 times; give depth=2, or --resolution 24 or",
        ),
        (UNet(1, 2, 4), (16, 24, 1), r"images of 16x24: depth=4, .* 3 times; give depth=3, or --resolution 16"),
        (UNet(1, 2, 1), (7, 8, 1), r"images of 7x8: depth=1, .* 0 times; give --resolution 6 or --resolution 8"),
        (UNet(1, 2, 0), (8, 8, 1), "depth=0: give at least 1"),
        (
            Translator(1, 2, downs=2),
            (30, 30, 1),
            r"images of 30x30: downs=2, .* give downs=1, or .* 28 or .* 32",
        ),
        (
            PatchGAN(2, 70),
            (16, 16, 1),
            r"images of 16x16: receptive_field=70 .* at least 24; give .*=1 or 16 or 34, or --resolution 24",
        ),
        (PatchGAN(2, 34), (8, 11, 1), r"images of 8x11: .*=34 .* at least 12; give receptive_field=1 or 16, or .* 12"),
        (PatchGAN(2, "image"), (4, 4, 1), "images of 4x4: .*receptive_field='image'.* --resolution 5"),
        (PatchGAN(2, 50), (32, 32, 1), "receptive_field=50: give 1, 16, 34, 70 or 'image'"),  # pyright: ignore
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_ones_that_do(module, shape, match):
    with pytest.raises(ValueError, match=match):
        count(module, shape)


def test_the_least_sides_that_a_critic_takes_suffice():
    for critic, side in ((PatchGAN(2, 16), 6), (PatchGAN(2, 34), 12), (PatchGAN(2, 70), 24)):
        assert outputs(critic, (side, side, 1)) == (2, 1, 1)
    assert outputs(PatchGAN(2, "image"), (5, 5, 1)) == (2,)
