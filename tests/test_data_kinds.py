"""Kinds of examples: each is scaled there and back, drawn and written; and so is one that only this file knows."""

import base64
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import gan

from gan_jax import data, latents, loop, losses, pictures, runs, sample
from gan_jax.data import kinds
from gan_jax.data.dataset import dataset
from gan_jax.data.kinds import Kind
from gan_jax.data.kinds.find import BUILT_IN
from gan_jax.errors import UserError
from gan_jax.loop import rehearsal
from gan_jax.metrics import scoring
from gan_jax.metrics.scorer import Origin, of_system, scorer
from gan_jax.networks import linen, mlp
from gan_jax.sample import __main__ as command
from gan_jax.sample.requests import Draw, Shared

waveform = Kind(
    name="test_data_kinds:waveform",
    noun="waveforms",
    form="int16 [L]",
    fits=lambda shape, dtype: len(shape) == 1 and dtype == np.int16,
    to_network=lambda x: jnp.asarray(x).astype(jnp.float32) / 32768,
    from_network=lambda x: jnp.clip(jnp.round(32768 * x), -32768, 32767).astype(jnp.int16),
    shown=6,
)
text = kinds.text("test_data_kinds:text", "abcdefgh")
KINDS = {**BUILT_IN, "waveform": waveform, "text": text}
DRAW = np.random.default_rng(0)


def bits(*shape):
    return DRAW.integers(0, 2, shape, np.uint8)


EXAMPLES = {
    "image": np.tile(np.arange(256, dtype=np.uint8), 7).reshape(7, 16, 16, 1),
    "points": DRAW.normal(size=(7, 2)).astype(np.float32),
    "video": DRAW.integers(0, 256, (7, 5, 8, 6, 3), np.uint8),
    "tokens": DRAW.integers(0, 8, (7, 12), np.int32),
    "text": DRAW.integers(0, 8, (7, 12), np.int32),
    "piano_roll": bits(7, 16, 10, 2),
    "voxels": bits(7, 4, 6, 5),
    "vector": DRAW.normal(size=(7, 9)).astype(np.float32),
    "waveform": np.linspace(-32768, 32767, 7 * 64).round().astype(np.int16).reshape(7, 64),
}
SHEETS = {  # of 7 examples, 4 in a row; cells with 2 pixels around each
    "image": (2 * 18 + 2, 4 * 18 + 2, 3),
    "points": (480, 480, 3),
    "video": (5, 2 * 10 + 2, 4 * 8 + 2, 3),
    "piano_roll": (2 * (2 * 10 + 2) + 2, 4 * 18 + 2, 3),  # one track below the other
    "voxels": (2 * 8 + 2, 4 * 7 + 2, 3),
    "vector": (2 * 66 + 2, 4 * 130 + 2, 3),
    "waveform": (2 * 66 + 2, 4 * 130 + 2, 3),
}


@pytest.mark.parametrize("name", KINDS)
def test_scaling_there_and_back_is_the_identity(name):
    kind, examples = KINDS[name], EXAMPLES[name]
    kind.require("examples", examples)
    seen = jax.jit(kind.to_network)(examples)
    logits = jax.nn.one_hot(seen, 8) if seen.dtype == jnp.int32 else seen
    assert logits.dtype == jnp.float32
    back = jax.jit(kind.from_network)(logits)
    assert back.dtype == examples.dtype
    np.testing.assert_array_equal(back, examples)


@pytest.mark.parametrize("name", ["image", "video", "piano_roll", "voxels"])
def test_networks_see_the_extremes_at_minus_1_and_1_and_what_diverged_is_stored(name):
    kind, examples = KINDS[name], EXAMPLES[name]
    seen = np.asarray(kind.to_network(examples))
    assert (seen.min(), seen.max()) == (-1, 1)
    np.testing.assert_array_equal(kind.from_network(1000 * seen), kind.from_network(np.sign(seen)))
    assert np.asarray(kind.from_network(np.full_like(seen, np.nan))).max() <= 128


@pytest.mark.parametrize("name", KINDS)
def test_sheets(name):
    picture = KINDS[name].sheet(EXAMPLES[name], 4)
    assert picture.dtype == np.uint8 and picture.shape[-1] == 3
    if name in SHEETS:
        assert picture.shape == SHEETS[name]


