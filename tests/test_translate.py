"""Translating folders by a run of a translator, and asking a conditional run for classes and codes."""

import importlib
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from toy import untrained

from experiments import cgan, cyclegan, vae
from gan_jax import baseline, data, evaluate, loop, pictures, runs, sample, translate
from gan_jax.cli import Checkpoint
from gan_jax.game import sampler
from gan_jax.latents import codes
from gan_jax.metrics import scoring
from gan_jax.sample import __main__ as command
from gan_jax.sample.requests import Draw, Shared


def trained(name, workdir, **settings):
    """Two iterations of an experiment."""
    experiment: Any = importlib.import_module(f"experiments.{name}")
    config: Any = experiment.Config
    run = loop.Run(steps=2, workdir=workdir, devices=1)
    widths = {"g_width": 4, "d_width": 4} if issubclass(config, baseline.Widths) else {}
    experiment.main(experiment.Config(batch_size=4, **widths, run=run, **settings))
    return workdir


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return untrained(cyclegan, tmp_path_factory.mktemp("translator"), blocks=1)


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    return untrained(cgan, tmp_path_factory.mktemp("conditional"))


def test_a_folder_is_translated_name_by_name_both_ways(translator, tmp_path):
    images = data.load("recoloured:digits", "test").arrays
    for i in range(3):
        pictures.save_png(tmp_path / "in" / "deep" / f"{i}.png", images["source"][i])
    Image.fromarray(images["source"][0]).resize((60, 60)).save(tmp_path / "in" / "large.jpg")
    translate.main(translator, tmp_path / "in", tmp_path / "out", Checkpoint())
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["deep/0.png", "deep/1.png", "deep/2.png", "large.png"]
    opened = runs.open_run(translator)
    made = translate.translated(opened, images["source"][:3])
    np.testing.assert_array_equal(pictures.load_png(tmp_path / "out" / "deep" / "1.png"), made[1])
    np.testing.assert_array_equal(translate.translated(opened, images["source"][1:2])[0], made[1])
    back = translate.translated(opened, images["image"][:3], backward=True)
    assert back.shape == images["source"][:3].shape and not np.array_equal(back, made)
    with pytest.raises(ValueError, match=r"--output .* directory is not empty"):
        translate.main(translator, tmp_path / "in", tmp_path / "out", Checkpoint())
    with pytest.raises(ValueError, match=r"images of shape \(8, 8, 3\): this run translates \[28, 28, 3\]"):
        translate.translated(opened, np.zeros((1, 8, 8, 3), np.uint8))


def test_a_translator_draws_no_samples_and_others_do_not_translate(translator, conditional):
    with pytest.raises(ValueError, match=r"draws no samples; it translates: python -m gan_jax.translate"):
        sample.samples(runs.open_run(translator), 0, 3)
    with pytest.raises(ValueError, match="does not translate images"):
        translate.translated(runs.open_run(conditional), np.zeros((1, 28, 28, 1), np.uint8))


@pytest.mark.slow
def test_grey_images_are_translated_to_files_and_none_replaces_another(tmp_path):
    opened = runs.open_run(trained("pix2pix", tmp_path / "run"))
    sources = data.load("edges:digits").arrays["source"][:2]
    for name, image in zip(("a.png", "b.png"), sources, strict=True):
        pictures.save_png(tmp_path / "in" / name, np.repeat(image, 3, axis=2))
    translate.main(tmp_path / "run", tmp_path / "in", tmp_path / "out", Checkpoint())
    expected = translate.translated(opened, sources)
    np.testing.assert_array_equal(pictures.load_png(tmp_path / "out" / "b.png"), np.repeat(expected[1], 3, axis=2))
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "b.jpg")
    with pytest.raises(ValueError, match=r"b.jpg and b.png would both become .*b.png; rename one"):
        translate.main(tmp_path / "run", tmp_path / "in", tmp_path / "again", Checkpoint())


def test_a_game_needs_the_right_data(tmp_path):
    with pytest.raises(ValueError, match=r"edges:digits has source images.* use pix2pix or cyclegan"):
        trained("dcgan", tmp_path, dataset="edges:digits")
    for name in ("pix2pix", "cyclegan"):
        with pytest.raises(ValueError, match="the data have no source images to translate"):
            trained(name, tmp_path / name, dataset="digits")
    with pytest.raises(ValueError, match="ssgan needs a data set with few labels; give few:10:0:digits"):
        trained("ssgan", tmp_path / "ssgan", dataset="digits")
    with pytest.raises(ValueError, match="pix2pix learns from pairs; leave out unpaired:"):
        trained("pix2pix", tmp_path / "apart", dataset="unpaired:edges:digits")


def test_a_translator_is_not_scored_and_one_player_has_no_game(translator, tmp_path):
    with pytest.raises(ValueError, match="players: this run has no discriminator, only generator"):
        evaluate.players(untrained(vae, tmp_path / "vae"), evaluate.Shared())
    with pytest.raises(ValueError, match="is a translator and draws no samples"):
        evaluate.samples(translator, evaluate.Shared(), evaluate.Request())
    with pytest.raises(ValueError, match="eval_every, best: translated images"):
        opened, found = runs.open_run(translator), data.load("unpaired:recoloured:digits")
        scoring.in_training(opened.system, found, None, tmp_path, ("fid",), None, 100)


