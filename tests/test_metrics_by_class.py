"""Scores by class: closed forms, what ignores the label, what makes one image a class, and what is refused."""

import numpy as np
import pytest

from gan_jax.metrics.by_class import agreement, classification_accuracy_score, intra_class_fid, intra_class_recall


def gaussians(count, size=3, classes=4, apart=10.0, seed=0):
    """Features [count * classes, size] about a center for each class, and labels, in no order."""
    draws = np.random.default_rng(seed)
    label = draws.permutation(np.arange(count * classes) % classes)
    centers = apart * np.random.default_rng(1).standard_normal((classes, size))
    return (centers[label] + draws.standard_normal((len(label), size))).astype(np.float32), label


def squares(count, seed=0):
    """Images [count, 8, 8, 1] of a bright square in one of sixteen places, which is the class; and labels."""
    draws = np.random.default_rng(seed)
    label = draws.permutation(np.arange(count) % 16).astype(np.int32)
    image = draws.integers(0, 60, (count, 8, 8, 1), np.uint8)
    for each, place in zip(image, label, strict=True):
        top, left = 2 * (place // 4), 2 * (place % 4)
        each[top : top + 2, left : left + 2] = draws.integers(150, 256)
    return image, label


# Agreement


def test_agreement_counts_of_all_and_of_each_class():
    found = agreement([0, 0, 1, 1, 1, 0, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2], 3)
    assert found.overall.value == 5 / 8
    assert [each.value for each in found.per_class] == [2 / 3, 2 / 4, 1]
    assert found.overall.error == pytest.approx(np.sqrt(5 / 8 * 3 / 8 / 7))


def test_swapped_labels_agree_in_nothing_and_guesses_by_chance():
    label = np.arange(400) % 4
    assert agreement(label, label, 4).overall == (1, 0)
    assert agreement(label, (label + 1) % 4, 4).overall == (0, 0)
    value, error = agreement(np.random.default_rng(0).integers(0, 4, 400), label, 4).overall
    assert abs(value - 1 / 4) < 3 * error and error == pytest.approx(np.sqrt(3 / 16 / 400), rel=0.1)


# Within classes


def test_intra_fid_is_the_mean_of_what_each_class_is_moved_and_stretched_by():
    real, label = gaussians(200)
    moved, scale = np.array([0.0, 1.0, 2.0, 4.0]), np.array([1.0, 1.0, 0.5, 3.0])
    fake, expected = np.empty_like(real, np.float64), []
    for c in range(4):
        x = real[label == c].astype(float)
        fake[label == c] = x.mean(0) + scale[c] * (x - x.mean(0)) + [moved[c], 0, 0]
        expected.append(moved[c] ** 2 + (scale[c] - 1) ** 2 * np.trace(np.cov(x.T)))
    found = intra_class_fid(real, label, fake, label, 4)
    np.testing.assert_allclose([each.value for each in found.per_class], expected, rtol=1e-4, atol=1e-6)
    assert found.overall.value == pytest.approx(np.mean(expected), rel=1e-4)
    errors = [each.error for each in found.per_class]
    assert found.overall.error == pytest.approx(np.sqrt(np.sum(np.square(errors))) / 4)


def test_classes_exchanged_are_as_far_as_their_centers_though_all_together_are_the_same():
    real, label = gaussians(300)
    exchanged = label ^ 1
    apart = [np.sum((real[label == c].mean(0) - real[exchanged == c].mean(0)) ** 2) for c in range(4)]
    found = intra_class_fid(real, label, real, exchanged, 4)
    np.testing.assert_allclose([each.value for each in found.per_class], apart, rtol=0.02)
    assert intra_class_fid(real, label, real, label, 4).overall.value == pytest.approx(0, abs=1e-6)
    assert intra_class_recall(real, label, real, label, 4).overall.value == 1
    assert intra_class_recall(real, label, real, exchanged, 4).overall == (0, 0)


def test_samples_of_the_data_have_its_recall_and_one_image_a_class_has_none():
    real, label = gaussians(200)
    held, fake = (intra_class_recall(real, label, *gaussians(200, seed=seed), 4) for seed in (1, 2))
    assert held.overall.value > 0.8
    assert abs(held.overall.value - fake.overall.value) < 4 * np.hypot(held.overall.error, fake.overall.error)
    first = real[[np.flatnonzero(label == c)[0] for c in range(4)]]
    assert intra_class_recall(real, label, first[label], label, 4).overall == (0, 0)
    nearly = first[label] + np.float32(1e-3) * np.random.default_rng(3).standard_normal(real.shape)
    assert intra_class_recall(real, label, nearly, label, 4).overall.value < 0.01


def test_scores_do_not_change_with_the_order():
    real, label = gaussians(50)
    fake, asked = gaussians(60, seed=1)
    order, other = (np.random.default_rng(0).permutation(len(x)) for x in (real, fake))
    for score in (intra_class_fid, intra_class_recall):
        first = score(real, label, fake, asked, 4).overall.value
        assert score(real[order], label[order], fake[other], asked[other], 4).overall.value == pytest.approx(first)


# A classifier that learns from samples


@pytest.mark.slow
def test_a_classifier_learns_from_samples_of_the_classes_asked_for_and_nothing_from_shuffled_labels():
    (image, label), tests = squares(256), squares(320, seed=9)
    shuffled = np.random.default_rng(0).permutation(label)
    told, misled = (classification_accuracy_score(image, each, *tests, 16, steps=30) for each in (label, shuffled))
    assert told.overall.value > 0.95 and min(each.value for each in told.per_class) > 0.8
    # what it takes a class for is chance: one class of the 16 on average, rarely four, comes out right
    assert misled.overall.value < 1 / 16 + 4 / 16


# What is refused


def test_labels_out_of_range_are_named_with_the_range():
    x, label = gaussians(20)
    for bad in (-1, 4):
        wrong = np.where(np.arange(80) == 7, bad, label)
        message = rf"has label {bad}: with classes=4 labels must be in \[0, 3\]"
        with pytest.raises(ValueError, match=f"^labels {message}"):
            agreement(label, wrong, 4)
        with pytest.raises(ValueError, match=f"^predicted {message}"):
            agreement(wrong, label, 4)
        for score in (intra_class_fid, intra_class_recall):
            with pytest.raises(ValueError, match=f"^real_labels {message}"):
                score(x, wrong, x, label, 4)
            with pytest.raises(ValueError, match=f"^fake_labels {message}"):
                score(x, label, x, wrong, 4)


def test_classes_without_images_are_named():
    x, label = gaussians(20)
    none = np.where(label == 2, 1, label)
    image, classes = squares(40)
    with pytest.raises(ValueError, match=r"^labels has no label 2: with classes=4"):
        agreement(label, none, 4)
    assert agreement(none, label, 4).per_class[2].value == 0  # a classifier need not find it
    for score in (intra_class_fid, intra_class_recall):
        with pytest.raises(ValueError, match=r"^real_labels has no label 2"):
            score(x, none, x, label, 4)
        with pytest.raises(ValueError, match=r"^fake_labels has no label 2"):
            score(x, label, x, none, 4)
    missing = np.where(classes == 3, 0, classes)
    with pytest.raises(ValueError, match=r"^labels has no label 3"):
        classification_accuracy_score(image, missing, image, classes, 16)
    with pytest.raises(ValueError, match=r"^test_labels has no label 3"):
        classification_accuracy_score(image, classes, image, missing, 16)


def test_classes_with_too_few_images_are_named_with_the_remedy():
    x, label = gaussians(20)
    few = np.concatenate([np.flatnonzero(label != 1), np.flatnonzero(label == 1)[:3]])
    with pytest.raises(ValueError, match=r"class 1: fake has 3 images for 3 features.*few=True"):
        intra_class_fid(x, label, x[few], label[few], 4)
    assert np.isfinite(intra_class_fid(x, label, x[few], label[few], 4, few=True).overall.value)
    with pytest.raises(ValueError, match=r"class 1: k=3: each of 3 images has 2 neighbours"):
        intra_class_recall(x, label, x[few], label[few], 4)
    assert intra_class_recall(x, label, x[few], label[few], 4, k=2).per_class[1].value > 0


def test_shapes_that_do_not_fit_are_refused():
    x, label = gaussians(20)
    with pytest.raises(ValueError, match=r"predicted has shape \(79,\) of int64: pass integers \[80\]"):
        agreement(label[1:], label, 4)
    with pytest.raises(ValueError, match=r"labels has shape \(80,\) of float64"):
        agreement(label, label * 1.0, 4)
    with pytest.raises(ValueError, match=r"fake_labels has shape \(79,\)"):
        intra_class_recall(x, label, x, label[1:], 4)
    with pytest.raises(ValueError, match=r"real has shape \(80,\): pass features"):
        intra_class_fid(x[:, 0], label, x, label, 4)
    with pytest.raises(ValueError, match="fake has 2 features and real has 3"):
        intra_class_fid(x, label, x[:, :2], label, 4)
