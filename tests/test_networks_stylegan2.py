"""StyleGAN2's networks: equal to a PyTorch formulation, and what the papers state about them."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import double, few

from experiments import stylegan2 as experiment
from gan_jax import convert as published
from gan_jax import rng, runs, sample, trees
from gan_jax.convert import stylegan2 as convert
from gan_jax.data import Spec
from gan_jax.networks import linen
from gan_jax.networks.stylegan2 import Discriminator, Generator, Mapping, Styles, Synthesis, count, mix
from gan_jax.terms import shifts

torch: Any = pytest.importorskip("torch")
reference: Any = pytest.importorskip("torch_stylegan2")

SIZES = {"side": 16, "base": 64, "most": 8}  # 8, 8 and 4 channels
LATENT, WIDTH, DEPTH = 6, 10, 2


@functools.cache
def tensors(classes):
    """Random tensors of both networks, and those of the unaveraged names that a snapshot has besides."""
    random = np.random.default_rng(classes)
    shapes = {
        "G_ema.": reference.generator_shapes(latent=LATENT, width=WIDTH, depth=DEPTH, classes=classes, **SIZES),
        "D.": reference.discriminator_shapes(classes=classes, **SIZES),
    }
    made = {
        prefix + name: random.normal(size=shape).astype(np.float32)
        for prefix, of in shapes.items()
        for name, shape in of.items()
    }
    slow = {name: value * 100 for name, value in made.items() if "mapping.fc" in name}  # as they begin
    return made | slow | {"G_ema.synthesis.b8.resample_filter": np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64}


def in_torch(classes, prefix):
    return {
        name.removeprefix(prefix): torch.tensor(value, dtype=torch.float32, requires_grad=True)
        for name, value in tensors(classes).items()
        if name.startswith(prefix) and "filter" not in name
    }


def close(ours, theirs, relative=1e-5):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=relative * np.max(np.abs(theirs)))


def conversion(classes):
    fields, networks = convert.networks(tensors(classes))
    shape, sizes = (16, 16, 3), {"base": 64, "most": 8, "classes": classes}
    generator = functools.partial(Generator, shape, WIDTH, DEPTH, **sizes)
    return fields, networks, generator, Discriminator(shape, **sizes)


@pytest.mark.parametrize("case", few([(0, 1.0, None), (0, 0.6, None), (3, 1.0, None), (3, 0.6, 3)], (3, 0.6, 3)))
def test_the_generator_with_converted_weights_is_the_reference(case):
    classes, psi, cutoff = case
    fields, networks, generator, _ = conversion(classes)
    assert fields["latent_size"] == LATENT and fields["mapping_depth"] == DEPTH and fields["channel_base"] == 64
    params, stats = networks["generator"]
    z = np.random.default_rng(1).normal(size=(4, LATENT)).astype(np.float32)
    label = np.eye(3, dtype=np.float32)[[0, 2, 1, 1]][:, :classes]
    network = linen(generator(psi=psi, cutoff=cutoff), (LATENT + classes,))
    images = jax.jit(functools.partial(network.apply, train=False))(params, stats, np.concatenate([z, label], 1))[0]
    theirs = reference.generator(in_torch(classes, "G_ema."), torch.tensor(z), torch.tensor(label), 16, psi, cutoff)
    close(images.transpose(0, 3, 1, 2), theirs)


@pytest.mark.parametrize("classes", few([0, 3], 3))
def test_the_discriminator_with_converted_weights_is_the_reference_with_its_r1_gradients(classes):
    _, networks, _, module = conversion(classes)
    images = np.random.default_rng(2).normal(size=(8, 16, 16, 3))
    labels = [np.arange(8) % 3] if classes else []
    network = linen(module, (16, 16, 3), *[()] * len(labels))

    def r1(params):
        def total(x):
            logits = network.apply(params, {}, x, *labels, train=True)[0]
            return jnp.sum(logits), logits

        slopes, logits = jax.grad(total, has_aux=True)(images)
        return jnp.mean(jnp.sum(slopes**2, axis=(1, 2, 3))), (logits, slopes)

    with jax.enable_x64(True):  # in float32, gradients through the deviation of a group are mostly rounding
        params = double(jax.tree.map(jnp.asarray, networks["discriminator"][0]))
        (value, (logits, slopes)), second = jax.jit(jax.value_and_grad(r1, has_aux=True))(params)
    given = {name: tensor.detach().double().requires_grad_() for name, tensor in in_torch(classes, "D.").items()}
    x = torch.tensor(images.transpose(0, 3, 1, 2), requires_grad=True)
    codes = torch.eye(3, dtype=torch.float64)[labels[0]] if labels else None
    their_logits = reference.discriminator(given, x, codes, 16)
    (their_slopes,) = torch.autograd.grad(their_logits.sum(), x, create_graph=True)
    penalty = their_slopes.square().sum((1, 2, 3)).mean()
    penalty.backward()
    close(logits, their_logits)
    close(slopes.transpose(0, 3, 1, 2), their_slopes)
    close(value, penalty)
    theirs = {f"D.{n}": np.zeros(t.shape) if t.grad is None else t.grad.numpy() for n, t in given.items()}
    back = convert.networks({n: t for n, t in tensors(classes).items() if n.startswith("G_ema.")} | theirs)
    jax.tree.map(close, second, back[1]["discriminator"][0])


@pytest.mark.slow
def test_path_lengths_have_the_references_gradients():
    # of the mean over layers of |J^T y|^2, y one direction: through demodulation and transposed convolutions, twice
    _, networks, generator, _ = conversion(0)
    random = np.random.default_rng(3)
    z, y = random.normal(size=(2, LATENT)), random.normal(size=(2, 16, 16, 3))
    network = linen(generator(), (LATENT,))

    def squared(params, stats):
        def along(delta):
            with shifts.shifted("styles", delta):
                return jnp.sum(y * network.apply(params, stats, z, train=False)[0])

        return jnp.mean(jnp.sum(jax.grad(along)(jnp.zeros((2, 6, WIDTH))) ** 2, axis=2))

    with jax.enable_x64(True):
        params, stats = double(jax.tree.map(jnp.asarray, networks["generator"]))
        value, slopes = jax.jit(jax.value_and_grad(squared))(params, stats)
    given = {name: tensor.detach().double().requires_grad_() for name, tensor in in_torch(0, "G_ema.").items()}
    ws = reference.mapping(given, "mapping", torch.tensor(z), None)[:, None].repeat(1, 6, 1)
    total = (reference.synthesis(given, ws, 16) * torch.tensor(y.transpose(0, 3, 1, 2))).sum()
    (slope,) = torch.autograd.grad(total, ws, create_graph=True)
    theirs = slope.square().sum(2).mean()
    theirs.backward()
    close(value, theirs)
    back = {f"G_ema.{n}": np.zeros(t.shape) if t.grad is None else t.grad.numpy() for n, t in given.items()}
    jax.tree.map(close, slopes, convert.networks(back)[1]["generator"][0])


def test_tensors_that_do_not_fit_are_named():
    given = tensors(0)
    for change, message in {
        "G_ema.synthesis.b8.conv0.bias": r"missing: G_ema\.synthesis\.b8\.conv0\.bias$",
        "D.b4.fc.weight": r"missing: D\.b4\.fc\.weight$",
        "G_ema.mapping.w_avg": r"missing: G_ema\.mapping\.w_avg",
    }.items():
        with pytest.raises(ValueError, match=message):
            convert.networks({name: tensor for name, tensor in given.items() if name != change})
    for name, tensor, message in (
        ("D.b4.more", np.zeros(2), r"superfluous: D\.b4\.more$"),
        ("G.mapping.fc0.bias", np.zeros(2), r"G\.mapping\.fc0\.bias belong to no network"),
        ("D.b16.conv0.bias", np.zeros(3), r"of the wrong shape: D\.b16\.conv0\.bias \(3,\)$"),
        ("D.b16.conv1.resample_filter", np.ones((4, 4)), r"b16\.conv1\.resample_filter is not the filter"),
        ("G_ema.synthesis.b8.conv1.weight", np.zeros((3, 8, 3, 3)), r"must have min\(B / side, M\)"),
    ):
        with pytest.raises(ValueError, match=message):
            convert.networks(given | {name: tensor})


@pytest.mark.slow
def test_converted_weights_become_a_run_that_is_sampled_with_truncation(tmp_path):
    given: dict[str, Any] = tensors(3)
    np.savez(tmp_path / "network.npz", **given)
    assert "stylegan2" in published.convert(tmp_path / "network.npz", tmp_path / "run")
    run = runs.open_run(tmp_path / "run")
    z = sample.latents_of(run, 0, 4, truncation=0.5)
    images = sample.generate(run, z, truncation=0.5)
    values = torch.tensor(np.asarray(z))
    theirs = reference.generator(in_torch(3, "G_ema."), values[:, :-3], values[:, -3:], 16, psi=0.5)
    expected = np.clip(theirs.detach().numpy().transpose(0, 2, 3, 1) * 127.5 + 127.5, 0, 255)
    assert np.max(np.abs(images - expected)) < 1.1 and np.ptp(expected) > 200


@pytest.fixture(scope="module")
def fresh():
    """A generator as it begins, and latents."""
    module = Generator((8, 8, 3), width=8, depth=2, base=64, most=16)
    params, stats = jax.jit(linen(module, (5,)).init)(rng.key(0))
    return module, params, stats, jax.random.normal(rng.key(1), (4, 5))


def evaluated(module, params, stats, latents, train=False) -> Any:
    network = linen(module, latents.shape[1:])
    return jax.jit(functools.partial(network.apply, train=train))(params, stats, latents, key=rng.key(2))


def module_styles(module, params, latents):
    """Untruncated styles of a generator's mapping network."""
    mapping = Mapping(module.width, module.depth)
    w: Any = mapping.apply({"params": params["styles"]["mapping"]}, latents, None)
    return jnp.repeat(w[:, None], 4, axis=1)


