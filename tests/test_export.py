"""Exported generators: the sampler's examples, for any batch size and platform, loaded without this package."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from safetensors.numpy import load_file
from test_experiments import NAMES, small
from test_loop import train
from toy import gan

from gan_jax import data, export, latents, losses, rng, runs, sample, translate
from gan_jax.cli import Checkpoint
from gan_jax.data import Spec, kinds
from gan_jax.errors import UserError
from gan_jax.methods import mixture
from gan_jax.networks import dcgan, linen, mlp, resnet
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.translator import Translator
from gan_jax.networks.unet import UNet
from gan_jax.networks.wrappers.reference_batch import with_reference
from gan_jax.runs import Restored

IMAGES = Spec((28, 28, 1), 10)


def opened(system, spec, name="dcgan"):
    """A run with random averaged networks, whose images have some contrast."""
    draw = np.random.default_rng(0)

    def value(path, x):
        drawn = 2 * draw.normal(size=x.shape) / max(1, np.prod(x.shape[:-1])) ** 0.5
        return jnp.asarray(abs(drawn) + 0.1 if "stats" in jax.tree_util.keystr(path) else drawn, x.dtype)

    ema = jax.tree_util.tree_map_with_path(value, jax.eval_shape(system.init, rng.key(0)).ema)
    record = {"experiment": {"module": name}, "data": {"name": "digits", "count": 3, "shape": spec.shape}}
    return Restored(system, ema, 5, record, spec)


def built(name, spec, **settings):
    experiment: Any = importlib.import_module(f"experiments.{name}")
    return opened(experiment.build(experiment.Config(g_width=4, d_width=4, **settings), spec), spec, name)


def points(latent, module=None):
    """A run of a game on points in the plane."""
    networks = {
        "generator": linen(module or mlp.Generator((2,), (4,), "none", bounded=False), (latent.size,)),
        "discriminator": linen(mlp.Discriminator((4,)), (2,)),
    }
    system = gan(networks, losses.non_saturating(), latent, optax.sgd(0.1))
    return opened(system, Spec((2,), 8, kind=kinds.points))


def loaded(artefact):
    return jax.export.deserialize(artefact.serialize())


def test_an_exported_generator_gives_the_samplers_images_at_every_batch_size():
    run = built("dcgan", IMAGES, latent_size=6)
    artefact = loaded(export.exported(run))
    assert artefact.platforms == ("cpu", "cuda", "tpu")
    values = sample.latents_of(run, 0, 7)
    expected = sample.generate(run, values)
    assert np.std(expected, axis=0).max() > 10 and expected.dtype == np.uint8
    for count in (1, 7):
        made = np.asarray(artefact.call(values[:count]))
        assert made.dtype == np.uint8 and made.shape == (count, 28, 28, 1)
        assert np.abs(made.astype(int) - expected[:count]).max() <= 1


@pytest.mark.slow
def test_an_exported_translator_gives_the_translations():
    run = built("pix2pix", IMAGES._replace(source=(28, 28, 1)))
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    made = np.asarray(loaded(export.exported(run)).call(images))
    expected = translate.translated(run, images)
    assert made.dtype == np.uint8 and np.abs(made.astype(int) - expected).max() <= 1
    with pytest.raises(UserError, match="translates one way only"):
        export.exported(run, backward=True)


GENERATORS = {
    "dcgan 28": (linen(dcgan.Generator((28, 28, 1), 2), (3,)), (3,)),
    "dcgan 32": (linen(dcgan.Generator((32, 32, 1), 2), (3,)), (3,)),
    "residual": (linen(resnet.Generator((32, 32, 1), 2), (3,)), (3,)),
    "mixture": (mixture.generators(linen(dcgan.Generator((28, 28, 1), 2), (3,)), 2), (4,)),
    "boosted": (mixture.boosted(linen(dcgan.Generator((28, 28, 1), 2), (3,)), 2), (4,)),
    "virtual": (with_reference(linen(dcgan.Generator((28, 28, 1), 2, "virtual"), (3,)), jnp.ones((2, 3))), (3,)),
    "unet": (linen(UNet(1, 2, 2), (28, 28, 1)), (28, 28, 1)),
    "translator": (linen(Translator(1, 2, 1), (28, 28, 1)), (28, 28, 1)),
}


SLOW = ("boosted", "dcgan 32", "unet")  # like the others


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in GENERATORS]
)
def test_every_generator_lowers_for_all_platforms_at_any_batch_size(name):
    network, shape = GENERATORS[name]
    params, stats = jax.eval_shape(network.init, rng.key(0))
    (batch,) = jax.export.symbolic_shape("batch")
    inputs = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    apply = jax.jit(lambda p, s, x: network.apply(p, s, x, train=False)[0])
    artefact = jax.export.export(apply, platforms=export.PLATFORMS)(params, stats, inputs)
    assert artefact.out_avals[0].shape[0] == batch
    assert "stablehlo.case" in artefact.mlir_module()  # another transposed convolution on CPUs than elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_exported(name):
    experiment, config = small(name)
    spec = data.load(config.dataset).spec
    run = opened(experiment.build(config, spec), spec, name)
    artefact = export.exported(run)
    (given,), (made,) = artefact.in_avals, artefact.out_avals
    assert str(given.shape[0]) == str(made.shape[0]) == "batch" and made.shape[1:] == spec.shape
    about = export.description(run, artefact)
    assert about["input"]["shape"][1:] == list(given.shape[1:]) and about["output"]["range"] == [0, 255]
    assert run.system.translate or about["input"]["distribution"]


@pytest.mark.parametrize("layer", [Conv(3, 3, 2), Conv(3, 4, 2, resample="none"), ConvTranspose(3, 4, 2)])
def test_derivatives_of_convolutions_lower_for_all_platforms(layer):
    images = jax.ShapeDtypeStruct((2, 8, 8, 2), jnp.float32)
    params = jax.eval_shape(layer.init, rng.key(0), images)

    def loss(params, images):
        return jnp.sum(layer.apply(params, images) ** 2)

    artefact = jax.export.export(jax.jit(jax.grad(loss, (0, 1))), platforms=export.PLATFORMS)(params, images)
    assert [x.shape for x in artefact.out_avals][-1] == images.shape


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(2)(x.reshape(len(x), -1))


def test_a_network_that_needs_the_number_of_its_inputs_is_told_what_to_write():
    with pytest.raises(UserError, match=r"every batch size: the network 'generator', Counting .*x\.shape\[0\] for len"):
        export.exported(points(latents.normal(3), Counting()))


def test_a_description_says_what_goes_in_and_what_comes_out():
    noise = latents.joined(latents.normal(3), label=latents.categorical(4), tilt=latents.uniform(2))
    run = points(noise)
    about = export.description(run, export.exported(run))
    assert about["input"] == {
        "kind": "latent",
        "shape": ["batch", 9],
        "dtype": "float32",
        "distribution": "standard normal in 3 dimensions; label one-hot of 4 classes, uniform; tilt uniform on [-1, 1]",
        "parts": [
            {"name": "label", "start": 3, "size": 4, "classes": 4},
            {"name": "tilt", "start": 7, "size": 2},
        ],
    }
    assert about["output"] == {"kind": "points", "shape": ["batch", 2], "dtype": "float32", "range": None}
    assert about["tensors"]["generator/params/Dense_0/kernel"] == {"shape": [9, 4], "dtype": "float32"}
    named = run._replace(spec=run.spec._replace(class_names=("a", "b", "c", "d")))
    label, tilt = export.description(named, export.exported(named))["input"]["parts"]
    assert label["class_names"] == ["a", "b", "c", "d"] and "class_names" not in tilt
    assert about["step"] == 5 and json.loads(json.dumps(about)) == about
    system, image = run.system, run.spec._replace(kind=kinds.image)
    pixels = run._replace(spec=image, system=system._replace(sample=lambda ema, z: jnp.zeros((*z.shape[:1], 2, 2, 1))))
    output = export.description(pixels, export.exported(pixels))["output"]
    assert output == {"kind": "image", "shape": ["batch", 2, 2, 1], "dtype": "uint8", "range": [0, 255]}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """The folder from which the README's code is run, with a run in it."""
    folder = tmp_path_factory.mktemp("folder")
    train(folder / "runs" / "dcgan-digits")
    return folder


