import errno
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_loop import train
from toy import untrained

from experiments import dcgan
from gan_jax import data, evaluate, pictures, runs, sample
from gan_jax.data import kinds
from gan_jax.errors import UserError
from gan_jax.evaluate import Request, Shared
from gan_jax.metrics import features, protocol, scoring
from gan_jax.metrics.features import download, lpips, pretrained
from gan_jax.metrics.features.distance import Distance
from gan_jax.metrics.fid import fid
from gan_jax.metrics.menu import METRICS
from gan_jax.metrics.scorer import of_system, scorer
from gan_jax.metrics.statistics import summarise


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A run on points in the plane, with two checkpoints."""
    workdir = tmp_path_factory.mktemp("points")
    train(workdir)
    return workdir


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on digits that has learnt nothing, with two checkpoints."""
    return untrained(dcgan, tmp_path_factory.mktemp("digits"), steps=(2, 4), batch_size=8)


def test_features_on_the_devices_are_those_of_the_classifier():
    judge, image = pretrained.load(), data.load("digits", "test").arrays["image"][:300]
    of = features.extractor(features.of_classifier(judge, "digits"), features.of_data(kinds.image))
    found, probabilities = (np.concatenate(parts) for parts in zip(*of(None, image), strict=True))
    np.testing.assert_allclose(found, judge.features(image), atol=1e-4)
    np.testing.assert_allclose(probabilities, judge.probabilities(image), atol=1e-5)
    few = next(
        features.extractor(features.of_classifier(judge, "digits"), features.of_data(kinds.image))(None, image[:7])
    )[0]
    np.testing.assert_array_equal(few, found[:7])


def test_any_function_makes_features_with_a_fingerprint_of_its_own():
    spec = data.Spec((4, 4, 1), 0)
    made = [features.function(name, lambda w, x: x * w, spec, w) for name, w in (("a", 1.0), ("a", 2.0), ("b", 1.0))]
    assert len({each.fingerprint for each in made}) == 3 and made[0].size == 16
    again = features.function("a", lambda w, x: x * w, spec, 1.0)
    assert again.fingerprint == made[0].fingerprint


def test_what_is_scored_is_what_would_be_saved():
    images: Any = np.linspace(-1.1, 1.1, 4 * 16, dtype=np.float32).reshape(4, 4, 4, 1)
    seen = {kind: features.of_samples(kind, lambda _, x: x)(None, images) for kind in (kinds.image, kinds.points)}
    np.testing.assert_array_equal(kinds.image.from_network(images), pictures.to_uint8(images))
    np.testing.assert_array_equal(seen[kinds.image], kinds.image.to_network(pictures.to_uint8(images)))
    np.testing.assert_array_equal(seen[kinds.points], images)


@pytest.mark.slow
def test_the_samples_scored_are_those_that_sampling_makes(digits):
    run, real = runs.open_run(digits), data.load("digits", "test")
    judge = features.of_classifier(pretrained.load(), "digits")
    (score,) = of_system(scorer(judge, ["fid"], real), run.system, 300, seed=5)(run.ema, "averaged", 4)
    images = sample.samples(run, seed=5, count=300)
    of = features.extractor(judge, features.of_data(kinds.image))
    expected = fid(summarise(of(None, real.arrays["image"]), 2000, groups=1), summarise(of(None, images), 300))
    # a value between two of 8 bits may be rounded either way, once in many thousand
    assert score.value == pytest.approx(expected.value, rel=1e-3)
    assert score.error == pytest.approx(expected.error, rel=1e-2)
    assert (score.features, score.data, score.real, score.fake) == (judge.fingerprint, real.fingerprint, 2000, 300)


def test_the_command_scores_checkpoints_with_a_yardstick(digits, capsys):
    evaluate.samples(digits, Shared(every=True), Request(count=200), weights=("averaged", "raw"))
    found = protocol.read(digits)
    curve = {(s.metric, s.weights, s.step) for s in found}
    for metric in (*evaluate.DEFAULT, *evaluate.WITH_CLASSES):
        expected = {(metric, w, step) for w in ("averaged", "raw") for step in (2, 4)}
        assert expected | {(metric, scoring.TRAINING, None)} <= curve
    value = {(s.metric, s.weights): s.value for s in found if s.step in (None, 4)}
    for metric in ("fid", "kid", "class_kl"):
        assert value[metric, scoring.TRAINING] < value[metric, "averaged"]
    for metric in ("precision", "recall", "density", "coverage"):
        assert METRICS[metric].higher and value[metric, scoring.TRAINING] > value[metric, "averaged"]
    assert "training images" in capsys.readouterr().out
    assert "fid" in (digits / "report.html").read_text()


@pytest.mark.slow
def test_the_command_scores_the_players(points):
    evaluate.players(points, Shared(), moves=2)
    found = {(s.metric, s.weights, s.step) for s in protocol.read(points)}
    assert {("equilibrium", "raw", 6), ("duality_gap", "raw", 6)} <= found


@pytest.mark.slow
def test_the_command_scores_paths(points):
    evaluate.path(points, Shared(), count=20)
    (score,) = (s for s in protocol.read(points) if s.metric.startswith("path_length"))
    assert (score.metric, score.weights, score.step, score.fake) == ("path_length_latents", "averaged", 6, 20)
    assert score.value > 0 and "epsilon=0.0001" in score.settings


