import ast
import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import double, few

import experiments
from gan_jax import baseline, data, game, loop, rng, rules, runs, sample, translate
from gan_jax.data.sources import stacked
from gan_jax.devices import parallel

ROOT = Path(__file__).parent.parent
MODULES = [importlib.import_module(f"experiments.{m.name}") for m in pkgutil.iter_modules(experiments.__path__)]
NAMES = [module.__name__.split(".")[1] for module in MODULES if hasattr(module, "Config") and hasattr(module, "build")]


def small(name, **settings) -> tuple[Any, Any]:
    """An experiment, and a config of it with narrow networks."""
    experiment: Any = importlib.import_module(f"experiments.{name}")
    config: Any = experiment.Config
    widths = {"g_width": 4, "d_width": 4} if issubclass(config, baseline.Widths) else {}
    growth = {"stable_images": 0, "fading_images": 32} if name == "progan" else {}  # fades from the first step on
    return experiment, experiment.Config(batch_size=8, **widths, **growth, **settings)


def recording(config):
    """A config of the same class and values, and the set to which the names of its fields are added when read."""
    read, names = set(), {field.name for field in dataclasses.fields(config)}

    class Recording(type(config)):
        def __getattribute__(self, name):
            read.update({name} & names)
            return super().__getattribute__(name)

    return Recording(**{name: getattr(config, name) for name in names}), read


LOOP = {"dataset", "resolution", "batch_size", "seed", "run"}  # read by `baseline.train` and `loop.run`


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_keeps_the_form_of_its_state_and_uses_all_settings(name):
    experiment, config = small(name)
    config, read = recording(config)
    dataset = data.load(config.dataset)
    system = experiment.build(config, dataset.spec)
    lead = (system.batches, config.batch_size)[system.batches == 1 :]
    batch = {
        name: jax.ShapeDtypeStruct((*lead, *x.shape[1:]), "float32" if x.dtype == np.uint8 else x.dtype)
        for name, x in dataset.arrays.items()
    }
    state = jax.eval_shape(system.init, rng.key(0))
    after, metrics = jax.eval_shape(system.update, state, batch, rng.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics and all(x.shape == () for x in metrics.values())
    unused = {field.name for field in dataclasses.fields(config)} - read - LOOP
    assert not unused, "these flags change nothing"

    spec, examples = dataset.spec, jax.ShapeDtypeStruct((5, *dataset.spec.shape), "float32")
    if system.translate:
        sources = jax.ShapeDtypeStruct((5, *(spec.source or ())), "float32")
        assert jax.eval_shape(system.translate, state.ema, sources).shape == examples.shape
    else:
        latent, generate = game.sampler(system)
        latents = jax.ShapeDtypeStruct((5, latent.size), "float32")
        assert jax.eval_shape(generate, state.ema, latents).shape == examples.shape
    if system.encode:
        assert jax.eval_shape(system.encode, state.ema, examples).shape == (5, system.latent.size)
    if system.translate_back:
        assert jax.eval_shape(system.translate_back, state.ema, examples).shape == (5, *(spec.source or ()))


@pytest.mark.parametrize("name", few(NAMES, "dcgan"))
def test_every_experiment_runs_two_steps_and_is_sampled(name, tmp_path, monkeypatch):
    monkeypatch.setattr(stacked, "TESTED", 1_000)
    experiment, config = small(name, run=loop.Run(steps=2, workdir=tmp_path, devices=1))
    experiment.main(config)
    opened = runs.open_run(tmp_path)
    if "source" in opened.record["data"]:
        sources = runs.dataset(opened, "test").arrays["source"][:3]
        images = translate.translated(opened, sources)
        assert images.shape == (3, *opened.record["data"]["shape"]) and len(np.unique(images, axis=0)) == 3
        return
    images = sample.samples(opened, seed=0, count=3)
    assert images.shape == (3, *opened.record["data"]["shape"]) and images.dtype == np.uint8
    # before rounding: after two steps the contrast may still be below a 256th
    raw = jax.jit(game.sampler(opened.system)[1])(opened.ema, sample.latents_of(opened, 0, 3))
    assert np.ptp(raw, axis=0).max() > 0, "all latents give one image"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_goes_on_as_though_never_stopped(name, tmp_path, monkeypatch):
    monkeypatch.setattr(stacked, "TESTED", 1_000)
    states = []
    for parts, directory in (((4,), tmp_path / "whole"), ((1, 4), tmp_path / "parts")):
        for steps in parts:
            run = loop.Run(steps=steps, steps_per_call=3, log_every=1, workdir=directory, devices=1)
            experiment, config = small(name, run=run)
            experiment.main(config)
        states.append(runs.restore_state(runs.open_run(directory), directory))
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_experiment_depends_on_the_number_of_devices(name):
    # float64, where only rounding is below the tolerance, and far below Adam's epsilon
    experiment, config = small(name)
    dataset = data.load(config.dataset)
    with jax.enable_x64(True):
        system = experiment.build(config, dataset.spec)
        few = {name: array[:64] for name, array in dataset.arrays.items()}
        arrays = {n: jnp.asarray(x / 127.5 - 1 if x.dtype == np.uint8 else x) for n, x in few.items()}
        draw = data.batches(64, config.batch_size, system.batches, dataset.apart)
        many = rules.many(system.update, draw, 3)
        key = jax.random.key(3)
        found = []
        for devices in (jax.devices()[:1], jax.devices()[:4]):
            way = parallel.single(many) if len(devices) == 1 else parallel.pmapped(many, devices)
            state = double(jax.jit(system.init)(key))
            found.append(way(*parallel.replicate((state, arrays, key), devices), 3))
        parallel.assert_replicated(found[1])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), *found)