@pytest.mark.slow
def test_truncation_goes_from_the_mean_image_to_the_untruncated_one(fresh):
    module, params, stats, z = fresh
    stats = stats | {"styles": {"mean": jnp.arange(8.0) / 8}}
    ws = jax.jit(lambda: module_styles(module, params, z))()
    synthesis = linen(Synthesis((8, 8, 3), 64, 16), (4, 8))

    @jax.jit
    def images(ws):
        return synthesis.apply(params["synthesis"], stats["synthesis"], ws, train=False)[0]

    for psi, cutoff in ((1.0, None), (0.0, None), (0.5, None), (0.0, 3)):
        expected = stats["styles"]["mean"] + psi * (ws - stats["styles"]["mean"])
        expected = expected if cutoff is None else expected.at[:, cutoff:].set(ws[:, cutoff:])
        found = evaluated(module.copy(psi=psi, cutoff=cutoff), params, stats, z)[0]
        close(found, images(expected))
        assert (jnp.max(jnp.var(found, axis=0)) < 1e-8) == ((psi, cutoff) == (0.0, None))  # one image, of the mean


def test_mixing_at_the_ends_leaves_images_unmixed():
    a, b = (jax.random.normal(rng.key(i), (5, 6, 3)) for i in (3, 4))
    crossover = jnp.array([0, 1, 3, 5, 6])
    mixed = mix(a, b, crossover)
    np.testing.assert_array_equal(mixed[0], b[0])  # before the first layer: those of the other latent
    np.testing.assert_array_equal(mixed[4], a[4])  # after the last
    np.testing.assert_array_equal(mixed[2], jnp.concatenate([a[2, :3], b[2, 3:]]))


