"""Any two sets of images, each a folder, a file, a data set or a run, score what the published formula says of them."""

import shlex
import sys
from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from test_loop import train
from test_metrics_fid import plain

from gan_jax import cli, data, evaluate, pictures, rows, runs, sample
from gan_jax.cli import Checkpoint
from gan_jax.data import kinds, streaming
from gan_jax.data.reading import images as reading
from gan_jax.devices import memory
from gan_jax.errors import UserError
from gan_jax.evaluate import Request, pairs
from gan_jax.metrics import features, protocol
from gan_jax.metrics.features import download, extraction, inception, pretrained

COUNT = 120
FID = Request(("fid",), "pixels")


def coloured(shift, seed):
    draws = np.random.default_rng(seed)
    return np.clip(draws.normal(100 + shift, 40, (COUNT, 4, 4, 3)), 0, 255).astype(np.uint8)


def as_folder(path, images):
    for i, image in enumerate(images):
        pictures.save_png(path / f"{i:04d}.png", image)
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two sets of small images in colour, each as a folder and as a file; and the images."""
    root, images = tmp_path_factory.mktemp("sets"), {"a": coloured(0, 0), "b": coloured(20, 1)}
    for name, each in images.items():
        as_folder(root / name, each)
        np.savez(root / f"{name}.npz", each)  # under the name arr_0
    np.savez(root / "several.npz", image=images["a"], label=np.arange(COUNT))
    np.savez(root / "floats.npz", image=images["a"].astype(np.float32).transpose(0, 3, 1, 2))
    np.savez(root / "grey.npz", images["b"][..., 0])
    np.savez(root / "wide.npz", np.zeros((COUNT, 4, 6, 3), np.uint8))
    (root / "text.npz").write_text("no archive")
    return root, images


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on points in the plane."""
    workdir = tmp_path_factory.mktemp("points")
    train(workdir)
    return workdir


def pair(samples, real, request=FID, checkpoint=None, **options):
    return evaluate.pair(str(samples), str(real), request, checkpoint or Checkpoint(), **options)


def test_the_fid_of_two_folders_is_that_of_the_published_formula(made):
    root, images = made
    (score,) = pair(root / "a", root / "b")
    flat = (np.asarray(kinds.image.to_network(images[name])).reshape(COUNT, -1) for name in ("b", "a"))
    assert score.value == pytest.approx(plain(*flat), abs=1e-3)
    assert (score.real, score.fake, score.split, score.data_name) == (COUNT, COUNT, "all", str(root / "b"))
    assert score.data == data.load(str(root / "b"), "all").fingerprint
    assert score.fake_data == data.load(str(root / "a"), "all").fingerprint


def test_a_folder_and_a_file_of_its_images_score_the_same(made):
    root, _ = made
    (folder,), (file,) = pair(root / "a", root / "b"), pair(root / "a.npz", root / "b.npz")
    assert (folder.value, folder.error) == (file.value, file.error)
    assert protocol.compare(folder, file).value == 0 and folder.fake_data == file.fake_data


@pytest.mark.parametrize("count", [None, 50])
def test_images_too_large_for_memory_are_read_in_batches_and_score_the_same(made, tmp_path, monkeypatch, capsys, count):
    _, each = made
    for i, image in enumerate(each["a"]):  # with labels, which the fingerprint holds
        pictures.save_png(tmp_path / "a" / "xy"[i % 2] / f"{i}.png", image)
    real = as_folder(tmp_path / "b", each["b"])
    request = Request(("fid", "precision"), "pixels", count=count)
    monkeypatch.setattr(extraction, "BATCH", 16)
    monkeypatch.setattr(rows, "BLOCK", 16)
    expected = pair(tmp_path / "a", real, request)
    read, decode = [], streaming._decode
    monkeypatch.setattr(streaming, "_decode", lambda stream, n: read.append(len(n)) or decode(stream, n))
    monkeypatch.setattr(reading, "LIMIT", 1000)  # of 5760 bytes
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    assert pair(tmp_path / "a", real, request) == expected
    assert max(read) == 16 and sum(read) == 3 * COUNT + (count or COUNT)
    assert f"{real}: 120 images are read in batches" in capsys.readouterr().out


