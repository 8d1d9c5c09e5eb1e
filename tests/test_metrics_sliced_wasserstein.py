"""Sliced Wasserstein distance: closed forms, and the authors' formulas."""

import numpy as np
import pytest

from gan_jax.errors import UserError
from gan_jax.metrics import menu
from gan_jax.metrics.features import Plan
from gan_jax.metrics.sliced_wasserstein import by_side, distance, pyramid, sliced_wasserstein

DRAWS = np.random.default_rng(0)
IMAGES = DRAWS.integers(0, 256, (12, 32, 32, 3)).astype(np.float32)


def test_a_set_has_distance_0_from_itself_whatever_its_order_along_each_direction():
    assert sliced_wasserstein(IMAGES, IMAGES, 4, 16).value == 0
    points, directions = DRAWS.normal(size=(50, 3)), DRAWS.normal(size=(3, 20))
    assert distance(points, points[::-1], directions) == 0


def test_points_that_are_shifted_are_apart_by_the_shift_along_each_direction():
    points, directions, shift = DRAWS.normal(size=(200, 5)), DRAWS.normal(size=(5, 30)), DRAWS.normal(size=5)
    expected = np.mean(np.abs(shift @ directions) / np.linalg.norm(directions, axis=0))
    assert distance(points, points + shift, directions) == pytest.approx(expected, rel=1e-9)


def test_in_one_dimension_it_is_the_distance_of_quantiles():
    # W1 of N(0, 1) and N(0, 4) is E|z - 2 z| = E|z| = sqrt(2 / pi)
    a, b = DRAWS.normal(size=(100_000, 1)), 2 * DRAWS.normal(size=(100_000, 1))
    assert distance(a, b, np.ones((1, 1))) == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)


def test_the_pyramid_is_the_authors():
    ndimage = pytest.importorskip("scipy.ndimage")
    row = np.array([1, 4, 6, 4, 1], np.float32) / 16
    kernel = np.outer(row, row)[None, :, :, None]
    smaller = ndimage.convolve(IMAGES, kernel, mode="mirror")[:, ::2, ::2]
    spread = np.zeros_like(IMAGES)
    spread[:, ::2, ::2] = smaller
    larger = IMAGES - ndimage.convolve(spread, 4 * kernel, mode="mirror")
    made = pyramid(IMAGES)
    assert [level.shape[1] for level in made] == [32, 16]
    np.testing.assert_allclose(made[0], larger, atol=1e-3)
    np.testing.assert_allclose(made[1], smaller, atol=1e-3)
    assert [level.shape[1] for level in pyramid(np.zeros((1, 28, 28, 1), np.float32))] == [28]
    assert [level.shape[1] for level in pyramid(np.zeros((1, 72, 72, 1), np.float32))] == [72, 36, 18]


def test_descriptors_and_their_distance_are_the_authors():
    # one level: patches of images of side 16, each channel scaled over its own set
    real, fake = IMAGES[:, :16, :16], np.sqrt(IMAGES[::-1, 8:24, 8:24])
    draws = np.random.default_rng(0)
    rows, columns = (draws.integers(0, 10, (12, 5)) for _ in range(2))
    directions = draws.standard_normal((49 * 3, 16))
    directions = directions / np.sqrt(np.sum(directions**2, 0))
    projected = []
    for images in (real, fake):
        patches = [
            image[r : r + 7, c : c + 7].transpose(2, 0, 1)
            for image, places in zip(images, zip(rows, columns, strict=True), strict=True)
            for r, c in zip(*places, strict=True)
        ]
        found = np.stack(patches).astype(np.float64)
        found = (found - found.mean((0, 2, 3), keepdims=True)) / found.std((0, 2, 3), keepdims=True)
        projected.append(np.sort(found.reshape(len(found), -1) @ directions, axis=0))
    expected = 1000 * np.mean(np.abs(projected[0] - projected[1]))
    assert by_side(real, fake, 5, 16) == {16: pytest.approx(expected, rel=1e-4)}


def test_it_does_not_depend_on_the_range_of_the_images_nor_on_their_number():
    apart = by_side(IMAGES, IMAGES[::-1] ** 2, 8, 16)
    scaled = by_side(IMAGES / 127.5 - 1, 3 * IMAGES[::-1] ** 2 + 5, 8, 16)
    assert scaled == {side: pytest.approx(value, rel=1e-3) for side, value in apart.items()}
    assert set(by_side(IMAGES, IMAGES[:5], 8, 16)) == {32, 16}


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match="at least 16x16"):
        sliced_wasserstein(IMAGES[:, :8, :8], IMAGES[:, :8, :8])
    with pytest.raises(UserError, match="one shape"):
        sliced_wasserstein(IMAGES, IMAGES[..., :1])
    plan = Plan("classifier of digits", 64, 10, lambda: None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match="give --features pixels"):
        menu.require(["sliced_wasserstein"], plan, {"samples": 100}, "")