SIDES = [(28, "batch"), (48, "spectral"), (64, "layer"), (28, "none")]


@pytest.mark.parametrize("case", few(SIDES, (48, "spectral")), ids=str)
def test_dcgan_fits_its_images(case):
    side, d_norm = case
    dcgan = importlib.import_module("experiments.dcgan")
    spec = data.Spec((side, side, 3), 0)
    system = dcgan.build(dcgan.Config(g_width=8, d_width=8, latent_size=5, d_norm=d_norm), spec)
    state = jax.eval_shape(system.init, jax.random.key(0))
    images = jax.eval_shape(system.sample, state.ema, jax.ShapeDtypeStruct((2, 5), "float32"))
    assert images.shape == (2, side, side, 3)
    batch = {"image": images}
    after, metrics = jax.eval_shape(system.update, state, batch, jax.random.key(0))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert metrics["discriminator/loss"].shape == ()


@pytest.mark.parametrize("name", NAMES)
def test_configs_say_what_their_fields_are(name):
    experiment = importlib.import_module(f"experiments.{name}")
    assert {"dataset", "batch_size", "seed", "run"} <= {f.name for f in dataclasses.fields(experiment.Config)}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_about_a_page(name):
    text = (ROOT / "experiments" / f"{name}.py").read_text()
    apart = [node for node in ast.parse(text).body if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign)]
    lines = len(text.splitlines()) - sum((node.end_lineno or 0) - node.lineno + 1 for node in apart)  # no presets
    limits = {"mix_gan": 90, "adagan": 100, "cyclegan": 100, "progan": 80, "r3gan": 110, "stylegan2": 115}
    assert lines <= limits.get(name, 68)


def test_the_engine_names_no_system():
    parts = ["devices/parallel.py", "game/objectives.py"]
    parts += [
        path.relative_to(ROOT / "gan_jax").as_posix()
        for room in ("rules", "loop", "runs/checkpoint")
        for path in (ROOT / "gan_jax" / room).glob("*.py")
    ]
    systems = ["cgan", "acgan", "infogan", "ssgan", "bigan", "vae", "pix2pix", "cyclegan"]
    for part in parts:
        text = (ROOT / "gan_jax" / part).read_text().lower()
        assert not [name for name in systems if name in text], part
