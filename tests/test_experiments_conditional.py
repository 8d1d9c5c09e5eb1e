"""The record of conditional runs: what is said of it, its table, and the choice of real images."""

import json

import numpy as np
import pytest

from experiments.reproduce.conditional import markdown, of_each_class, sentence
from experiments.reproduce.infogan import matched
from gan_jax.metrics.scoring import TRAINING


def scores(agreement, fid, recall, learnt):
    found = {"intra_fid": fid, "intra_recall": recall, "classification_accuracy": learnt}
    overall = {name: {"overall": [value, 0.01], "per_class": []} for name, value in found.items()}
    return overall | {"agreement": {"overall": [np.mean(agreement), 0.01], "per_class": agreement}}


def record(experiment="conditional_dcgan", data="fashion_mnist", **changes):
    return {
        "experiment": experiment,
        "data": {"name": data, "classes": 3},
        "device": "2 CPU cores",
        "steps": 20_000,
        "minutes": 12.34,
        "protocol": {"count_per_class": 1_000},
        "classes": ["trouser", "shirt", "bag"],
        "samples": scores([0.95, 0.75, 1.0], 6.125, 0.456, 0.85),
        TRAINING: scores([1.0, 1.0, 1.0], 1.21, 0.789, 0.902),
        "test images": {"agreement": {"overall": [0.93, 0.01], "per_class": [0.97, 0.9, 0.92]}},
    } | changes


def test_the_sentence_of_a_record():
    said = (
        "One run of 20,000 iterations on fashion_mnist, 12.3 minutes on 2 CPU cores: the classifier puts 90.0% of "
        "3,000 samples, 1,000 per class, in the requested class (test images: 93.0%); in the worst class, shirt, "
        "75.0%. Within classes, recall is 0.46 (training images: 0.79) and FID 6.12 (1.21). A classifier trained "
        "on the samples alone classifies 85.0% of the test images correctly; trained on as many training images, "
        "90.2%."
    )
    assert sentence(record()) == sentence(json.loads(json.dumps(record()))) == said


def test_the_table_of_records():
    others = record("projection", samples=scores([1.0, 0.98, 0.99], 3, 0.5, 0.9)), record("projection", "digits")
    assert markdown([record(), *others]).splitlines()[2:] == [
        "| `conditional_dcgan`, fashion_mnist | 90.0% | 75.0% (shirt) | 0.46 | 6.12 | 85.0% |",
        "| `projection`, fashion_mnist | 99.0% | 98.0% (shirt) | 0.50 | 3.00 | 90.0% |",
        "| `projection`, digits | 90.0% | 75.0% (shirt) | 0.46 | 6.12 | 85.0% |",
        "| real images, fashion_mnist | 93.0% | 90.0% (shirt) | 0.79 | 1.21 | 90.2% |",
        "| real images, digits | 93.0% | 90.0% (shirt) | 0.79 | 1.21 | 90.2% |",
    ]
    assert {line.count("|") for line in markdown([record()]).splitlines()} == {7}


def test_as_many_images_of_each_class_are_chosen_once_each():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [5, 7, 9]))
    chosen = of_each_class(labels, 3, 5, seed=0)
    assert len(set(chosen.tolist())) == 15
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [5, 5, 5])
    np.testing.assert_array_equal(chosen, of_each_class(labels, 3, 5, seed=0))
    assert set(chosen) != set(of_each_class(labels, 3, 5, seed=1))
    with pytest.raises(ValueError, match="count_per_class=6: class 0 has only 5 training images"):
        of_each_class(labels, 3, 6, seed=0)


def test_codes_are_matched_to_classes_one_to_one():
    labels = np.repeat(np.arange(4), 25)
    assert matched(np.array([2, 0, 3, 1])[labels], labels, 4) == 1  # whatever they are called
    assert matched(np.zeros(100, int), labels, 4) == 0.25  # one code cannot stand for all
    assert matched(np.where(labels == 3, 2, labels), labels, 4) == 0.75  # nor for two
    split = np.where((labels == 0) & (np.arange(100) % 5 == 0), 3, np.where(labels == 3, 2, labels))
    assert matched(split, labels, 4) == (20 + 25 + 25) / 100  # code 3 is left with class 3, of which it has none
