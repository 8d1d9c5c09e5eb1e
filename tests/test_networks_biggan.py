"""The class-conditional residual networks: sizes of the papers' networks, levels, and what reaches which block."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import biggan as experiment
from experiments import projection_gan
from gan_jax import data
from gan_jax.networks import biggan, linen

KEY = jax.random.key(0)
LABELS = jnp.array([0, 1, 2])


def count(module, *shapes):
    params, _ = jax.eval_shape(linen(module, *shapes).init, KEY)
    return sum(x.size for x in jax.tree.leaves(params))


def both(side, classes, latent, width, generator, discriminator):
    shape = (side, side, 3)
    g = count(biggan.Generator(shape, classes, width, **generator), (latent + classes,))
    return g, count(biggan.Discriminator(shape, classes, width, **discriminator), shape, ())


def conv(inputs, outputs, size=3, bias=1):
    return size * size * inputs * outputs + bias * outputs


def g_block(inputs, outputs, classes):
    """Two conditional batch norms, two convolutions and a shortcut."""
    return 2 * classes * (inputs + outputs) + conv(inputs, outputs) + conv(outputs, outputs) + conv(inputs, outputs, 1)


def d_block(inputs, outputs, hidden, shortcut=True):
    return conv(inputs, hidden) + conv(hidden, outputs) + shortcut * conv(inputs, outputs, 1)


def attention(channels):
    return 2 * conv(channels, channels // 8, 1, 0) + 2 * conv(channels, channels // 2, 1, 0) + 1


@pytest.mark.slow
def test_sizes_are_those_of_biggan_and_biggan_deep():
    # counted in the authors' PyTorch code (ajbrock/BigGAN-PyTorch at 9845943, launch_BigGAN_bs256x8 and _deep). The
    # paper has 70.4 and 88.0 million, and 50.4 and 34.6 million for the deep form
    found = both(128, 1000, 120, 96, {"attention": 2, "embedding": 128}, {"attention": 2})
    assert found == (70_433_988, 87_982_370)
    deep = {"attention": 2, "deep": True}
    assert both(128, 1000, 128, 128, deep | {"embedding": 128}, deep) == (50_244_484, 34_590_210)


@pytest.mark.parametrize(
    ("side", "found"),
    [
        pytest.param(32, (4_304_387, 4_207_361), marks=pytest.mark.slow),
        (64, (32_118_531, 19_552_961)),
        pytest.param(256, (37_242_243, 43_411_649), marks=pytest.mark.slow),
    ],
)
def test_sizes_at_other_sides_are_those_of_the_authors_code(side, found):
    # 10 classes, ch = 64, no attention and no shared embedding
    assert both(side, 10, 128, 64, {}, {}) == found


def test_sizes_are_those_of_sagan():
    # layer by layer from the authors' TensorFlow code (brain-research/self-attention-gan)
    widths = [1024, 1024, 512, 256, 128, 64]
    g = 128 * 16 * 1024 + 16 * 1024
    g += sum(g_block(a, b, 1000) for a, b in pairwise(widths))
    g += attention(256) + 2 * 64 + conv(64, 3)
    d = d_block(3, 64, 64) + sum(d_block(a, b, b) for a, b in ((64, 128), (128, 256), (256, 512), (512, 1024)))
    d += attention(128) + d_block(1024, 1024, 1024, shortcut=False) + 1024 + 1 + 1000 * 1024
    assert both(128, 1000, 128, 64, {"attention": 4}, {"attention": 4}) == (g, d)


def test_sizes_are_those_of_projection_gan():
    # layer by layer from the authors' Chainer code (pfnet-research/sngan_projection)
    widths = [1024, 1024, 512, 256, 128, 64]
    g = 128 * 16 * 1024 + 16 * 1024 + 2 * 64 + conv(64, 3)
    g += sum(g_block(a, b, 1000) for a, b in pairwise(widths))
    d = d_block(3, 64, 64) + sum(d_block(a, b, a) for a, b in ((64, 128), (128, 256), (256, 512), (512, 1024)))
    d += d_block(1024, 1024, 1024, shortcut=False) + 1024 + 1 + 1000 * 1024
    assert both(128, 1000, 128, 64, {"norm": "none"}, {"wide": False}) == (g, d)

    config = projection_gan.Config(g_width=64, d_width=32, latent_size=128)
    system = projection_gan.build(config, data.Spec((32, 32, 3), 10))
    state = jax.eval_shape(system.init, KEY)
    found = [sum(x.size for x in jax.tree.leaves(state.params[name])) for name in ("generator", "discriminator")]
    g = 128 * 16 * 256 + 16 * 256 + 3 * g_block(256, 256, 10) + 2 * 256 + conv(256, 3)
    d = d_block(3, 128, 128) + d_block(128, 128, 128) + 2 * d_block(128, 128, 128, shortcut=False)
    assert found == [g, d + 128 + 10 * 128 + 1]  # 1: a bias that the authors' logit lacks


@pytest.mark.slow
@pytest.mark.parametrize("deep", [False, True])
def test_both_networks_are_those_of_a_formulation_in_pytorch(deep):
    torch = pytest.importorskip("torch")
    import torch_biggan

    shape, draw = (64, 64, 3), np.random.default_rng(0)  # 64: the first side at which channels differ
    options = {"norm": "none", "attention": 2, "deep": deep}
    g = linen(biggan.Generator(shape, 3, 8, embedding=6, **options), (23,))
    d = linen(biggan.Discriminator(shape, 3, 8, **options), shape, ())
    noise, images = draw.normal(size=(3, 20)), draw.normal(size=(3, *shape))
    with jax.enable_x64(True):
        like, stats = jax.eval_shape(g.init, KEY)
        draw_like = lambda p: draw.normal(size=p.shape) / max(1, np.prod(p.shape[:-1])) ** 0.5  # noqa: E731
        params = jax.tree.map(draw_like, {"g": like, "d": jax.eval_shape(d.init, KEY)[0]})
        stats, latents = jax.tree.map(lambda s: jnp.zeros(s.shape), stats), np.concatenate([noise, np.eye(3)], 1)
        made = jax.jit(lambda z: g.apply(params["g"], stats, z, train=True)[0])(latents)
        logits = jax.jit(lambda x: d.apply(params["d"], {}, x, LABELS, train=True)[0])(images)
    held = jax.tree.map(torch.tensor, params)
    widths, halvings = biggan.discriminator_channels(shape)
    g_widths, d_widths = ([8 * m for m in each] for each in (biggan.generator_channels(shape)[1:], widths))
    expected = torch_biggan.generator(held["g"], torch.tensor(noise), torch.eye(3).double(), g_widths, 32, deep)
    np.testing.assert_allclose(made, expected, rtol=1e-8, atol=1e-8)
    given = torch.tensor(images), torch.arange(3)
    expected = torch_biggan.discriminator(held["d"], *given, d_widths, halvings, 32, deep)
    np.testing.assert_allclose(logits, expected, rtol=1e-8)


def made(**options):
    network = linen(biggan.Generator((8, 8, 1), 3, 2, **options), (7,))
    return network, *jax.jit(network.init)(KEY)


@pytest.mark.slow
def test_a_block_sees_the_class_and_its_own_chunk_alone():
    # of 4 values of noise the first layer has 2 and the only block 2; silent without them, the batch norms are constant
    network, params, stats = made(embedding=5)
    for name in ("scale", "shift"):
        for norm in ("ConditionalBatchNorm_0", "ConditionalBatchNorm_1"):
            params[norm][name]["kernel"] = params[norm][name]["kernel"].at[5:].set(0)

    def images(latents):
        return jax.jit(lambda z: network.apply(params, stats, z, train=False)[0])(latents)

    z = jnp.concatenate([jax.random.normal(KEY, (1, 4)), jnp.eye(3)[:1]], 1)
    plain = images(z)
    np.testing.assert_array_equal(images(z.at[:, 2:4].add(1)), plain)
    assert not np.allclose(images(z.at[:, :2].add(1)), plain, atol=1e-4)
    assert not np.allclose(images(z.at[:, 4:].set(jnp.eye(3)[1])), plain, atol=1e-4)


@pytest.mark.slow
def test_without_a_shared_embedding_classes_start_alike():
    network, params, stats = made()
    z = jnp.concatenate([jnp.tile(jax.random.normal(KEY, (1, 4)), (3, 1)), jnp.eye(3)], 1)
    y = jax.jit(lambda z: network.apply(params, stats, z, train=False)[0])(z)
    np.testing.assert_allclose(y, jnp.broadcast_to(y[:1], y.shape), atol=1e-6)
    assert jnp.std(y[0]) > 0


@pytest.mark.slow
def test_weights_start_orthogonal():
    network = linen(biggan.Discriminator((8, 8, 1), 3, 2), (8, 8, 1), ())
    params = jax.jit(network.init)(KEY)[0]
    kernels = [x.reshape(-1, x.shape[-1]) for x in jax.tree.leaves(params) if x.ndim > 1]
    for kernel in kernels:
        product = kernel.T @ kernel if len(kernel) >= kernel.shape[1] else kernel @ kernel.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-5)
    assert len(kernels) > 8


def test_maps_halve_to_the_authors_last_side():
    assert biggan.discriminator_channels((32, 32, 3)) == ((4, 4, 4, 4), 2)
    assert biggan.discriminator_channels((28, 28, 1)) == ((4, 4, 4, 4), 2)
    assert biggan.discriminator_channels((512, 512, 3)) == ((1, 1, 2, 4, 8, 8, 16, 16), 7)
    assert biggan.generator_channels((96, 96, 3)) == (16, 16, 8, 4, 2)  # 6 * 2^4


@pytest.mark.parametrize(
    ("side", "attention", "remedy"),
    [(32, 3, "or 2 for maps of side 16, or 4 for maps of side 8"), (8, 2, "0 for none")],
)
def test_attention_on_maps_that_are_not_in_both_networks_is_refused(side, attention, remedy):
    for module in (biggan.Generator, biggan.Discriminator):
        shapes = [(side, side, 3), ()] if module is biggan.Discriminator else [(7,)]
        network = linen(module((side, side, 3), 3, 2, attention=attention), *shapes)
        with pytest.raises(ValueError, match=rf"attention={attention}: for images of side {side} give .*{remedy}"):
            jax.eval_shape(network.init, KEY)


def test_data_without_labels_are_refused():
    with pytest.raises(ValueError, match="classes=0: the data have no labels"):
        experiment.build(experiment.Config(), data.Spec((32, 32, 3), 0))
