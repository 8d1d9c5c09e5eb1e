"""Presets: named configs of the experiments, with the settings of papers and their code."""

import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import jax
import pytest

import experiments
from gan_jax import cli, sweep
from gan_jax.cli import options
from gan_jax.data import Spec, names
from gan_jax.errors import UserError

MODULES: list[Any] = [
    importlib.import_module(f"experiments.{m.name}") for m in pkgutil.iter_modules(experiments.__path__)
]
BY_MODULE: dict[Any, Any] = {module: module.PRESETS for module in MODULES if hasattr(module, "PRESETS")}
PRESETS = [(module, name) for module, each in BY_MODULE.items() for name in each]
SHAPES = {
    "cifar10": (32, 3),
    "mnist": (28, 1),
    "digits": (28, 1),
    "stacked_mnist": (28, 3),
    "stacked_digits": (28, 3),
}  # side, channels


def spec_of(config) -> Spec:
    """The spec of a preset's data, without the data."""
    task, _, base = names.parsed(config.dataset)
    side, channels = SHAPES.get(base, (config.resolution, 3))
    shape = (config.resolution or side, config.resolution or side, channels)
    source = shape if task and task != "few" else None
    return Spec(shape, 10, source, unpaired=task == "unpaired", few_labels=task == "few")


def test_every_preset_is_a_config_that_builds_a_system():
    for module, name in PRESETS:
        config = module.PRESETS[name]
        assert type(config) is module.Config and config.run.workdir is None and config.seed == 0
        module.build(config, spec_of(config))


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), PRESETS, ids=[f"{m.__name__[12:]}-{name}" for m, name in PRESETS])
def test_every_preset_builds_networks_for_its_images(module, name):
    config = module.PRESETS[name]
    spec = spec_of(config)
    system = module.build(config, spec)
    state = jax.eval_shape(system.init, jax.random.key(0))
    if system.sample is not None:
        latents = jax.ShapeDtypeStruct((2, system.latent.size), "float32")
        assert jax.eval_shape(system.sample, state.ema, latents).shape == (2, *spec.shape)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), PRESETS, ids=[f"{m.__name__[12:]}-{name}" for m, name in PRESETS])
def test_every_preset_trains_abstractly(module, name):
    config = module.PRESETS[name]
    spec = spec_of(config)
    system = module.build(config, spec)
    lead = (config.batch_size,) if system.batches == 1 else (system.batches, config.batch_size)
    batch = {"image": jax.ShapeDtypeStruct((*lead, *spec.shape), "float32")}
    batch["label"] = jax.ShapeDtypeStruct(lead, "int32")
    if spec.source:
        batch["source"] = jax.ShapeDtypeStruct((*lead, *spec.source), "float32")
    if spec.few_labels:
        batch |= {"few_image": batch["image"], "few_label": jax.ShapeDtypeStruct(lead, "int32")}
    state = jax.eval_shape(system.init, jax.random.key(0))
    after, _ = jax.eval_shape(system.update, state, batch, jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)


def test_the_presets_that_docstrings_and_readmes_name_exist():
    for module in MODULES:
        named = re.findall(r"--preset ([\w-]+)", module.__doc__ or "")
        assert set(named) <= set(getattr(module, "PRESETS", {})), module.__name__
        assert set(getattr(module, "PRESETS", {})) <= set(named), f"{module.__name__} does not say what a preset is"
    root = Path(__file__).parent.parent
    for page in (
        root / "README.md",
        *(root / "gan_jax").rglob("README.md"),
        *(root / "experiments").rglob("README.md"),
    ):
        for name, preset in re.findall(r"experiments\.(\w+)[^\n]* --preset ([\w-]+)", page.read_text()):
            assert preset in importlib.import_module(f"experiments.{name}").PRESETS, page


def counts(name, preset):
    """Numbers of parameters of both networks."""
    experiment = importlib.import_module(f"experiments.{name}")
    config = experiment.PRESETS[preset]
    params = jax.eval_shape(experiment.build(config, spec_of(config)).init, jax.random.key(0)).params
    return [sum(x.size for x in jax.tree.leaves(params[player])) for player in ("generator", "discriminator")]


def conv(size, inputs, outputs, bias=True):
    return size * size * inputs * outputs + bias * outputs


