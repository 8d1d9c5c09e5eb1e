"""Stacked digits: labels are the channels' digits, and modes are counted as theory says they must be."""

import math
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import stacked_mnist
from experiments.reproduce.stacked_mnist import markdown
from gan_jax import data, loop, runs, sample
from gan_jax.data import kinds
from gan_jax.data.dataset import dataset
from gan_jax.data.sources import stacked
from gan_jax.metrics import classes, features, protocol
from gan_jax.metrics.features import pretrained
from gan_jax.metrics.scoring import TRAINING
from gan_jax.metrics.statistics import Summary, summarise


@pytest.fixture(scope="module")
def train():
    return data.load("stacked_digits")


@pytest.fixture(scope="module")
def test():
    return data.load("stacked_digits", "test")


@pytest.fixture(scope="module")
def judge():
    return pretrained.load("stacked_digits")


def summary(labels: np.ndarray, count: int) -> Summary:
    return summarise([(np.zeros((len(labels), 1)), np.eye(count)[labels])], len(labels))


# Data


def test_channels_are_the_digits_of_the_label(train, test):
    assert train.spec == test.spec == data.Spec((28, 28, 3), 1000) and train.name == "stacked_digits"
    for split in (train, test):
        digits = data.load("digits", split.split).arrays
        known = {image.tobytes(): label for image, label in zip(digits["image"], digits["label"], strict=True)}
        for image, label in zip(split.arrays["image"][:200], split.arrays["label"][:200], strict=True):
            found = [known[np.ascontiguousarray(image[..., channel]).tobytes()] for channel in range(3)]
            assert found == list(stacked.digits_of(label)) and label == int("".join(map(str, found)))


def test_every_class_is_there_and_as_likely_as_another(train, test):
    np.testing.assert_array_equal(np.bincount(test.arrays["label"]), [10] * 1000)
    counts = np.bincount(train.arrays["label"], minlength=1000)
    assert counts.sum() == 50_000 and counts.min() > 0
    assert abs(np.sum((counts - 50) ** 2 / 50) - 999) < 4 * math.sqrt(2 * 999)  # chi squared, of independent draws


def test_classes_are_alike_where_digits_are_not():
    few = data.load("digits", "test")
    keep = (few.arrays["label"] == 0) | (np.arange(2000) % 20 == 0)
    rare = dataset("digits", "train", *(few.arrays[name][keep] for name in ("image", "label")), classes=10)
    made = stacked.stack(rare, "stacked_digits").arrays["label"]
    shares = np.stack([np.bincount(column, minlength=10) for column in stacked.digits_of(made).T]) / len(made)
    np.testing.assert_allclose(shares, 0.1, atol=0.006)  # 4.5 standard deviations


def test_it_is_the_same_everywhere(train):
    assert data.load("stacked_digits").fingerprint == train.fingerprint == "ddec446f2b69b79e"


def test_resolution_and_splits():
    assert data.load("stacked_digits", "test", 32).spec == data.Spec((32, 32, 3), 1000)
    with pytest.raises(ValueError, match=r"split='valid': stacked_digits has the splits train and test"):
        data.load("stacked_digits", "valid")


def test_stacked_mnist():
    data_dir = os.environ.get("TFDS_DATA_DIR")
    if not data_dir or not (Path(data_dir) / "mnist").is_dir():
        pytest.skip("mnist is not in $TFDS_DATA_DIR")
    made = data.load("stacked_mnist", "test")  # the training images take 300 MB
    assert made.spec == data.Spec((28, 28, 3), 1000) and len(made.arrays["image"]) == 10_000


# Classifier


def test_the_classifier_sees_the_digits(judge, test):
    image, label = test.arrays["image"][3::11], test.arrays["label"][3::11]
    found = judge.probabilities(image).argmax(1)
    assert np.mean(stacked.digits_of(found) == stacked.digits_of(label)) >= 0.98
    assert np.mean(found == label) == pytest.approx(judge.accuracy, abs=0.02)  # 3.5 standard deviations