def test_greys_too_large_for_memory_are_scored_against_colours(made, tmp_path, monkeypatch):
    grey = made[1]["a"][..., :1]
    folder, colours = as_folder(tmp_path / "grey", grey), as_folder(tmp_path / "colours", grey.repeat(3, 3))
    monkeypatch.setattr(reading, "LIMIT", 1000)
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    for samples, real in ((folder, colours), (colours, folder)):
        assert pair(samples, real)[0].value == pytest.approx(0, abs=1e-6)


def test_sets_that_exist_in_memory_only_are_refused_if_they_are_too_large(monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 1000)
    with pytest.raises(reading.TooLarge, match=r"2,000 images of 16x16x1 take .* more than the limit"):
        pair("digits", "digits", resolution=16)


def test_a_file_larger_than_memory_is_refused(made, monkeypatch):
    monkeypatch.setattr(memory, "host", lambda: 5000)
    with pytest.raises(UserError, match=r"a.npz: the array arr_0: at least 5.89 kB is needed, but .* give a folder"):
        pair(made[0] / "a.npz", made[0] / "b")


def test_images_in_order_of_their_class_have_the_error_of_images_in_random_order(made, tmp_path):
    root, images = made
    by_brightness = images["a"][np.argsort(images["a"].mean((1, 2, 3)))]
    np.savez(tmp_path / "sorted.npz", by_brightness)
    (ordered,), (drawn,) = pair(tmp_path / "sorted.npz", root / "b"), pair(root / "a", root / "b")
    assert ordered.value == pytest.approx(drawn.value, abs=1e-9)
    assert 1 / 2 < ordered.error / drawn.error < 2


def test_greys_are_scored_against_greys_saved_in_colour_and_the_other_way_round(made, tmp_path):
    root, images = made
    grey = images["b"][..., :1]
    np.savez(tmp_path / "colour.npz", np.repeat(grey, 3, 3))
    (repeated,) = pair(root / "grey.npz", tmp_path / "colour.npz")
    (single,) = pair(tmp_path / "colour.npz", root / "grey.npz")
    assert repeated.value == pytest.approx(0, abs=1e-6) and single.value == pytest.approx(0, abs=1e-6)


def test_some_of_a_set_are_drawn_by_seed(made):
    root, _ = made
    request = Request(("kid",), "pixels", count=50)
    (first,), (again,), (other,) = (pair(root / "a", root / "b", request, seed=seed) for seed in (0, 0, 1))
    assert first == again and first.value != other.value and first.fake == 50


def test_unequal_numbers_of_images_are_told_unless_they_were_asked_for(made, tmp_path, capsys):
    root, images = made
    np.savez(tmp_path / "fewer.npz", images["b"][:100])
    pair(root / "a", tmp_path / "fewer.npz")
    assert f"a has 120 images here, and {tmp_path / 'fewer.npz'} 100. FID" in (said := capsys.readouterr().out)
    assert "give --count 100 for as many samples" in said
    for options in ({"real": root / "b"}, {"real": tmp_path / "fewer.npz", "request": replace(FID, count=100)}):
        pair(root / "a", **options)
        assert "note:" not in capsys.readouterr().out


