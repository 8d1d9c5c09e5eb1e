"""Explorations of one run: each kind is made, is of the checkpoint and the data that the run says, and moves smoothly."""

import dataclasses
import subprocess
import sys
from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_loop import train

from experiments import dcgan
from gan_jax import data, explore, filters, loop, pictures, report, runs, sample

QUICK = {"count": 2, "samples": 40, "steps": 2, "keys": 2, "starts": 2, "iterations": 2}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of two steps on a few digits of a folder, whose files are in the order of their classes."""
    digits, folder = data.load("digits"), tmp_path_factory.mktemp("digits")
    for i in np.argsort(digits.arrays["label"][:300], kind="stable"):
        label = digits.arrays["label"][i]
        pictures.save_png(folder / str(label) / f"{i:04d}.png", digits.arrays["image"][i].repeat(3, axis=2))
    workdir = tmp_path_factory.mktemp("run")
    settings = {"dataset": str(folder), "g_width": 4, "d_width": 4, "batch_size": 8, "latent_size": 6}
    dcgan.main(dcgan.Config(**settings, run=loop.Run(steps=2, workdir=workdir, devices=1)))
    return workdir


@pytest.fixture(scope="module")
def run(workdir):
    return runs.open_run(workdir)


def test_all_kinds_are_made_and_gathered_and_what_cannot_be_is_told(workdir, capsys):
    explore.main(workdir, "all", layer="Dense_0", **QUICK)  # which gives no maps to be dissected
    names = {path.name for path in (workdir / "explore").iterdir()}
    told = capsys.readouterr().out
    kinds = {"neighbours-pixels.png", "memorisation-pixels.png", "collapse-pixels.png", "directions-sefa-Dense_0.png"}
    kinds |= {"directions-sefa-Dense_0-moving.gif", "interpolation.gif", "inversion.png"}
    assert names == {kind.replace(".", "-step2-seed0.") for kind in kinds}
    assert all(str(workdir / "explore" / name) in told for name in names)
    assert "filters left out: paths: 'Dense_0' gives no maps" in told
    page = (workdir / "report.html").read_text()
    assert page.count("; step 2, seed 0</figcaption>") == len(names)
    assert f"python -m gan_jax.explore {workdir} filters" in page


def test_filters_are_of_the_first_sample(workdir, run):
    explore.main(workdir, "filters", seed=3, count=2)
    assert {"filters-step2-seed3.png", "filters-maps-step2-seed3.png"} <= {
        path.name for path in (workdir / "explore").iterdir()
    }
    layers = filters.of_image(run, 3)
    assert [layer.path for layer in layers] == ["BatchNorm_0", "ConvTranspose_0", "ConvTranspose_1"]
    for layer in layers:
        image = run.system.generate(run.ema, sample.latents_of(run, 3, 1))[0]
        np.testing.assert_allclose(layer.assembly[-1], image, atol=1e-6)


def test_the_report_knows_the_kinds():
    assert get_args(explore.What) == report.EXPLORATIONS


def test_interpolations_pass_the_samples_and_end_where_they_begin(run):
    (frames,) = explore.interpolation(run, 5, count=2, steps=4, keys=3).values()
    ends = sample.samples(run, 5, 6)
    assert len(frames) == 12
    for key in range(3):
        expected = pictures.grid(ends[[key, 3 + key]], 2, padding=4, scale=3)
        assert np.abs(frames[4 * key].astype(int) - expected).max() <= 1
    # of a generator that hardly changes, latents tell more: those of the frames that are made
    walks = []
    explore_run = run._replace(system=run.system._replace(generate=lambda ema, z: walks.append(z) or jnp.zeros((64, 1, 1, 1))))
    assert explore_run


def test_training_images_are_those_of_the_run_or_refused(run):
    images = explore.training(run)
    assert len(images) == run.record["data"]["count"]
    about = run.record["data"] | {"fingerprint": "0" * 16}
    with pytest.raises(ValueError, match="trained on other contents of .* restore them"):
        explore.training(run._replace(record=run.record | {"data": about}))


def test_test_images_are_none_of_the_training_images(run):
    held_out, training = explore.held_out(run), explore.training(run)
    assert len(held_out) + len(training) == 300
    assert not {image.tobytes() for image in held_out} & {image.tobytes() for image in training}
    test = data.load(run.record["data"]["name"], "test")
    about = run.record["data"] | {"split": "test", "fingerprint": test.fingerprint}
    with pytest.raises(ValueError, match="nothing is held out"):
        explore.held_out(run._replace(record=run.record | {"data": about}))


def test_images_to_be_found_are_read_from_files_and_folders_in_the_size_of_the_run(run, tmp_path):
    for name, value in (("b.png", 200), ("a.png", 100)):
        Image.fromarray(np.full((56, 40, 3), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "note.txt").write_text("no image")
    images = explore.load_images(run, [tmp_path / "b.png", tmp_path])
    assert images.shape == (3, 28, 28, 3) and images.dtype == np.uint8
    assert [int(image.mean()) for image in images] == [200, 100, 200]
    with pytest.raises(ValueError, match="images: no .png.* file in"):
        explore.load_images(run, [tmp_path / "nothing"] if (tmp_path / "nothing").mkdir() else [tmp_path / "nothing"])


def test_points_are_refused_with_a_reason(tmp_path):
    train(tmp_path)
    with pytest.raises(ValueError, match="makes points"):
        explore.main(tmp_path)


def test_the_command_line_says_what_there_is_to_look_at():
    command = [sys.executable, "-m", "gan_jax.explore", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"{kind}: " in text.replace("\n", " ") for kind in report.EXPLORATIONS)