def test_the_readme_loads_what_was_exported_and_the_checkpoint_without_the_package(workdir, monkeypatch):
    monkeypatch.chdir(workdir)
    path = Path("runs/dcgan-digits")
    export.main(path, Checkpoint(), Path("generator"))
    page = (Path(runs.__file__).parent / "README.md").read_text().split("\n## Export\n")[1].split("\n## ")[0]
    shown: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for code in blocks:
        assert "gan_jax" not in code
        exec(code, shown)
    run = runs.open_run(path)
    weights = export.tensors(run)
    assert len(blocks) == 3 and set(load_file("generator.safetensors")) == set(weights) == set(shown["tensors"])
    for name, x in weights.items():
        np.testing.assert_array_equal(shown["tensors"][name], x)
        np.testing.assert_array_equal(shown["averaged"][f"ema/{name}"], x)
    assert shown["state"]["step"] == run.step
    expected = sample.generate(run, jnp.asarray(shown["latents"]))
    np.testing.assert_allclose(shown["images"], expected, rtol=1e-5, atol=1e-6)
    assert shown["about"]["input"]["shape"] == ["batch", 4] and shown["about"]["step"] == run.step


def test_what_cannot_be_exported_is_refused(workdir, tmp_path):
    run = workdir / "runs" / "dcgan-digits"
    with pytest.raises(UserError, match="--backward: this run does not translate"):
        export.main(run, Checkpoint(), tmp_path / "generator", backward=True)
    (tmp_path / "generator.json").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        export.main(run, Checkpoint(), tmp_path / "generator")
    assert [path.name for path in tmp_path.iterdir()] == ["generator.json"]
