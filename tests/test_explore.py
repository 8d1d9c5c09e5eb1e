"""Explorations are of the checkpoint and the data that the run says, and what moves in them moves smoothly."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import dcgan
from gan_jax import data, pictures, runs, sample
from gan_jax.data import kinds
from gan_jax.errors import UserError
from gan_jax.explore import __main__ as command
from gan_jax.explore import filters, views
from gan_jax.explore.__main__ import Compared, Data, Shared
from gan_jax.runs import checkpoint, figures, records


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run on a folder of digits, the files in the order of their classes; of weights drawn large enough to show."""
    digits, folder = data.load("digits").arrays, tmp_path_factory.mktemp("digits")
    for i, label in enumerate(digits["label"][:200]):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(digits["image"][i, :, :, 0]).save(folder / str(label) / f"{i}.png")
    config = dcgan.Config(dataset=str(folder), g_width=4, d_width=4, latent_size=6)
    dataset, workdir = data.load(config.dataset), tmp_path_factory.mktemp("run")
    record = records.describe(dcgan.build, dataset, config)
    like, draw = jax.eval_shape(dcgan.build(config, dataset.spec).init, jax.random.key(0)), np.random.default_rng(0)

    def fill(path, leaf):  # by NumPy, as compiling the initialisation takes seconds
        name = jax.tree_util.keystr(path)
        if "kernel" in name:
            return draw.normal(0, 0.12, leaf.shape).astype(leaf.dtype)
        return np.full(leaf.shape, 2 if name == ".step" else "scale" in name or "var" in name, leaf.dtype)

    records.write(record, workdir, 2)
    with checkpoint.writer(workdir / "checkpoints") as save:
        save(jax.tree_util.tree_map_with_path(fill, like), record)
    return workdir


@pytest.fixture(scope="module")
def run(workdir):
    return runs.open_run(workdir)


@pytest.mark.slow
def test_all_kinds_are_made_and_gathered_and_what_cannot_be_is_told(workdir, capsys):
    few = {"features": "pixels", "samples": 40}
    command.draw(
        workdir,
        Shared(count=2),
        neighbours=views.neighbours,
        memorisation=partial(views.memorisation, **few),
        collapse=partial(views.collapse, **few),
        directions=partial(views.directions, steps=2, layer="Dense_0"),
        interpolation=partial(views.interpolation, steps=2, keys=2),
        filters=partial(views.assembly, layer="Dense_0"),  # which gives no maps to be dissected
        inversion=partial(views.inversion, starts=2, iterations=2),
    )
    names = {path.name for path in (workdir / "explore").iterdir()}
    told = capsys.readouterr().out
    kinds = {"neighbours-pixels.png", "memorisation-pixels.png", "collapse-pixels.png", "directions-sefa-Dense_0.png"}
    kinds |= {"directions-sefa-Dense_0-moving.gif", "interpolation.gif", "inversion.png"}
    assert names == {kind.replace(".", "-step2-seed0.") for kind in kinds}
    assert all(str(workdir / "explore" / name) in told for name in names)
    assert "left out filters: paths: layer 'Dense_0' outputs no maps" in told
    page = (workdir / "report.html").read_text()
    assert page.count("; step 2, seed 0</figcaption>") == len(names)
    assert f"python -m gan_jax.explore {workdir} filters" in page


@pytest.mark.slow
def test_filters_are_of_the_first_sample(run):
    image = run.system.sample(run.ema, sample.latents_of(run, 3, 1))[0]
    (layer,) = filters.of_image(run, 3, ["ConvTranspose_1"])  # one, for each is compiled by itself
    np.testing.assert_allclose(layer.assembly[-1], image, atol=1e-5)
    made = views.assembly(run, 3, count=2, layer="ConvTranspose_1")
    assert made.keys() == {"filters-ConvTranspose_1", "filters-ConvTranspose_1-maps"}


def test_the_report_knows_the_kinds():
    assert tuple(each.__name__ for each in command.COMMANDS[1:]) == figures.EXPLORATIONS


def test_interpolations_pass_the_samples_and_end_where_they_begin(run):
    (frames,) = views.interpolation(run, 5, count=2, steps=4, keys=3).values()
    ends = sample.samples(run, 5, 6)
    assert len(frames) == 12
    for key in range(3):
        expected = pictures.grid(ends[[key, 3 + key]], 2, padding=4, scale=3)
        assert np.abs(frames[4 * key].astype(int) - expected).max() <= 1
    with pytest.raises(ValueError, match=r"keys=1.*2 samples"):
        views.interpolation(run, 5, keys=1)


