"""R3GAN's networks equal a PyTorch formulation with its weights; sizes and schedules are those of the authors' code."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import few

from experiments import r3gan
from gan_jax import data, rng
from gan_jax.convert import r3gan as weights
from gan_jax.networks import linen
from gan_jax.networks.r3gan import GAIN, Block, Discriminator, Generator, Layout

torch = pytest.importorskip("torch")
import torch_r3gan  # noqa: E402  needs torch

LABELS = [2, 0]


def close(actual, expected, tolerance=1e-9):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), actual, expected)


@pytest.fixture(scope="module", params=few([0, 3], 3), ids=["plain", "conditional"])
def both(request):
    """A PyTorch pair of random weights in float64, the settings and the weights that it gives, and inputs."""
    torch.manual_seed(0)
    classes = request.param
    pair = torch_r3gan.pair(5, [8, 8, 4], [2, 2, 1], [1, 1, 1], 2, classes)
    settings, converted = weights.networks(torch_r3gan.tensors(*pair))
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(2, 5)), draw.normal(size=(2, 16, 16, 3)), np.eye(3)[LABELS] if classes else None
    return [net.double() for net in pair], settings, converted, inputs


def layout_of(settings):
    side = settings["resolution"]
    names = ("width", "full_width_side", "blocks", "expansion", "group_width", "classes")
    return Layout((side, side, settings["channels"]), **{name: settings[name] for name in names})


def test_shapes_determine_the_sizes(both):
    _, settings, _, _ = both
    assert layout_of(settings)[:6] == ((16, 16, 3), 8, 8, 1, 2, 8)
    assert settings["latent_size"] == 5 and settings["conditional"] == bool(settings["classes"])


def test_the_generator_equals_the_authors(both):
    (net, _), settings, converted, (z, _, y) = both
    with jax.enable_x64(True):
        latents = z if y is None else np.concatenate([z, y], 1)
        generator = linen(Generator(layout_of(settings)), latents.shape[1:])
        images = jax.jit(lambda p, z: generator.apply(p, {}, z, train=True)[0])(converted["generator"][0], latents)
    theirs = net(*(torch.tensor(each) for each in (z, y) if each is not None))
    close(images, theirs.detach().numpy().transpose(0, 2, 3, 1))


def test_the_discriminator_its_gradients_and_those_of_r1_equal_the_authors(both):
    (_, net), settings, converted, (_, x, y) = both
    with jax.enable_x64(True):
        labels = [] if y is None else [jnp.array(LABELS)]
        critic = linen(Discriminator(layout_of(settings)), x.shape[1:], *[()] * len(labels))

        def logits(params, x):
            return critic.apply(params, {}, x, *labels, train=True)[0]

        def slope(params, x):
            return jax.grad(lambda x: jnp.sum(logits(params, x)))(x)

        def penalty(params, x):
            return jnp.sum(slope(params, x) ** 2)

        params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), converted["discriminator"][0])
        found = jax.jit(lambda p, x: (logits(p, x), slope(p, x), *jax.value_and_grad(penalty)(p, x)))(params, x)
    images = torch.tensor(x.transpose(0, 3, 1, 2)).requires_grad_(True)
    theirs = net(images, *([] if y is None else [torch.tensor(y)]))
    (gradient,) = torch.autograd.grad(theirs.sum(), images, create_graph=True)
    r1 = gradient.square().sum()
    net.zero_grad()
    r1.backward()
    close(found[:3], (theirs.detach().numpy(), gradient.detach().numpy().transpose(0, 2, 3, 1), float(r1.detach())))
    second = {
        f"D.{name}": np.zeros(p.shape) if p.grad is None else p.grad.numpy() for name, p in net.named_parameters()
    }
    held = {f"G_ema.{name}": p.detach().numpy() for name, p in both[0][0].named_parameters()}
    close(found[3], weights.networks(held | second)[1]["discriminator"][0], 1e-5)  # converted to float32


@pytest.mark.parametrize("depth", [1, 8])
def test_blocks_are_the_identity_at_first_and_their_kernels_shrink_with_the_depth_of_the_network(depth):
    block, x = Block(depth, expansion=2, group_width=4), jax.random.normal(jax.random.key(0), (2, 4, 4, 32))
    params = jax.jit(block.init)(jax.random.key(1), x)
    apply: Any = block.apply
    output, slopes = jax.jit(lambda p, x: (apply(p, x), jax.grad(lambda p: jnp.sum(apply(p, x) ** 2))(p)))(params, x)
    np.testing.assert_array_equal(output, x)
    first, grouped, last = (params["params"][f"Conv_{i}"]["kernel"] for i in range(3))
    for kernel, fan_in in ((first, 32), (grouped, 9 * 4)):
        assert jnp.std(kernel) * math.sqrt(fan_in) == pytest.approx(GAIN * depth**-0.25, rel=0.1)
    assert grouped.shape == (3, 3, 4, 64) and not last.any()
    assert jnp.abs(slopes["params"]["Conv_2"]["kernel"]).max() > 0, "the block learns nevertheless"


def test_the_gain_keeps_the_mean_square():
    x = np.random.default_rng(0).normal(size=1_000_000)
    assert np.mean((GAIN * np.where(x > 0, x, 0.2 * x)) ** 2) == pytest.approx(1, rel=0.01)


# train.py: WidthPerStage, CardinalityPerStage, FP16Stages of G, c_dim; counts of the modules in R3GAN/Networks.py
SIZES = {
    "paper-cifar10": ([768] * 4, [96] * 4, 3, 10, 20_781_952, 21_280_512),
    "paper-ffhq64": ([768] * 4 + [384], [96] * 4 + [48], 4, 0, 22_429_824, 22_381_440),
    "paper-ffhq256": ([768] * 4 + [384, 192, 96], [96] * 4 + [48, 24, 12], 4, 0, 23_057_952, 23_009_568),
    "paper-imagenet32": ([1536] * 4, [96] * 4, 3, 1000, 82_914_304, 86_548_992),
    "paper-imagenet64": ([1536] * 5, [96] * 5, 4, 1000, 103_570_432, 107_205_120),
}


@pytest.mark.parametrize("name", few(SIZES, "paper-cifar10", "paper-ffhq256"))
def test_the_presets_networks_have_the_layers_of_the_code(name):
    widths, cardinalities, low, classes, *counts = SIZES[name]
    config, side = r3gan.PRESETS[name], 4 * 2 ** (len(widths) - 1)
    spec = data.Spec((side, side, 3), classes)
    params = jax.eval_shape(r3gan.build(config, spec).init, rng.key(0)).params
    layout = Layout(spec.shape, config.width, config.full_width_side, config.blocks, 2, config.group_width, classes)
    with torch.device("meta"):
        pair = torch_r3gan.pair(64, widths, cardinalities, [2] * len(widths), 2, classes)
    naming = {"generator": weights._generator_name(layout), "discriminator": weights._discriminator_name(layout)}
    for net, (player, named), count in zip(pair, naming.items(), counts, strict=True):
        theirs = {key.removeprefix("Model."): tuple(p.shape) for key, p in net.named_parameters()}
        leaves = jax.tree_util.tree_leaves_with_path(params[player])
        ours = {named(jax.tree_util.keystr(path, simple=True, separator="/")): leaf.shape for path, leaf in leaves}
        assert ours.keys() == theirs.keys()
        assert all(sorted(s for s in ours[k] if s > 1) == sorted(s for s in theirs[k] if s > 1) for k in ours)
        assert sum(math.prod(shape) for shape in ours.values()) == count
    assert [layout.dtype(side, "low") for side in layout.channels] == [None] * (len(widths) - low) + ["low"] * low


def cosine(images, base_value, final_value, total_nimg):
    """`cosine_decay_with_warmup` of training_loop.py, without the warm-up, which no preset has."""
    decay = 0.5 * (1 + math.cos(math.pi * images / total_nimg))
    return final_value if images > total_nimg else base_value + (1 - decay) * (final_value - base_value)


# train.py, final values: ema_nimg, aug, lr, gamma; decay_nimg; README.md: --batch
SCHEDULES = {
    "paper-cifar10": (5e6, 0.55, 0.05, 0.005, 2e7, 512),
    "paper-ffhq64": (5e5, 0.3, 2, 0.2, 2e7, 256),
    "paper-ffhq256": (5e5, 0.3, 150, 15, 2e7, 256),
    "paper-imagenet32": (5e7, 0.5, 0.5, 0.05, 2e8, 4096),
    "paper-imagenet64": (5e7, 0.4, 1, 0.1, 2e8, 4096),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_presets_schedules_are_those_of_the_code(name):
    half_life, augmentation, gamma, final_gamma, images, batch = SCHEDULES[name]
    config = r3gan.PRESETS[name]
    found = (config.half_life, config.augmentation, config.gamma, config.final_gamma, config.schedule_images)
    assert found == (half_life, augmentation, gamma, final_gamma, images) and config.batch_size == batch
    assert (config.beta2, config.final_beta2, config.mirror) == (0.9, 0.99, True)
    side = config.resolution or 32
    rate = r3gan.build(config, data.Spec((side, side, 3), 10)).players[0].optimizer.learning_rate
    for step in (0, 1, 10_000, 30_000, 80_000):
        assert float(rate(step)) == pytest.approx(cosine(step * batch, 2e-4, 5e-5, images), rel=1e-4)


@pytest.mark.slow
def test_gamma_beta2_learning_rates_and_the_average_follow_their_schedules():
    config = r3gan.Config(
        width=4,
        full_width_side=8,
        batch_size=4,
        schedule_images=400,
        half_life=8.0,
        latent_size=3,
        gamma=2.0,
        final_gamma=0.1,
    )
    system = r3gan.build(config, data.Spec((8, 8, 1), 0))
    update = jax.jit(system.update)
    state = jax.jit(system.init)(rng.key(0))
    batch = {"image": jax.random.uniform(rng.key(1), (4, 8, 8, 1))}

    def at(step):
        after, metrics = update(replace(state, step=jnp.asarray(step)), batch, rng.key(2))
        change = [
            np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree["generator"])])
            for tree in (after.params, state.params, {"generator": after.ema["generator"]["params"]})
        ]
        return metrics, after.opt_state["discriminator"], change

    (first, began, moved), (half, *_, between), (last, ended, _) = at(0), at(50), at(100)
    for name, values in {"r1": (2.0, 1.05, 0.1), "learning_rate": (1e-3, 5.5e-4, 1e-4)}.items():
        seen = [float(metrics[f"discriminator/{name}"]) for metrics in (first, half, last)]
        close([value / seen[0] for value in seen], [value / values[0] for value in values], 1e-4)
    nu = [float(jnp.sum(jax.tree.leaves(opt)[-1])) for opt in (began, ended)]
    assert nu[1] < nu[0], "(1 - beta2) g^2 after one step"
    new, _, average = moved
    np.testing.assert_array_equal(average, new)  # the half-life is 0 at first
    new, old, average = between
    close(average, old / 2 + new / 2, 1e-5)  # a half-life of 4 images, one batch


def test_sides_of_7_times_a_power_of_2_begin_at_7():
    layout = Layout((28, 28, 1), 32, 8)
    assert layout.channels == {7: 32, 14: 16, 28: 8}
    network = linen(Generator(layout), (5,))
    params = jax.eval_shape(network.init, rng.key(0))[0]
    assert params["basis"]["kernel"].shape == (7, 7, 32)
    images = jax.eval_shape(lambda p, z: network.apply(p, {}, z, train=True)[0], params, jnp.zeros((2, 5)))
    assert images.shape == (2, 28, 28, 1)


def test_no_logit_depends_on_the_rest_of_the_batch():
    assert not linen(Discriminator(Layout((8, 8, 1), 4)), (8, 8, 1)).batch_dependent()


def test_errors_name_the_field_and_the_remedy():
    with pytest.raises(ValueError, match="group_width=5 does not divide the 8 channels"):
        linen(Generator(Layout((8, 8, 1), 4, group_width=5)), (2,)).init(rng.key(0))
    with pytest.raises(ValueError, match="width=2: it is halved 2 times; give at least 4"):
        _ = Layout((16, 16, 1), 2, full_width_side=4).channels
    with pytest.raises(ValueError, match="the data have no labels"):
        r3gan.build(r3gan.Config(conditional=True), data.Spec((8, 8, 1), 0))