def test_a_roll_has_time_to_the_right_and_pitch_upward_and_voxels_are_lighter_where_nearer():
    roll = np.zeros((1, 6, 4), np.uint8)
    roll[0, 5, 3] = 1  # the last moment, the highest pitch
    assert np.argwhere(kinds.piano_roll.sheet(roll)[..., 0]).tolist() == [[0, 5]]
    blocks = np.zeros((1, 3, 1, 3), np.uint8)
    blocks[0, 2, 0, 0] = blocks[0, 0, 0, 1] = blocks[0, 2, 0, 1] = 1
    far, near, empty = kinds.voxels.sheet(blocks)[0, :, 0]
    assert empty == 0 < far < near == 255


def test_lines_share_the_scale_of_real_examples():
    real, flat = np.array([[-1, 3]], np.float32), np.array([[3, 3], [-1, -1], [9, 9]], np.float32)
    picture = kinds.vector.sheet(flat, 1, real)
    top, bottom, beyond = (np.flatnonzero(picture[2 + 66 * i : 66 + 66 * i, 60, 0] == 255) for i in range(3))
    assert top.tolist() == beyond.tolist() == [2] and bottom.tolist() == [61]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_is_read_back(name, tmp_path):
    kind, example = KINDS[name], EXAMPLES[name][0]
    path = kind.write(tmp_path / "new" / "0.5", example)
    assert path.name.startswith("0.5.")
    if path.suffix == ".npy":
        found = np.load(path)
    elif path.suffix == ".txt":
        (line,) = path.read_text().splitlines()
        found = line.split() if name == "tokens" else ["abcdefgh".index(letter) for letter in line]
        found = np.asarray(found, np.int32)
    else:
        found = pictures.load_png(path)[..., : example.shape[-1] if name == "image" else 1]
        if name == "piano_roll":
            found = np.stack([track[::-1, :, 0].T // 255 for track in np.split(found, 2)], axis=-1)
    np.testing.assert_array_equal(found, example)


@pytest.mark.parametrize("name", KINDS)
def test_a_data_set_holds_examples_of_its_kind_and_batches_scale_them(name):
    kind, examples = KINDS[name], EXAMPLES[name]
    label = np.arange(7)
    found = dataset("some", "train", examples, label, 7, {"source": examples}, kind=kind)
    assert found.spec.kind is kind and found.spec.shape == examples.shape[1:]
    draw = data.batches(7, 7, kind=kind)
    batch = draw(jax.tree.map(jnp.asarray, found.arrays), jax.random.key(0), jnp.int32(0))
    np.testing.assert_array_equal(batch["image"], np.asarray(kind.to_network(examples))[batch["label"]])
    np.testing.assert_array_equal(batch["source"], batch["image"])
    with pytest.raises(UserError, match=rf"some.*float64.*{kind.noun} must be {re.escape(kind.form)}"):
        dataset("some", "train", np.zeros((7, 3, 3), np.float64), kind=kind)


def test_kinds_are_found_by_name_and_code_of_others_only_if_trusted(tmp_path, monkeypatch):
    assert all(kinds.find(name, safe=True) is kind for name, kind in BUILT_IN.items())
    assert kinds.find("test_data_kinds:waveform").noun == "waveforms"
    assert kinds.find("own:waveform", safe=True, loaded={"own": sys.modules[__name__]}) is waveform
    for name, safe, message in (
        ("test_data_kinds:waveform", True, "--safe.*test_data_kinds:waveform"),
        ("test_data_kinds:nothing", False, "no attribute 'nothing'"),
        ("no_such_module:kind", False, "No module named 'no_such_module'.*PYTHONPATH"),
        ("test_data_kinds:DRAW", False, "is a Generator"),
        ("hologram", False, "give 'module:attribute', or one of image"),
    ):
        with pytest.raises(UserError, match=message):
            kinds.find(name, safe)
    shapes = {(28, 28, 1): "image", (2,): "points"}
    assert {shape: kinds.of_record({"shape": list(shape)}) for shape in shapes} == shapes  # older records name none
    assert kinds.of_record({"shape": [8, 8, 8], "kind": "voxels"}) == "voxels"
    assert all(kinds.find(kinds.to_record(kind)) == kind for kind in BUILT_IN.values())
    assert kinds.to_record(waveform) == waveform.name
    for kind, message in (
        (waveform._replace(name="wave"), "'module:attribute'"),
        (text._replace(name="tokens"), "differs"),
    ):
        with pytest.raises(UserError, match=message):
            kinds.to_record(kind)
    with pytest.raises(UserError, match=r"abca.*twice"):
        kinds.text("some:text", "abca")


@dataclass(frozen=True)
class Config:
    batch_size: int = 8
    seed: int = 0
    run: loop.Run = field(default_factory=lambda: loop.Run(2, sample_every=1, save_every=2, devices=1))


def build(config, spec):
    """A GAN of small fully connected networks on waveforms."""
    latent = latents.normal(3)
    networks = {
        "generator": linen(mlp.Generator(spec.shape, (8,), norm="none"), (3,)),
        "discriminator": linen(mlp.Discriminator((8,)), spec.shape),
    }
    return gan(networks, losses.non_saturating(), latent, optax.adam(1e-3))


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """A data set of waveforms, and the directory of a run of two steps on it."""
    found = dataset("waves", "train", np.tile(EXAMPLES["waveform"], (5, 1)), kind=waveform)
    workdir = tmp_path_factory.mktemp("waves") / "run"
    loop.run(build, found, Config(run=loop.Run(2, workdir, sample_every=1, save_every=2, devices=1)))
    return found, workdir


def test_a_kind_of_ones_own_is_trained_on_reopened_and_sampled(waves, tmp_path):
    _, workdir = waves
    opened = runs.open_run(workdir)
    assert opened.record["data"]["kind"] == "test_data_kinds:waveform" and opened.spec.kind.noun == "waveforms"
    made = sample.samples(opened, 0, 5)
    assert made.dtype == np.int16 and made.shape == (5, 64)
    np.testing.assert_array_equal(made, sample.samples(opened, 0, 7)[:5])
    command.grid(workdir, Shared(out=tmp_path / "grid.png"), Draw(5))
    np.testing.assert_array_equal(pictures.load_png(tmp_path / "grid.png"), waveform.sheet(made))
    command.files(workdir, Shared(out=tmp_path / "each"), Draw(5))
    written = [np.load(path) for path in sorted((tmp_path / "each").glob("*.npy"))]
    np.testing.assert_array_equal(written, made)


def test_the_samples_of_a_run_are_drawn_by_its_kind_and_shown_in_its_report(waves):
    _, workdir = waves
    paths = list(pictures.by_step(workdir / "samples").values())
    assert len(paths) == 3 and (workdir / "animation.gif").exists()
    assert pictures.load_png(paths[-1]).shape == (2 * 66 + 2, 3 * 130 + 2, 3)  # 6 of them
    page = (workdir / "report.html").read_text()
    assert base64.b64encode(paths[-1].read_bytes()).decode() in page and "gan_jax.explore" not in page


def test_a_kind_of_ones_own_is_scored_by_its_values_and_not_by_networks_for_images(waves):
    found, workdir = waves
    opened = runs.open_run(workdir)
    judge = scoring.planned(None, found.name, found.spec).load()
    assert (judge.name, judge.size) == ("waveforms", 64)
    score = scorer(judge, ["kid"], found)
    (floor,) = score.examples(found.arrays["image"], Origin("the data"))
    assert floor.value < of_system(score, opened.system, 35)(opened.ema, "averaged", 2)[0].value
    for features in ("classifier", "inception"):
        with pytest.raises(UserError, match=f"features='{features}' needs images, but waves has waveforms"):
            scoring.planned(features, found.name, found.spec)


def test_a_generator_of_tokens_returns_logits():
    latent, spec = latents.normal(3), data.Spec((12,), 0, kind=kinds.tokens)
    networks = {
        "generator": linen(mlp.Generator((12, 8), (4,), norm="none", bounded=False), (3,)),
        "discriminator": linen(mlp.Discriminator((4,)), (12, 8)),
    }
    game = gan(networks, losses.non_saturating(), latent, optax.sgd(0.1))
    rehearsal.state(game, spec)
    with pytest.raises(UserError, match=r"examples of shape \(12,\), but the data have \(13,\)"):
        rehearsal.state(game, spec._replace(shape=(13,)))


def test_the_kind_that_the_readme_shows_is_one():
    page = (Path(data.__file__).parent / "README.md").read_text()
    (code,) = re.findall(r"```python\n# waveforms.py\n(.*?)```", page, re.DOTALL)
    shown: dict = {}
    exec(code, shown)
    kind, examples = shown["waveform"], EXAMPLES["waveform"]
    assert dataset("beeps", "train", examples, kind=kind).spec.kind.name == "waveforms:waveform"
    np.testing.assert_array_equal(kind.from_network(kind.to_network(examples)), examples)