@pytest.mark.slow
def test_the_command_scores_paths_by_lpips_apart_from_those_by_features(digits, points, monkeypatch):
    about = ("LPIPS of VGG16", "a", "none", "LPIPS", "lpips_")
    stand_in = Distance(*about, None, lambda _, x, y: ((x - y) ** 2).sum((1, 2, 3)))
    monkeypatch.setattr(lpips, "distance", lambda path: stand_in)
    evaluate.path(digits, Shared(), lpips=Path("some.npz"), count=8)
    evaluate.path(digits, Shared(), "pixels", count=8)
    learned, plain = (s for s in protocol.read(digits) if "path_length" in s.metric)
    assert (learned.metric, plain.metric) == ("lpips_path_length_latents", "path_length_latents")
    assert "features LPIPS of VGG16 (a)" in protocol.described(learned) and learned.value > 0
    with pytest.raises(UserError, match="the protocols differ"):
        protocol.compare(learned._replace(metric=plain.metric), plain)
    with pytest.raises(UserError, match="--features pixels and --lpips each measure lengths; give one of them"):
        evaluate.path(digits, Shared(), "pixels", Path("some.npz"))
    with pytest.raises(UserError, match="--lpips needs images, but ring has points; leave it out"):
        evaluate.path(points, Shared(), lpips=Path("some.npz"))


@pytest.mark.slow
def test_points_are_scored_by_their_coordinates(points):
    evaluate.samples(points, Shared(), Request(("fid", "coverage", "copying"), count=500))
    found = {s.metric: s for s in protocol.read(points) if s.weights == "averaged"}
    assert found["fid"].features_name == "points" and found["fid"].step == 6
    assert 0 <= found["copying"].value <= 1 and math.isfinite(found["copying"].error)


@pytest.mark.parametrize(
    ("request_", "others", "message"),
    [
        (Request(("fid",), count=20), {}, "20 samples are too few .* 64 features.*--few"),
        (Request(("kid",), few=True), {}, "--few applies only to fid"),
        (Request(resize="clean"), {}, "--inception and --resize need .* give --features inception"),
        (Request(("kid",), count=1), {}, "1 samples are too few: standard errors need at least 10; raise --count"),
        (Request(("kid",), count=0), {}, "0 samples are too few"),
        (Request(count=10**12), {}, "scoring 1,000,000,000,000 samples: at least .* GB"),
        (Request(("fid",), "inception"), {}, "2,000 samples are too few for an FID of 2,048 features; raise --count"),
        (Request(("kid",), "inception", inception=Path("no.pth")), {}, "--inception no.pth: there is no such file"),
        (Request(inception=Path("weights.pth")), {}, "--inception and --resize need"),
        (Request(("classes",), "pixels"), {}, "--metrics: classes needs probabilities.*--features"),
        (Request(("copying",)), {"split": "train"}, "--metrics: copying needs images held out"),
        (Request(), {"shared": Shared(steps=(3,))}, "step 3 is not in"),
        (Request(), {"shared": Shared(best=True)}, "has no best checkpoint"),
        (Request(), {"shared": Shared(best=True, every=True)}, "--step 2 and --best exclude each other"),
    ],
)
def test_bad_requests_are_refused_before_features_are_loaded(digits, monkeypatch, request_, others, message):
    monkeypatch.setattr(pretrained, "load", lambda *_: pytest.fail("a classifier was loaded"))
    monkeypatch.setattr(download, "downloaded", lambda *_: pytest.fail("weights were downloaded"))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        evaluate.samples(digits, **{"shared": Shared(), "request": request_} | others)


def test_what_is_no_run_and_what_has_no_labels_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run directory"):
        evaluate.samples(tmp_path, Shared(), Request())
    with pytest.raises(ValueError, match=r"faces has no labels.*--features inception"):
        scoring.planned(None, "faces", data.Spec((64, 64, 3), 0))


@pytest.mark.slow
def test_a_run_on_data_that_have_changed_is_refused(points, monkeypatch):
    changed = data.load("ring")._replace(fingerprint="other")
    monkeypatch.setattr("gan_jax.runs.data.load", lambda *_, **__: changed)
    with pytest.raises(ValueError, match="contents of 'ring' have changed"):
        evaluate.samples(points, Shared(), Request())


def test_an_fid_of_few_images_is_refused_before_a_classifier_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "load", lambda *_: pytest.fail("a classifier was fitted"))
    real = data.load("digits", "train")
    system = dcgan.build(dcgan.Config(g_width=4, d_width=4), real.spec)
    with pytest.raises(
        UserError, match=r"50 samples are too few for an FID of 64 features.*--eval-count.*--eval-metrics"
    ):
        scoring.in_training(system, real, None, tmp_path, ("kid", "fid"), None, 50)
    with monkeypatch.context() as patch:
        patch.setattr(data, "load", lambda *_, **__: pytest.fail("test images were loaded"))
        with pytest.raises(UserError, match="500 samples are too few for an FID of 2,048 features; raise --eval-count"):
            scoring.in_training(system, real, None, tmp_path, ("fid",), "inception", 500)
        with pytest.raises(UserError, match=r"--eval-metrics: classes needs probabilities.*other --eval-features"):
            scoring.in_training(system, real, None, tmp_path, ("classes",), "pixels", 500)
    small = real._replace(arrays={name: array[:60] for name, array in real.arrays.items()})
    with pytest.raises(UserError, match="60 training images are too few for an FID of 64 features"):
        scoring.in_training(system, small, None, tmp_path, ("fid",), None, 500)


@pytest.mark.slow
def test_scores_of_a_run_that_is_read_only_are_shown(points, monkeypatch, capsys):
    def refuse(run, scores):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(run / protocol.FILE))

    monkeypatch.setattr(protocol, "write", refuse)
    with pytest.raises(UserError, match=f"not saved, because {points} cannot be written to: .*denied"):
        evaluate.samples(points, Shared(), Request(("fid",), count=500))
    assert "step 6 averaged:  fid" in capsys.readouterr().out
