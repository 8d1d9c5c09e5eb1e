"""Standard errors: those of each score are its spread over fresh samples of one generator, the real images being fixed.

A ratio is sqrt(mean error^2) / std of the values; of R sets of samples it is itself known to 1 / sqrt(2 R) or so.
"""

import functools
import itertools
import math

import numpy as np
import pytest

from gan_jax.metrics import precision_recall, protocol
from gan_jax.metrics.by_class import intra_class_fid, intra_class_recall
from gan_jax.metrics.menu import METRICS, Sets
from gan_jax.metrics.protocol import Score
from gan_jax.metrics.statistics import summarise

REALS, SAMPLES, CLASSES = 500, 400, 40
CENTERS = 10 * np.eye(8)
BALLS = ("precision", "recall", "density", "coverage")


def normal(draws, count, size=4, shift=0.0, scale=1.0):
    return shift + scale * draws.standard_normal((count, size))


def modes(draws, count, rare=1.0):
    """Eight far modes, of which half have `rare` times the share of the others."""
    weights = np.repeat([1, rare], 4)
    return CENTERS[draws.choice(8, count, p=weights / weights.sum())] + draws.standard_normal((count, 8))


def collapsed(draws, count):
    """Near copies of 25 images, about as often."""
    return np.random.default_rng(9).standard_normal((25, 4))[draws.integers(0, 25, count)] + normal(draws, count) / 5


SETTINGS = {
    "equal": (normal, normal),
    "shifted": (normal, functools.partial(normal, shift=0.7)),
    "too narrow": (normal, functools.partial(normal, scale=0.5)),
    "half of the modes nearly missed": (modes, functools.partial(modes, rare=0.1)),
    "collapsed": (normal, collapsed),
    "many dimensions": (functools.partial(normal, size=24), functools.partial(normal, size=24, scale=1.1)),
}

OF_FEATURES = [name for name, metric in METRICS.items() if not metric.pixels]


def summary(features, centers, groups=10):
    """Features, and probabilities of classes about centers."""
    squares = ((features[:, None] - centers) ** 2).sum(2) / 2
    p = np.exp(squares.min(1, keepdims=True) - squares)
    return summarise([(features.astype(np.float32), p / p.sum(1, keepdims=True))], len(features), groups, keep=True)


def found(setting, names, times):
    """Scores of fresh samples: values and errors, `[times, 2]` by name."""
    draws = np.random.default_rng(0)
    of_data, of_samples = SETTINGS[setting]
    x = of_data(draws, REALS)
    centers = x[:CLASSES]  # so that there is a real image of each class
    real, train = summary(x, centers, 1), of_data(draws, REALS).astype(np.float32)
    scores = {name: [] for name in names}
    for _ in range(times):
        fake = summary(of_samples(draws, SAMPLES), centers)
        overlap = functools.cache(functools.partial(precision_recall.overlap, real, fake))
        sets = Sets(real, fake, train, False, x.shape[1:], overlap)
        for name in names:
            scores[name].append(METRICS[name].of(sets))
    return {name: np.array(each) for name, each in scores.items()}


def ratio(scores):
    values, errors = np.transpose(scores)
    return math.sqrt(np.mean(errors**2)) / np.std(values, ddof=1)


def differing(scores):
    """Returns the share of pairs of equal generators that differ by more than 1.96 errors."""
    protocols = ("", "", "none", "", "", "", "test", REALS, SAMPLES, "averaged", 0, 0)
    each = [Score("any", value, error, *protocols) for value, error in scores]
    apart = [protocol.compare(*pair) for pair in itertools.combinations(each, 2)]
    return np.mean([abs(difference.value) > 1.96 * difference.error for difference in apart])


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["shifted", "half of the modes nearly missed"])
def test_errors_are_the_spread_over_fresh_samples(setting):
    for name, scores in found(setting, OF_FEATURES, 40).items():
        assert 0.7 < ratio(scores) < 1.4, name
        assert differing(scores) < 0.15, name  # 5%, and more where the error is known by ten splits or groups alone


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_errors_are_the_spread_over_fresh_samples_in_unlike_settings(setting):
    for name, scores in found(setting, OF_FEATURES, 40).items():
        assert 0.7 < ratio(scores) < 1.4, name


@pytest.mark.parametrize("score", [intra_class_fid, intra_class_recall])
def test_errors_within_classes_are_the_spread_over_fresh_samples(score):
    draws, labels = np.random.default_rng(0), np.arange(240) % 2
    far = 20 * labels[:, None]
    real = normal(draws, 240) + far
    scores = [score(real, labels, normal(draws, 240, shift=0.5) + far, labels, 2).overall for _ in range(30)]
    assert 0.7 < ratio(scores) < 1.4