def test_styles_mix_for_each_example_in_training_alone_and_their_mean_is_tracked():
    module = Styles(layers=6, width=8, depth=2, mixing=0.5)
    z = jax.random.normal(rng.key(0), (400, 5))
    network = linen(module, (5,))
    params, stats = network.init(rng.key(1))
    mixed, moved = evaluated(module, params, stats, z, train=True)
    plain, kept = evaluated(module, params, stats, z)
    jax.tree.map(np.testing.assert_array_equal, kept, stats)
    np.testing.assert_allclose(moved["mean"], 0.005 * jnp.mean(plain[:, 0], axis=0), rtol=1e-4, atol=1e-8)
    np.testing.assert_array_equal(plain, jnp.repeat(plain[:, :1], 6, axis=1))
    own = np.all(np.isclose(mixed, plain, atol=1e-6), axis=2)  # [400, 6]
    first = np.where(own.all(1), 6, np.argmin(own, axis=1))
    assert own[:, 0].all() and np.all(own == (np.arange(6) < first[:, None]))
    shares = np.bincount(first, minlength=7) / 400
    np.testing.assert_allclose(shares, [0, *[0.1] * 5, 0.5], atol=0.1)  # 4 standard errors of at most 0.025


@pytest.mark.slow
def test_noise_is_drawn_for_each_example_in_training_and_constant_in_evaluation(fresh):
    module, params, stats, z = fresh
    module = module.copy(mixing=0.0)
    louder = jax.tree_util.tree_map_with_path(lambda at, x: x + 1 if "noise" in trees.path(at) else x, params)
    same = jnp.broadcast_to(z[:1], (3, 5))
    drawn = evaluated(module, louder, stats, same, train=True)[0]
    constant = evaluated(module, louder, stats, same)[0]
    assert jnp.var(drawn, axis=0).mean() > 1e-2
    np.testing.assert_allclose(jnp.var(constant, axis=0), 0, atol=1e-8)
    quiet = [evaluated(module, params, stats, same, train=train)[0] for train in (True, False)]
    close(*quiet)  # strengths start at 0


