"""Conversion of published weights: what is converted is sampled; what does not fit is named; no pickle is executed."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from gan_jax import convert, runs, sample, trees
from gan_jax.convert import r3gan
from gan_jax.errors import UserError

torch = pytest.importorskip("torch")
import torch_r3gan  # noqa: E402  needs torch
import torch_stylegan2  # noqa: E402

README = Path(convert.__file__).with_name("README.md")


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    return torch_r3gan.pair(4, [8, 4], [2, 1], [1, 1], 2)


@pytest.fixture(scope="module")
def tensors(pair):
    return torch_r3gan.tensors(*pair)


def test_a_published_pickle_becomes_a_run_by_the_recipe(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("network.pkl").write_bytes(pickle.dumps({"G": pair[0], "D": pair[1], "G_ema": pair[0]}))
    (recipe,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(recipe, {})
    assert "R3GAN" in README.read_text()
    said = convert.convert(Path("network.npz"), Path("run"))
    assert said == "run: r3gan for images of 8 pixels, generator and discriminator from network.npz"
    run = runs.open_run(Path("run"))
    assert run.step == 0 and run.spec.shape == (8, 8, 3) and run.record["parent"]["path"].endswith("network.npz")
    latents = sample.latents_of(run, 0, 2)
    with torch.no_grad():
        images = pair[0](torch.tensor(np.asarray(latents))).numpy().transpose(0, 2, 3, 1)
    expected = np.round((np.clip(images, -1, 1) + 1) * 127.5)
    assert np.abs(sample.samples(run, 0, 2) - expected).max() <= 1
    state = runs.restore_state(run, Path("run"))
    converted = r3gan.networks(torch_r3gan.tensors(*pair))[1]
    for name in ("generator", "discriminator"):
        kernel = converted[name][0]["block_8_0"]["Conv_1"]["kernel"]
        np.testing.assert_array_equal(state.params[name]["block_8_0"]["Conv_1"]["kernel"], kernel)
    with pytest.raises(UserError, match=r"--out run: the directory has files; give a new one"):
        convert.convert(Path("network.npz"), Path("run"))


def test_a_generator_alone_is_enough_and_the_discriminator_is_fresh(tensors, tmp_path):
    alone = {name: x for name, x in tensors.items() if name.startswith("G_ema.")}
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(x) for name, x in alone.items()}, tmp_path / "g.safetensors"
    )
    said = convert.convert(tmp_path / "g.safetensors", tmp_path / "run")
    assert said.endswith("generator from g.safetensors")
    state = runs.restore_state(runs.open_run(tmp_path / "run"), tmp_path / "run")
    assert not np.any(state.params["discriminator"]["block_8_0"]["Conv_2"]["kernel"]), "as at first"


@pytest.mark.slow
def test_a_conditional_stylegan2_is_recognised_and_sampled(tmp_path):
    sizes = {"side": 8, "base": 64, "most": 8}
    shapes = {"G_ema.": torch_stylegan2.generator_shapes(latent=4, width=6, depth=2, classes=3, **sizes)}
    random = np.random.default_rng(0)
    made = {p + n: random.normal(size=s).astype(np.float32) for p, of in shapes.items() for n, s in of.items()}
    np.savez(tmp_path / "s.npz", **made)  # pyright: ignore[reportArgumentType]
    assert "stylegan2 for images of 8 pixels" in convert.convert(tmp_path / "s.npz", tmp_path / "run")
    run = runs.open_run(tmp_path / "run")
    assert run.spec.classes == 3 and sample.samples(run, 0, 2).shape == (2, 8, 8, 3)
    stats = trees.flat(runs.restore_state(run, tmp_path / "run").stats["generator"])
    (mean,) = (value for path, value in stats.items() if path.endswith("mean"))
    np.testing.assert_array_equal(mean, made["G_ema.mapping.w_avg"])


LAST = "Model.AggregationLayer.Layer.weight"


STYLES = {
    "G_ema.mapping.w_avg": (6,),
    "G_ema.mapping.fc0.weight": (6, 4),
    "G_ema.synthesis.b4.conv1.weight": (8, 8, 3, 3),
    "G_ema.synthesis.b4.torgb.weight": (3, 8, 1, 1),
}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (STYLES, "the generator has blocks for maps of side 4, instead of 4, 8, 16"),
        (STYLES | {"G_ema.synthesis.b32.conv1.weight": (8, 8, 3, 3)}, "blocks for maps of side 4, 32, instead of"),
        ({"G_ema.synthesis.b8.conv1.weight": (8, 8, 3, 3)}, r"generator are missing: G_ema.mapping.w_avg, .*b4"),
        ({"D.b8.conv0.weight": (8, 8, 3, 3)}, r"generator are missing: G_ema.mapping.w_avg"),
        ({"D.Model.MainLayers.0.Layers.0.LinearLayer1.Layer.weight": (8, 8, 1, 1)}, "generator are missing: G_ema.Mod"),
        ({"generator.conv.weight": (8, 8, 3, 3)}, "to neither r3gan nor stylegan2: they are named like generator.conv"),
        ({}, "there are none; gan_jax/convert/README.md has a recipe"),
    ],
)
def test_what_a_file_lacks_is_named_with_the_file_and_without_flags_that_do_not_exist(tmp_path, shapes, message):
    file = tmp_path / "x.npz"
    np.savez(file, **{name: np.ones(shape) for name, shape in shapes.items()})  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=rf"^{file}: .*{message}") as error:
        convert.convert(file, tmp_path / "run")
    assert "--" not in str(error.value)


def test_a_generator_of_one_stage_is_refused(tensors, tmp_path):
    one = {n: x for n, x in tensors.items() if n.startswith("G_ema") and not re.search(r"MainLayers\.[1-9]", n)}
    np.savez(tmp_path / "x.npz", **one)
    with pytest.raises(UserError, match=r"x.npz: the generator has maps of side 4, instead of 4, 8, 16"):
        convert.convert(tmp_path / "x.npz", tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.pop("G_ema.Model.MainLayers.1.Layers.1.NonLinearity2.Bias"), "missing: G_ema.*NonLinearity2.Bias"),
        (lambda x: x.pop("D.Model.ExtractionLayer.Layer.weight"), "missing: D.Model.Extraction"),
        (
            lambda x: x.pop(f"G_ema.{LAST}"),
            "generator are missing: .*AggregationLayer.Layer.weight; give its whole state dict",
        ),
        (lambda x: x.update({"D.Model.Extra.weight": np.ones(3)}), "superfluous: D.Model.Extra.weight"),
        (lambda x: x.update({"G.Model.Extra": np.ones(3)}), "G.Model.Extra belong to no network"),
        (lambda x: x.update({f"G_ema.{LAST}": np.ones((3, 5, 1, 1))}), r"wrong shape: G_ema.*\(3, 5, 1, 1\)"),
        (
            lambda x: x.update({"D.Model.MainLayers.0.Layers.1.Resampler.Kernel": np.ones((4, 4)) / 16}),
            r"Resampler.Kernel is not the filter \[1, 3, 3, 1\]",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(tensors, change, message):
    changed = dict(tensors)
    change(changed)
    with pytest.raises(UserError, match=message):
        r3gan.networks(changed)


class Executed:
    """Raises if it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_other_files_are_refused_and_nothing_in_them_is_executed(tensors, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Executed()))
    (tmp_path / "renamed.npz").write_bytes(pickle.dumps(Executed()))
    (tmp_path / "renamed.safetensors").write_bytes(pickle.dumps(Executed()))
    np.savez(tmp_path / "objects.npz", x=np.array([Executed()], dtype=object))
    np.savez(tmp_path / "others.npz", **{"conv1.weight": np.ones(3)})  # pyright: ignore[reportArgumentType]
    alone = {name.removeprefix("G_ema."): tensor for name, tensor in tensors.items() if name.startswith("G_ema.")}
    np.savez(tmp_path / "alone.npz", **alone)
    for name, message in {
        "a.pkl": "give a .npz or .safetensors file of the state dict; gan_jax/convert/README.md has a recipe",
        "renamed.npz": "this is no .npz file of plain tensors",
        "renamed.safetensors": "this is no .safetensors file of plain tensors",
        "objects.npz": "this is no .npz file of plain tensors",
        "others.npz": "they are named like conv1.weight",
        "alone.npz": r"named like Model\.\S+, without a prefix for their network; begin the names of the generator's ",
    }.items():
        with pytest.raises(UserError, match=message):
            convert.convert(tmp_path / name, tmp_path / "run")
    np.savez(tmp_path / "right.npz", **tensors)
    with pytest.raises(UserError, match=r"--dataset digits: its images have shape \(8, 8, 1\)"):
        convert.convert(tmp_path / "right.npz", tmp_path / "run", "digits")
    assert not (tmp_path / "run").exists()