def test_interpolations_set_off_and_arrive_slowly_all_the_way_round(run, monkeypatch):
    passed = []
    monkeypatch.setattr(sample, "generate", lambda run, z: passed.append(z) or np.zeros((len(z), 1, 1, 1), np.uint8))
    views.interpolation(run, 0, count=1, steps=10, keys=3)
    (z,) = np.asarray(passed)
    speed = np.linalg.norm(np.roll(z, -1, axis=0) - z, axis=1).reshape(3, 10)
    assert (speed[:, [0, -1]] < 0.3 * speed.max(1, keepdims=True)).all()
    halves = np.abs(speed - speed[:, ::-1]).max(1)  # there and back at the same speed, up to unequal norms
    assert (halves < 0.5 * speed.max(1)).all()


def test_training_images_are_those_of_the_run_or_refused(run):
    images = runs.dataset(run).arrays["image"]
    assert len(images) == run.record["data"]["count"]
    about = run.record["data"] | {"fingerprint": "0" * 16}
    with pytest.raises(ValueError, match=r"contents of .* have changed.* restore them"):
        runs.dataset(run._replace(record=run.record | {"data": about}))


def test_test_images_are_none_of_the_training_images(run):
    held_out, training = runs.held_out(run).arrays["image"], runs.dataset(run).arrays["image"]
    assert len(held_out) + len(training) == 200
    assert not {image.tobytes() for image in held_out} & {image.tobytes() for image in training}
    test = data.load(run.record["data"]["name"], "test")
    about = run.record["data"] | {"split": "test", "fingerprint": test.fingerprint}
    with pytest.raises(ValueError, match="no examples are held out"):
        runs.held_out(run._replace(record=run.record | {"data": about}))


def test_images_to_be_found_are_read_from_files_and_folders_in_the_size_of_the_run(run, tmp_path):
    for name, value in (("b.png", 200), ("a.png", 100)):
        Image.fromarray(np.full((56, 40, 3), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "note.txt").write_text("no image")
    images = views.load_images(run, [tmp_path / "b.png", tmp_path])
    assert images.shape == (3, 28, 28, 1) and images.dtype == np.uint8
    assert [int(image.mean()) for image in images] == [200, 100, 200]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"images: no .png.* file in"):
        views.load_images(run, [tmp_path / "empty"])


@pytest.mark.parametrize(
    ("make", "shared", "options", "message"),
    [
        (command.filters, Shared(count=0), {}, "--count 0: give at least 1"),
        (command.inversion, Data(seed=-1), {}, "--seed -1: give a number from 0 to"),
        (command.interpolation, Shared(), {"steps": 10**12}, "images: at least .* GB"),
        (command.directions, Shared(), {"steps": 10**12}, "images: at least .* GB"),
        (command.memorisation, Compared(), {"samples": 10**12}, "images: at least .* GB"),
        (command.inversion, Data(), {"starts": 10**12}, "latents: at least .* GB"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_is_written(workdir, make, shared, options, message):
    before = sorted(workdir.rglob("*"))
    with pytest.raises(UserError, match=message):
        make(workdir, shared, **options)
    assert sorted(workdir.rglob("*")) == before


@pytest.mark.slow
def test_a_run_that_is_read_only_is_looked_into_elsewhere(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: workdir not in (Path(path), *Path(path).parents))
    with pytest.raises(UserError, match=r"is not writable; give another path with --out"):
        command.interpolation(workdir, Shared())
    command.interpolation(workdir, Shared(count=1, out=tmp_path / "new"), keys=2, steps=2)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["interpolation-step2-seed0.gif"]
    assert "report.html" not in capsys.readouterr().out


def test_points_are_refused_with_a_reason(run, monkeypatch, tmp_path):
    points = run._replace(spec=run.spec._replace(kind=kinds.points))
    monkeypatch.setattr(runs, "open_run", lambda *_, **__: points)
    with pytest.raises(ValueError, match="generates points"):
        command.everything(tmp_path, Data())


def test_the_command_line_says_what_there_is_to_look_at():
    command = [sys.executable, "-m", "gan_jax.explore", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"\n  {kind} " in text for kind in figures.EXPLORATIONS)