def test_styles_have_the_mean_square_of_noise_at_the_start():
    z, labels = jax.random.normal(rng.key(0), (64, 64)), jax.nn.one_hot(jnp.arange(64) % 3, 3)
    module = Mapping(256, 4)
    for label in (None, labels):
        w = module.init_with_output(rng.key(1), z, label)[0]
        np.testing.assert_allclose(jnp.mean(w**2), 1.04, rtol=0.2)  # a leaky ReLU times sqrt(2): 1 + 0.2^2 of it


@pytest.mark.slow
def test_bfloat16_is_confined_to_the_highest_resolutions(fresh):
    module, params, stats, z = fresh
    types = {}
    for name, network, inputs in (
        ("G", Generator((256, 256, 3), 8, 2, 1024, 8, dtype=jnp.bfloat16), (4,)),
        ("D", Discriminator((256, 256, 3), 1024, 8, dtype=jnp.bfloat16), (256, 256, 3)),
    ):
        wrapped = linen(network, inputs)
        given = jax.eval_shape(wrapped.init, rng.key(0))
        assert {x.dtype for x in jax.tree.leaves(given)} == {jnp.dtype("float32")}
        output, layers = jax.eval_shape(wrapped.inspect, *given, jax.ShapeDtypeStruct((4, *inputs), jnp.float32))
        assert output.dtype == jnp.float32
        types |= {f"{name}/{path}": value.dtype.name for path, value in layers.items()}
    low = {path for path, dtype in types.items() if dtype == "bfloat16"}
    assert all(any(f"block_{side}" in path or "from_image" in path for side in (32, 64, 128, 256)) for path in low)
    assert {"G/synthesis/block_32/conv_0", "D/block_32/conv_1", "D/from_image"} <= low
    assert {"G/styles", "G/synthesis/block_256/image", "G/synthesis/block_16/conv_1", "D/conv", "D/out"} <= set(
        types
    ) - low
    ours = evaluated(module.copy(dtype=jnp.bfloat16), params, stats, z)[0]
    close(ours, evaluated(module, params, stats, z)[0], 0.05)


PRINTED = {  # parameters of layers, as the official code prints them when it starts, in its own names
    512: {  # github.com/NVlabs/stylegan2-ada-pytorch/issues/182 and github.com/open-mmlab/mmgeneration/issues/394
        "mapping.fc0": 262656,
        "synthesis.b4.const": 8192,
        "synthesis.b4.conv1": 2622465,
        "synthesis.b4.torgb": 264195,
        "synthesis.b8.conv0": 2622465,
        "synthesis.b64.conv0": 2622465,
        "synthesis.b128.conv0": 1442561,
        "synthesis.b128.conv1": 721409,
        "synthesis.b128.torgb": 132099,
        "synthesis.b256.conv0": 426369,
        "synthesis.b256.conv1": 213249,
        "synthesis.b256.torgb": 66051,
        "synthesis.b512.conv0": 139457,
    },
    1024: {  # github.com/NVlabs/stylegan2-ada-pytorch/issues/181
        "b1024.fromrgb": 128,
        "b1024.skip": 2048,
        "b1024.conv0": 9248,
        "b1024.conv1": 18496,
        "b512.skip": 8192,
        "b512.conv0": 36928,
        "b512.conv1": 73856,
        "b256.skip": 32768,
        "b256.conv0": 147584,
        "b256.conv1": 295168,
        "b128.skip": 131072,
        "b128.conv0": 590080,
        "b128.conv1": 1180160,
        "b64.skip": 262144,
    },
}