@pytest.mark.slow
def test_what_a_run_pictures_of_translations_and_of_codes(tmp_path):
    translator = trained("cyclegan", tmp_path / "translator", blocks=1)
    picture = pictures.load_png(translator / "samples" / "00000002.png")
    assert picture.shape == (8 * 30 + 2, 8 * 30 + 2, 3)  # four times eight sources, above eight translations
    np.testing.assert_array_equal(picture[2:30, 2:30], data.load("unpaired:recoloured:digits").arrays["source"][0])
    assert "gan_jax.translate" in (translator / "report.html").read_text()
    conditional = trained("cgan", tmp_path / "conditional")
    assert (conditional / "codes.png").exists() and "Codes" in (conditional / "report.html").read_text()


def test_a_grid_of_labels_has_a_column_for_each_with_its_name(conditional, tmp_path):
    command.grid(conditional, Shared(out=tmp_path / "grid.png"), Draw(labels=("3", "1")))
    command.npz(conditional, Shared(out=tmp_path / "samples.npz"), Draw(16, labels=("3", "1")))
    grid, samples = pictures.load_png(tmp_path / "grid.png"), np.load(tmp_path / "samples.npz")["image"]
    sheet = pictures.grid(samples, 2)
    np.testing.assert_array_equal(grid[-len(sheet) :, :, 0], sheet[..., 0])
    assert len(grid) > len(sheet)  # the names


def test_samples_of_classes_are_those_of_their_latents(conditional, tmp_path):
    opened = runs.open_run(conditional)
    labels = np.array([3, 1, 9, 3])
    made = sample.labelled(opened, 5, labels.tolist())
    values = codes.with_labels(sampler(opened.system)[0], sample.latents_of(opened, 5, 4), labels)
    np.testing.assert_array_equal(made, sample.generate(opened, values))
    command.npz(conditional, Shared(seed=5, out=tmp_path / "a.npz"), Draw(4, labels=("3", "1", "9", "3")))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["image"], made)
    command.npz(conditional, Shared(seed=5, out=tmp_path / "b.npz"), Draw(4, codes=("label=9",)))
    np.testing.assert_array_equal(np.load(tmp_path / "b.npz")["image"][2], made[2])
    command.files(conditional, Shared(seed=5, out=tmp_path / "files"), Draw(4, labels=("3", "1", "9", "3")))
    with Image.open(tmp_path / "files" / "000001.png") as picture:
        assert picture.mode == "L", "grey data are grey files"
        np.testing.assert_array_equal(np.asarray(picture), made[1, ..., 0])
    command.grid(conditional, Shared(out=tmp_path / "grid.png"), Draw())
    assert pictures.load_png(tmp_path / "grid.png").shape == (8 * 30 + 2, 10 * 30 + 2, 3)
    command.traversal(conditional, Shared(out=tmp_path / "line.png"), steps=10)
    assert pictures.load_png(tmp_path / "line.png").shape == (32, 10 * 30 + 2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("10",)}, "label 10 does not exist; give a class from 0 to 9"),
        ({"codes": ("style=1",)}, "'style': this generator has no such code; it has label"),
        ({"codes": ("label=x",)}, "--codes label=x: give name=number"),
        ({"codes": ("label=1,2",)}, "gives 2 values; label takes 10 values"),
        ({"codes": ("label=10",)}, "label 10 does not exist; give a class from 0 to 9"),
    ],
)
def test_labels_and_codes_that_are_not_there_are_refused(conditional, options, message):
    for make in (
        lambda: command.grid(conditional, Shared(), Draw(**options)),
        lambda: command.traversal(conditional, Shared(), **options),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_traversal_holds_what_is_given(conditional, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sample, "generate", lambda run, values: shown.append(np.asarray(values)) or np.zeros((3, 8, 8, 1))
    )
    shown = []
    command.traversal(conditional, Shared(out=tmp_path / "a.png"), steps=3, dimensions=(0,), labels=("7",))
    (values,) = shown
    np.testing.assert_allclose(values[:, 0], (-1, 0, 1))
    label = next(part for part in sampler(runs.open_run(conditional).system)[0].parts if part.name == "label")
    np.testing.assert_array_equal(values[:, label.start : label.start + label.size], np.tile(np.eye(10)[7], (3, 1)))


def test_a_run_without_an_encoder_reconstructs_nothing(conditional):
    with pytest.raises(ValueError, match="no encoder; use a run of bigan or vae"):
        command.reconstruction(conditional, Shared())


def test_reconstructions_are_those_of_the_averaged_encoder(conditional):
    opened = runs.open_run(conditional)
    size = sampler(opened.system)[0].size

    def encode(ema, images):
        return images[:, :size, 0, 0]

    images = np.random.default_rng(0).integers(0, 256, (70, size, 1, 1), np.uint8)
    made = sample.reconstructions(opened._replace(system=opened.system._replace(encode=encode)), images)
    expected = sample.generate(opened, jax.numpy.asarray((images[:, :, 0, 0] - 127.5) / 127.5, "float32"))
    assert made.shape[0] == 70 and np.mean(made != expected) < 0.01  # rounding
