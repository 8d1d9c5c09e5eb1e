import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gan_jax import data
from gan_jax.data import cache
from gan_jax.data.dataset import dataset
from gan_jax.metrics.features import classifier, pretrained, train_classifier
from gan_jax.metrics.features.classifier import Verdict, verdict


@pytest.fixture(scope="module")
def digits():
    return pretrained.load("digits")


@pytest.fixture(scope="module")
def test_set():
    return data.load("digits", "test")


def bars(count=64, seed=0):
    """Images [count, 8, 8, 1] of a horizontal bar (class 0) or a vertical one (class 1)."""
    draws = np.random.default_rng(seed)
    label = np.arange(count) % 2
    image = draws.integers(0, 60, (count, 8, 8, 1), np.uint8)
    for i, place in enumerate(draws.integers(2, 6, count)):
        image[i, place] = 255
        if label[i]:
            image[i] = image[i].swapaxes(0, 1)
    return dataset("bars", "train", image, label, classes=2)


def test_shipped_weights_are_accurate_and_say_so(digits, test_set):
    p = digits.probabilities(test_set.arrays["image"])
    accuracy = np.mean(p.argmax(1) == test_set.arrays["label"])
    assert digits.classes == 10 and p.shape == (2000, 10) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    assert accuracy >= 0.985
    assert digits.accuracy == pytest.approx(accuracy, abs=1e-3)
    assert Path(classifier.__file__).with_name("digits.npz").stat().st_size < 200_000


def test_being_sure_means_something(digits, test_set):
    few = test_set.arrays["image"][::4], test_set.arrays["label"][::4]
    sure = train_classifier.sureness(digits, dataset("digits", "test", *few, classes=10))
    assert sure["real"] >= 0.96
    assert max(share for kind, share in sure.items() if "noise" in kind or kind == "flat") <= 0.01
    assert sure["blends, half and half, of two classes"] <= 0.25


def test_result_does_not_depend_on_how_many_follow(digits, test_set):
    images = test_set.arrays["image"][:600]
    for function in (digits.probabilities, digits.features):
        whole = function(images)
        for count in (0, 1, 7, 250, 251):
            part = function(images[:count])
            assert part.shape == (count, whole.shape[1])
            np.testing.assert_array_equal(part, whole[:count])


def test_features_determine_probabilities(digits, test_set):
    images = test_set.arrays["image"][:50]
    arrays = dict(np.load(Path(classifier.__file__).with_name("digits.npz")))
    logits = digits.features(images) @ arrays["logits/kernel"].astype(np.float32) + arrays["logits/bias"]
    exp = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(digits.probabilities(images), exp / exp.sum(1, keepdims=True), atol=1e-4)


def test_floats_are_judged_as_they_would_be_saved(digits, test_set):
    images = test_set.arrays["image"][:20]
    floats = images / np.float32(127.5) - 1
    np.testing.assert_array_equal(digits.probabilities(floats), digits.probabilities(images))
    np.testing.assert_array_equal(digits.probabilities(floats + 0.003), digits.probabilities(images))
    assert np.isfinite(digits.probabilities(np.full((1, 28, 28, 1), np.nan))).all()


def test_wrong_shape_names_both(digits):
    with pytest.raises(ValueError, match=r"\(32, 32, 3\).*\(28, 28, 1\)"):
        digits.probabilities(np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\(28, 1\).*\(28, 28, 1\)"):
        digits.features(np.zeros((28, 28, 1), np.uint8))


def test_verdict_closed_form():
    p = [[0.95, 0.05, 0.0], [0.1, 0.9, 0.0], [0.0, 0.92, 0.08], [0.5, 0.3, 0.2]]
    assert verdict(p) == Verdict(0.5, (0.5, 0.5, 0.0))  # 0.9 is not more than 0.9
    assert verdict(p, threshold=0.4).sure == 1
    assert verdict(np.eye(5)) == Verdict(1.0, (0.2,) * 5)
    for wrong in (np.zeros((0, 10)), np.zeros(10)):
        with pytest.raises(ValueError, match="probabilities"):
            verdict(wrong)


def test_sets_that_cannot_be_classified_are_refused():
    unlabelled = dataset("faces", "train", np.zeros((10, 8, 8, 1), np.uint8))
    with pytest.raises(ValueError, match=r"faces has no labels.*use a labelled set"):
        pretrained.fitted(unlabelled, unlabelled)
    with pytest.raises(ValueError, match=r"ring contains points"):
        pretrained.load("ring")
    assert not list(cache.directory().glob("classifier*"))


def test_training_is_kept_and_a_damaged_file_is_not_trusted(monkeypatch):
    arrays = train_classifier.train(bars(), bars(seed=1), steps=60)
    calls = []
    monkeypatch.setattr(train_classifier, "train", lambda *args: calls.append(args) or arrays)

    def fit(seed=0):
        found = pretrained.fitted(bars(), bars(seed=1), seed, steps=60)
        return found.fingerprint, found.probabilities(bars(seed=2).arrays["image"])

    trained = classifier.classifier(arrays)
    p = trained.probabilities(bars(seed=2).arrays["image"])
    assert trained.accuracy >= 0.95 and p.shape == (64, 2)
    whole = b""
    for damage in (None, lambda b: b, lambda b: b[: len(b) // 2], lambda b: b"", _flip):
        if damage:
            (path,) = cache.directory().glob("classifier-bars-*.npz")
            whole = path.read_bytes()
            path.write_bytes(damage(whole))
        before = len(calls)
        fingerprint, q = fit()
        untouched = damage is not None and damage(whole) == whole
        assert len(calls) == before + (not untouched)  # retrieved if whole, trained if missing or damaged
        assert fingerprint == trained.fingerprint
        np.testing.assert_array_equal(p, q)
    assert len(list(cache.directory().iterdir())) == 1
    fit(seed=1)  # another seed is another classifier
    assert len(calls) == 5 and len(list(cache.directory().iterdir())) == 2


def _flip(content):
    """Changes one bit in the middle, where the weights are."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.slow
def test_equal_seeds_train_equal_weights():
    def weights(seed):
        return train_classifier.train(bars(), bars(seed=1), seed, steps=20)["logits/kernel"]

    np.testing.assert_array_equal(weights(0), weights(0))
    assert (weights(0) != weights(1)).any()


@pytest.mark.slow
def test_the_progress_of_training_is_printed_with_the_time_left_and_the_cheaper_choice_is_named(monkeypatch, capsys):
    seconds = itertools.count(0.0, 20.0)  # 20 between any two looks at the clock
    monkeypatch.setattr(train_classifier, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(train_classifier, "STRETCH", 2)
    train_classifier.train(bars(), bars(seed=1), steps=8)
    first, *lines = capsys.readouterr().out.splitlines()
    assert "--features pixels" in first
    assert lines == [f"classifier: {done} of 8 updates, {left} s left" for done, left in ((4, 40), (6, 20))]