@pytest.mark.parametrize(
    "case", few([*((name, False) for name in experiment.PRESETS), ("paper-cifar10", True)], ("paper-1024", False))
)
def test_presets_have_the_official_parameters_layer_by_layer(case):
    preset, conditional = case
    config: Any = dataclasses.replace(experiment.PRESETS[preset], conditional=conditional)
    side, classes = config.resolution, 10 * conditional
    system = experiment.build(config, Spec((side, side, 3), 10))
    sizes = {"side": side, "base": config.channel_base, "most": 512, "classes": classes}
    shapes = {
        "generator": reference.generator_shapes(latent=512, width=512, depth=config.mapping_depth, **sizes),
        "discriminator": reference.discriminator_shapes(residual=config.residual, **sizes),
    }
    for name, of in shapes.items():
        params, _ = jax.eval_shape(system.networks[name].init, rng.key(0))
        official = {
            layer: math.prod(shape) for layer, shape in of.items() if not layer.endswith(("w_avg", "noise_const"))
        }
        ours = {convert._name(side, path): math.prod(x.shape) for path, x in trees.flat(params).items()}
        assert ours == official
        for layer, number in PRINTED.get(side, {}).items():
            found = sum(size for tensor, size in ours.items() if f"{tensor}.".startswith(f"{layer}."))
            assert found in (0, number), layer


FIELDS = ("kimg", "mb", "mbstd", "fmaps", "lrate", "gamma", "ema", "ramp", "map")
CFG_SPECS = {  # of train.py of stylegan2-ada-pytorch
    "paper-cifar10": (100000, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2),
    "paper-256": (25000, 64, 8, 0.5, 0.0025, 1, 20, None, 8),
    "paper-512": (25000, 64, 8, 1, 0.0025, 0.5, 20, None, 8),
    "paper-1024": (25000, 32, 4, 1, 0.002, 2, 10, None, 8),
    "stylegan2": (25000, 32, 4, 1, 0.002, 10, 10, None, 8),
}


@pytest.mark.parametrize("name", CFG_SPECS)
def test_presets_are_those_of_the_official_code(name):
    config, spec = experiment.PRESETS[name], dict(zip(FIELDS, CFG_SPECS[name], strict=True))
    assert config.run.steps == spec["kimg"] * 1000 // spec["mb"] and config.batch_size == spec["mb"]
    assert (config.group, config.channel_base, config.channel_max) == (spec["mbstd"], spec["fmaps"] * 32768, 512)
    assert (config.learning_rate, config.r1, config.mapping_depth) == (spec["lrate"], spec["gamma"], spec["map"])
    assert config.half_life == 1000 * spec["ema"] and config.ramp_up == (spec["ramp"] or 0)
    assert (config.latent_size, config.style_size) == (512, 512)
    plain = name == "paper-cifar10"  # "disable path length regularization", style mixing and residual skip connections
    assert (config.path_length, config.mixing, config.residual) == ((0, 0, False) if plain else (2, 0.9, True))


def test_the_average_ramps_up_as_in_the_official_code():
    # ema_beta = 0.5 ** (batch_size / max(min(ema_kimg * 1000, images * ramp), 1e-8))
    for name, longest, ramp, size in (("paper-cifar10", 500_000, 0.05, 64), ("paper-1024", 10_000, math.inf, 32)):
        decay = experiment.average_decay(experiment.PRESETS[name])
        for step in (0, 1, 100, 10**6):
            images = min(longest, (step and step * size * ramp) if name == "paper-cifar10" else longest)
            np.testing.assert_allclose(decay(jnp.asarray(step)), 0.5 ** (size / max(images, 1e-8)), rtol=1e-5)


@pytest.mark.slow
def test_the_conditional_form_with_every_part_keeps_the_form_of_its_state():
    config = experiment.Config(batch_size=8, conditional=True, ada=0.6, mirror=True, precision="bfloat16")
    system = experiment.build(config, Spec((16, 16, 3), 3))
    state = jax.eval_shape(system.init, rng.key(0))
    batch = {"image": jax.ShapeDtypeStruct((8, 16, 16, 3), jnp.float32), "label": jax.ShapeDtypeStruct((8,), jnp.int32)}
    after, metrics = jax.eval_shape(system.update, state, batch, rng.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert {"discriminator_regularisation/r1", "generator_regularisation/path_length", "ada/probability"} <= set(
        metrics
    )
    assert set(state.opt_state) == {"generator", "discriminator"}
    with pytest.raises(ValueError, match="the data have no labels"):
        experiment.build(config, Spec((16, 16, 3), 0))


def test_images_that_cannot_be_made_are_refused():
    for shape in ((36, 36, 3), (32, 64, 3), (4, 4, 3), (32,)):
        with pytest.raises(ValueError, match=r"images.*4, 5, 6 or 7 times a power of 2"):
            count(shape)
    assert count((1024, 1024, 3)) == 18 and count((28, 28, 1)) == 6
    with pytest.raises(ValueError, match="classes=3: this discriminator takes labels"):
        jax.eval_shape(linen(Discriminator((8, 8, 1), 64, 8, classes=3), (8, 8, 1)).init, rng.key(0))