def test_it_is_the_classifier_of_digits_thrice(judge, test):
    image, single = test.arrays["image"][:9], pretrained.load("digits")
    parts = [single.probabilities(image[..., channel : channel + 1]) for channel in range(3)]
    expected = np.einsum("ni,nj,nk->nijk", *parts).reshape(9, 1000)
    np.testing.assert_allclose(judge.probabilities(image), expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(judge.features(image)[:, 64:128], single.features(image[..., 1:2]), atol=1e-4)
    seen, p = judge.apply(judge.params, jnp.asarray(image / 127.5 - 1, jnp.float32))
    np.testing.assert_allclose(p, expected, atol=1e-5)
    np.testing.assert_allclose(seen, judge.features(image), atol=1e-4)
    assert (judge.size, judge.classes) == (192, 1000) and judge.fingerprint != single.fingerprint
    for call in (judge.probabilities, lambda x: judge.apply(judge.params, jnp.zeros(x.shape))):
        with pytest.raises(ValueError, match=r"shape \(28, 28, 1\): stacked digits have 3 channels"):
            call(image[..., :1])


# Modes


@pytest.mark.parametrize(("kinds", "count"), [(10, 20), (50, 1000)])
def test_perfect_samples_get_what_theory_says(kinds, count):
    draws = np.random.default_rng(0)
    found = [summary(draws.integers(kinds, size=count), kinds) for _ in range(200)]
    covered, kl = ([metric(each).value for each in found] for metric in (classes.covered, classes.uniform_kl))
    best, next_term = classes.perfect(kinds, count), (kinds**2 - 1) / (12 * count**2)
    assert abs(np.mean(covered) - best.covered) < 4 * np.std(covered) / 14 + 1e-3
    assert abs(np.mean(kl) - best.uniform_kl - next_term) < 4 * np.std(kl) / 14 + 0.05 * next_term
    with pytest.raises(ValueError, match="count=0"):
        classes.perfect(kinds, 0)


def test_m_of_k_classes_alike_have_a_kl_of_log_k_over_m():
    for found in (1, 4, 8):
        value, error = classes.uniform_kl(summary(np.arange(400) % found, 8))
        assert value == pytest.approx(math.log(8 / found), abs=1e-12)
        # the variance of the squares is left, as the linear terms have none where shares are equal
        squares = max(0, found * (1 - found / 400) - 1) / (2 * 400**2)
        assert error == pytest.approx(math.sqrt(squares), abs=1e-7)
    with pytest.raises(ValueError, match="fake has no probabilities"):
        classes.uniform_kl(summarise([(np.zeros((20, 1)), np.zeros((20, 0)))], 20))


def score(judge, images):
    """Scores images as though they were samples."""
    stream = features.extractor(features.of_classifier(judge, "stacked_digits"), features.of_data(kinds.image))(
        None, images
    )
    found = summarise(stream, len(images))
    return classes.covered(found), classes.uniform_kl(found)


def test_a_perfect_sampler_is_near_the_floor(judge, train):
    covered, kl = score(judge, train.arrays["image"][:3000])
    best = classes.perfect(1000, 3000)
    assert abs(covered.value - best.covered) < 24  # 4 standard deviations
    assert best.uniform_kl * 0.9 < kl.value < best.uniform_kl * 1.2


def test_a_sampler_of_one_image_has_one_mode(judge, train):
    covered, kl = score(judge, np.repeat(train.arrays["image"][:1], 100, axis=0))
    assert covered == (1, 0) and kl.value == pytest.approx(math.log(1000))


# Experiment and record


@pytest.mark.slow
def test_the_experiment_is_trained_sampled_and_scored(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stacked, "TESTED", 1000)  # they are judged, though nothing is compared with them
    run = loop.Run(steps=2, workdir=tmp_path, eval_count=300, devices=1)
    config = stacked_mnist.Config(batch_size=8, pack=2, g_width=4, d_width=4, run=run)
    stacked_mnist.main(config)
    assert sample.samples(runs.open_run(tmp_path), seed=0, count=3).shape == (3, 28, 28, 3)
    found = {(s.weights, s.metric): s for s in protocol.read(tmp_path)}
    assert set(found) == {(w, m) for w in (TRAINING, "averaged") for m in stacked_mnist.METRICS}
    of_noise, best = found["averaged", "uniform_kl"], classes.perfect(1000, 300)
    assert of_noise.fake == 300 and of_noise.step == 2 and of_noise.value > 2 * best.uniform_kl
    assert found[TRAINING, "classes"].value == pytest.approx(best.covered, abs=30)
    assert f"by theory:  classes {best.covered:.4g}" in capsys.readouterr().out


def test_other_data_are_refused_before_training():
    with pytest.raises(ValueError, match=r"dataset='digits'.*stacked_digits or stacked_mnist"):
        stacked_mnist.main(stacked_mnist.Config(dataset="digits"))


def test_the_table_of_a_record():
    rows = [{"pack": 1 + i // 3, "classes": 100.0 + i, "uniform_kl": i, "sure": i / 10, "minutes": 2} for i in range(6)]
    record = {"rows": rows, TRAINING: {"classes": 1000.0, "uniform_kl": 0.0196, "sure": 0.97}}
    record["perfect"] = classes.perfect(1000, 26_000)._asdict()
    assert markdown(record).splitlines()[2:] == [
        "| single images | 101 (100 to 102) | 1.00 (0.00 to 2.00) | 10% (0% to 20%) | 2.0 |",
        "| packs of 2 | 104 (103 to 105) | 4.00 (3.00 to 5.00) | 40% (30% to 50%) | 2.0 |",
        "| training images | 1000 | 0.0196 | 97% | |",
        "| perfect samples, by theory | 1000 | 0.0192 | | |",
    ]