@pytest.mark.parametrize(("name", "width"), [("sngan", 256), ("wgan_gp", 128)])
def test_residual_networks_have_as_many_parameters_as_in_the_authors_code(name, width):
    # sngan_projection: gen_models/resnet_32.py, dis_models/snresnet_32.py, whose last layer alone has no bias;
    # improved_wgan_training: gan_cifar_resnet.py
    norm = 2 * width
    up = 2 * norm + 2 * conv(3, width, width) + conv(1, width, width)
    g = 128 * 16 * width + 16 * width + 3 * up + norm + conv(3, width, 3)
    plain = 2 * conv(3, 128, 128)
    first = conv(3, 3, 128) + conv(3, 128, 128) + conv(1, 3, 128)
    d = first + plain + conv(1, 128, 128) + 2 * plain + 128 + 1
    assert counts(name, "paper-cifar10") == [g, d]


def test_wgans_networks_have_the_parameters_of_the_authors_code_and_the_biases_that_the_docstring_names():
    # WassersteinGAN: models/dcgan.py, without any bias
    maps = [(512, 256), (256, 128), (128, 64)]
    inner = sum(conv(4, a, b, bias=False) for a, b in maps)
    g = conv(4, 100, 512, bias=False) + 2 * 512 + inner + 2 * (256 + 128 + 64) + conv(4, 64, 3, bias=False)
    d = conv(4, 3, 64, bias=False) + inner + 2 * (128 + 256 + 512) + conv(4, 512, 1, bias=False)
    assert counts("wgan", "lsun64") == [g + 3, d + 64 + 1]


def test_flags_override_the_preset_in_any_order():
    wgan_gp = importlib.import_module("experiments.wgan_gp")
    paper = wgan_gp.PRESETS["paper-cifar10"]
    words = "--steps 7 --preset=paper-cifar10 --g-width 8 --latent normal"
    expected = dataclasses.replace(paper, g_width=8, run=dataclasses.replace(paper.run, steps=7))
    for line in (words, "--preset paper-cifar10 --latent normal --g_width=8 --steps 7"):
        assert cli.parsed(wgan_gp.Config, line.split(), "x", presets=wgan_gp.PRESETS) == expected
    assert cli.parsed(wgan_gp.Config, [], "x", presets=wgan_gp.PRESETS) == wgan_gp.Config()
    with pytest.raises(UserError, match=r"--preset cifar: there is no such preset; give one of paper-cifar10"):
        cli.parsed(wgan_gp.Config, ["--preset", "cifar"], "x", presets=wgan_gp.PRESETS)


def test_the_flags_that_help_shows_for_a_preset_make_it():
    for module, name in PRESETS:
        words = " ".join(options._flags(module.PRESETS[name], module.Config())).split()
        assert cli.parsed(module.Config, words, "x") == module.PRESETS[name], (module.__name__, name)


def test_an_experiment_without_presets_says_so():
    fastgan = importlib.import_module("experiments.fastgan")
    with pytest.raises(UserError, match=r"--preset small: experiments.fastgan has no presets"):
        cli.parsed(fastgan.Config, ["--preset", "small"], "python -m experiments.fastgan")


def test_help_lists_the_presets_and_shows_the_values_of_one(monkeypatch, capsys):
    wgan = importlib.import_module("experiments.wgan")
    monkeypatch.setenv("COLUMNS", "100")
    for words, default in (([], 0.0005), (["--preset", "lsun64"], 5e-05)):
        with pytest.raises(SystemExit):
            cli.cli(wgan.main, "WGAN.", [*words, "--help"], wgan.PRESETS)
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert "--preset NAME" in text and re.search(r"lsun64 --dataset \S+ .*--batch-size 64", text)
        assert re.search(rf"--g-learning-rate FLOAT .*?\(default: {default}\)", text)


def test_a_sweep_goes_over_presets_and_from_one(tmp_path):
    words = ["--preset", "paper-cifar10", "--seed", "0", "1"]
    members = sweep.planned("experiments.sngan", words, tmp_path)
    paper = importlib.import_module("experiments.sngan").PRESETS["paper-cifar10"]
    assert [member.config.seed for member in members] == [0, 1]
    for member in members:
        assert "--preset" in member.command and dataclasses.replace(member.config, seed=0, run=paper.run) == paper