def test_the_features_of_a_run_on_data_in_memory_are_of_these_data(made, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    faces = data.from_arrays("faces", images, np.arange(40) % 2)
    record = {"data": {"name": "memory:faces"}}
    run = runs.Restored(None, {}, 0, record, faces.spec, faces)  # pyright: ignore[reportArgumentType]
    fitted = []
    monkeypatch.setattr(pretrained, "fitted", lambda *sets: fitted.append(sets) or pretrained.load("digits"))
    pairs._planned(Request(), data.load(str(made[0] / "a"), "all"), [run], None).load()
    assert fitted == [(faces, faces.held_out)]


@pytest.mark.slow
def test_a_run_scores_as_its_samples_in_a_file(points, tmp_path):
    opened = runs.open_run(points)
    pictures.save_npz(tmp_path / "samples.npz", image=sample.samples(opened, 3, 200))
    request = Request(("fid",), count=200)
    (ours,) = pair(points, "ring", request, seed=3)
    (theirs,) = pair(tmp_path / "samples.npz", "ring", request)
    assert ours.value == pytest.approx(theirs.value, rel=1e-5)
    assert (ours.weights, ours.step, ours.seed, ours.fake_data) == ("averaged", 6, 3, "")
    assert ours.features_name == "points" and ours.split == "test"
    (itself,) = pair(tmp_path / "samples.npz", points, request, seed=3)  # a file takes its kind from the run
    assert itself.real == 10_000 and itself.value < ours.value / 10


def test_copies_of_the_training_images_are_found_out(made):
    root, _ = made
    request = Request(("copying",), "pixels")
    (copies,) = pair(root / "a", root / "b", request, train=str(root / "a.npz"))
    assert copies.value == 1


@pytest.mark.slow
def test_a_data_set_is_scored_as_a_run_is_by_its_classifier(tmp_path):
    scores = pair("digits:train", "digits", Request(count=500), out=tmp_path)
    test = data.load("digits", "test")
    assert {score.metric for score in scores} == {*evaluate.DEFAULT, *evaluate.WITH_CLASSES}
    assert {(s.data, s.split, s.fake, s.weights) for s in scores} == {(test.fingerprint, "test", 500, "digits:train")}
    value = {score.metric: score.value for score in scores}
    assert value["classes"] == 10 and value["precision"] > 0.7 and protocol.read(tmp_path) == scores


@pytest.mark.parametrize(
    ("samples", "real", "request_", "options", "message"),
    [
        ("a", "missing.npz", FID, {}, "missing.npz: there is no such file"),
        ("a", "text.npz", FID, {}, "is damaged or not an .npz file"),
        (
            "several.npz",
            "b",
            FID,
            {"key": "arr_0"},
            "arrays image, label, and none called arr_0; give one with --key",
        ),
        ("several.npz", "b", FID, {"key": "label"}, r"the examples are int64 \[\], but images must be uint8"),
        ("floats.npz", "b", FID, {}, r"the examples are float32 \[3, 4, 4\], but images must be uint8 .*convert them"),
        ("wide.npz", "b", FID, {}, "give --resolution to make both squares"),
        ("a", "grey.npz", FID, {}, "convert the images to greyscale"),
        ("a", "b", Request(("fid",), "pixels", count=121), {}, "--count 121: .* has 120 images"),
        ("a", "b", Request(("fid",), "pixels", count=48), {}, "48 samples are too few for an FID of 48 .*--few"),
        ("a", "b", Request(("kid",), "pixels", count=9), {}, "9 samples are too few: .*--count"),
        ("a", "b", Request(("fid",), "inception"), {}, "120 samples are too few for an FID of 2,048"),
        ("a", "digits", Request(("fid",), "inception"), {}, "120 samples are too few for an FID of 2,048"),
        ("a", "b", Request(("classes",), "pixels"), {}, "classes needs probabilities.*--features"),
        ("a", "b", Request(("kid",)), {}, "b has no labels .* give --features inception"),
        ("a", "b", Request(("copying",), "pixels"), {}, "copying needs the generator's training images.*--train"),
        ("a", "b", Request(("copying",), "pixels"), {"train": "b"}, "copying needs images held out from training"),
        ("a", "b", FID, {"train": "b"}, "--train .*: only copying needs it"),
        ("a", "b", FID, {"dataset": "ring"}, "--dataset ring: .*neither set is one"),
        ("a", "b", FID, {"key": "image"}, "--key image: .*neither set is one"),
        ("a", "b", FID, {"checkpoint": Checkpoint(step=3)}, "--step and --best .*neither set is one"),
        ("a", "b", Request(("kid",), "pixels", few=True), {}, "--few applies only to fid"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_features_are_loaded(
    made, monkeypatch, samples, real, request_, options, message
):
    monkeypatch.setattr(pretrained, "load", lambda *_: pytest.fail("a classifier was loaded"))
    monkeypatch.setattr(download, "downloaded", lambda *_: pytest.fail("weights were downloaded"))
    monkeypatch.chdir(made[0])
    with pytest.raises(UserError, match=message):
        pair(samples, real, request_, **options)


def test_what_needs_more_images_is_refused_before_a_data_set_is_downloaded(made, monkeypatch):
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("a data set was loaded"))
    with pytest.raises(UserError, match="120 samples are too few for an FID of 2,048"):
        pair(made[0] / "a.npz", "digits", Request(("fid",), "inception"))


def commands():
    """The commands that the page about metrics shows."""
    page = (Path(features.__file__).parent.parent / "README.md").read_text()
    blocks = [block for block in page.split("```")[1::2] if "python -m gan_jax.evaluate" in block]
    lines = [line.partition("#")[0] for block in blocks for line in block.strip().splitlines()]
    return [shlex.split(line)[3:] for line in lines if line.startswith("python -m gan_jax.evaluate")]


def test_the_commands_of_the_readme_are_understood(monkeypatch):
    called = []

    def stub(function):
        return wraps(function)(lambda *args, **options: called.append(function.__name__))

    known = [stub(f) for f in (evaluate.samples, evaluate.players, evaluate.path, evaluate.pair, evaluate.compare)]
    for words in commands():
        monkeypatch.setattr(sys, "argv", ["x", *words])
        cli.cli(known, "Scores.")
    assert {"samples", "players", "path", "pair", "compare"} == set(called)


def test_samples_of_another_library_are_scored_against_a_folder_by_one_command(made, monkeypatch, capsys):
    monkeypatch.chdir(made[0])
    words = next(words for words in commands() if words[0] == "samples.npz")
    places = {"samples.npz": "a.npz", "photos": "b", "64": "4"}
    monkeypatch.setattr(sys, "argv", ["x", *(places.get(word, word) for word in words), "--metrics", "fid"])
    spec = data.Spec((4, 4, 3), 0)
    monkeypatch.setattr(inception, "SIZE", 48)
    monkeypatch.setattr(inception, "features", lambda *_: features.raw(spec))
    cli.cli([evaluate.samples, evaluate.players, evaluate.pair, evaluate.compare], "Scores.")
    said = capsys.readouterr().out
    assert "a.npz against b: features pixels" in said and "120 samples" in said and "a.npz:  fid " in said


@pytest.mark.slow
def test_the_fid_of_two_folders_is_pytorchs_by_inception(made, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="pip install torch; then pytest -m slow tests/test_evaluate_pairs.py")
    from torch_inception import randomised

    monkeypatch.setattr(extraction, "BATCH", 8)
    monkeypatch.setattr(inception, "CHUNK", 4)
    network, count = randomised(0), 16
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    request = Request(("fid",), "inception", few=True, inception=tmp_path / "weights.pth")
    first, second = (as_folder(tmp_path / name, made[1][name][:count].repeat(8, 1).repeat(8, 2)) for name in ("a", "b"))
    (score,) = pair(first, second, request)
    seen = []
    for folder in (second, first):  # as pytorch-fid reads, resizes and scales them
        images = np.stack([pictures.load_png(path) for path in sorted(Path(folder).iterdir())])
        with torch.no_grad():
            x = torch.from_numpy(np.moveaxis(images, 3, 1) / np.float32(255))
            x = torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
            seen.append(network(2 * x - 1)[0].numpy().astype(float))
    # its formula, in the span of the features, as a root of 2,048 x 2,048 takes minutes; a rotation changes no trace
    span = np.linalg.qr(np.concatenate(seen).T)[0]
    x, y = (features @ span for features in seen)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    roots = np.sqrt(np.maximum(np.real(np.linalg.eigvals(a @ b)), 0))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * roots.sum()
    print("FID of gan_jax", score.value, "of PyTorch", expected)
    assert expected > 0.1  # else equality would mean little
    assert score.value == pytest.approx(expected, abs=1e-3)
