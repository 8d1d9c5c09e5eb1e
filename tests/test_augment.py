import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import augment, rng
from gan_jax.augment import ada_transforms
from gan_jax.devices import parallel
from gan_jax.types import TrainState

KEYS = jax.random.split(jax.random.key(0), 1000)
SIX = KEYS[:6]
COLOURS = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 3)), jnp.float32)
EVERYTHING = augment.ada(filtering=True, noise=True, cutout=True)
NOTHING = functools.partial(augment.ada, blit=False, geometry=False, color=False)
BLIT, COLOR = NOTHING(blit=True), NOTHING(color=True)


def state(p=0.0, step=0):
    return TrainState(jnp.array(step), {}, {}, {}, {}, {"ada": jnp.array(p)})


def many(augmentation, image, p=1.0):
    """One image under every key."""
    images = jnp.broadcast_to(jnp.asarray(image, jnp.float32), (len(KEYS), *np.shape(image)))
    return np.asarray(jax.jit(augmentation)(images, KEYS, state(p)))


def numbered(height, width):
    return np.arange(1.0, height * width + 1).reshape(height, width, 1)


def frequencies(found, variants):
    """How often each variant came; all that was found must be one of them, to the bit."""
    places = {np.ascontiguousarray(v, np.float32).tobytes(): i for i, v in enumerate(variants)}
    assert len(places) == len(variants)
    return np.bincount([places[x.tobytes()] for x in found], minlength=len(variants)) / len(found)


def assert_probability(found, expected):
    """Within 4 standard errors; the seed is fixed."""
    error = np.sqrt(np.multiply(expected, np.subtract(1, expected)) / len(KEYS))
    assert np.all(np.abs(found - expected) <= 4 * error + 1e-9), (found, expected)


def shifted(image, y, x, mode):
    """out[i, j] = image[i - y, j - x]."""
    height, width, _ = image.shape
    padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), mode)
    return padded[3 - y : 3 - y + height, 3 - x : 3 - x + width]


def uniform_over(low, high, values, tolerance=4):
    """Mean and range of a uniform law."""
    assert low <= values.min() and values.max() <= high
    assert abs(values.mean() - (low + high) / 2) < tolerance * (high - low) / (12 * len(values)) ** 0.5


# the official forms of DiffAugment, and of consistency regularisation


def test_translation_is_every_shift_alike_with_zeros():
    image = numbered(8, 13)
    variants = [shifted(image, y, x, "constant") for y in range(-2, 3) for x in range(-3, 4)]
    assert_probability(frequencies(many(augment.translation(1 / 4), image), variants), np.full(35, 1 / 35))


def test_flip_and_translate_is_every_flip_and_shift_alike_with_reflection():
    image = numbered(8, 5)
    variants = [
        shifted(i, y, x, "reflect") for i in (image, image[:, ::-1]) for y in (-2, -1, 0, 1, 2) for x in (-1, 0, 1)
    ]
    assert_probability(frequencies(many(augment.flip_and_translate(1 / 4), image), variants), np.full(30, 1 / 30))


def test_cutout_is_every_official_rectangle_alike():
    image, variants = numbered(6, 5), []
    for y, x in itertools.product(range(6), range(5)):  # 3 of 6 rows about one of 6, 3 of 5 columns about one of 5
        cut = image.copy()
        cut[np.ix_(np.clip(np.arange(3) + y - 1, 0, 5), np.clip(np.arange(3) + x - 1, 0, 4))] = 0
        variants.append(cut)
    assert_probability(frequencies(many(augment.cutout(), image), variants), np.full(30, 1 / 30))
    image, variants = numbered(4, 5), []
    for y, x in itertools.product(range(5), range(6)):  # an even side may also be cut about one place more
        cut = image.copy()
        cut[np.ix_(np.clip(np.arange(2) + y - 1, 0, 3), np.clip(np.arange(2) + x - 1, 0, 4))] = 0
        variants.append(cut)
    assert_probability(frequencies(many(augment.cutout(0.45), image), variants), np.full(30, 1 / 30))


def test_color_changes_brightness_saturation_and_contrast_apart():
    image = np.asarray(COLOURS[0])
    found = many(augment.color(), image)
    brightness = (found - image).mean((1, 2, 3))  # the other two keep the mean
    grey, grey_found = image.mean(-1), found.mean(-1)
    deviation, deviation_found = grey - grey.mean(), grey_found - grey_found.mean((1, 2), keepdims=True)
    contrast = (deviation_found * deviation).sum((1, 2)) / (deviation**2).sum()
    tint, tint_found = image - grey[..., None], found - grey_found[..., None]
    saturation = (tint_found * tint).sum((1, 2, 3)) / (tint**2).sum() / contrast
    # they explain the whole of it
    np.testing.assert_allclose(deviation_found, contrast[:, None, None] * deviation, atol=1e-5)
    np.testing.assert_allclose(tint_found, (contrast * saturation)[:, None, None, None] * tint, atol=1e-5)
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (saturation, 0, 2)):
        uniform_over(low - 1e-5, high + 1e-5, values)
    apart = np.asarray(np.corrcoef([brightness, contrast, saturation]))
    assert np.abs(apart[np.triu_indices(3, 1)]).max() < 4 / len(KEYS) ** 0.5


def test_color_of_one_channel_has_no_saturation():
    image = np.asarray(COLOURS[0, ..., :1])
    found, mean = many(augment.color(), image), image.mean()
    contrast = found.std((1, 2, 3)) / image.std()
    brightness = found.mean((1, 2, 3)) - mean
    expected = mean + brightness[:, None, None, None] + contrast[:, None, None, None] * (image - mean)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    uniform_over(0.5 - 1e-5, 1.5 + 1e-5, contrast)


# ADA


def test_ada_at_0_gives_the_images_back():
    uneven = COLOURS[:, 1:]  # the middle of 7 rows is a pixel, that of 8 columns is not
    np.testing.assert_array_equal(jax.jit(EVERYTHING)(uneven, SIX, state(0.0)), uneven)
    grey = COLOURS[0, ..., :1]
    np.testing.assert_array_equal(many(COLOR, grey, p=0.0), np.broadcast_to(grey, (len(KEYS), *grey.shape)))


@functools.partial(jax.jit, static_argnames=("sides", "blit", "geometry"))
def drawn_maps(p, sides, **transforms):
    """The maps of all keys, [n, 2, 3]."""
    return jax.vmap(lambda key: ada_transforms.inverse_map(key, p, sides, **transforms))(KEYS)


def maps(p, sides, **transforms):
    """Their linear parts, [n, 2, 2], and the translations that they undo, [n, 2]."""
    found = np.asarray(drawn_maps(p, sides, **transforms), np.float64)
    return found[..., :2], -np.linalg.solve(found[..., :2], found[..., 2:])[..., 0]


def test_blit_is_every_flip_turn_and_shift():
    turns = [np.rot90(np.eye(2), k) * [[1], [sign]] for sign in (1, -1) for k in (0, 1)]
    turns = [sign * turn for turn in turns for sign in (1, -1)]  # every signed permutation
    variants = [np.c_[turn, [y, x]] + 0.0 for turn in turns for y in (-1, 0, 1) for x in (-2, -1, 0, 1, 2)]
    for p in (1.0, 0.3):
        linear, shift = maps(p, (8, 16), geometry=False)
        found = frequencies(np.c_[linear, np.round(shift, 6)[..., None]].astype(np.float32) + 0.0, variants)
        found = found.reshape(8, 15)
        mirrored = np.linalg.det(turns) < 0
        unturned = [np.all(turn == np.diag(np.diag(turn))) and turn[0, 0] > 0 for turn in turns]
        assert_probability(found[mirrored].sum(), p / 2)
        assert_probability(found[unturned].sum(), 1 - 3 * p / 4)
        assert_probability(found[0].sum(), (1 - p / 2) * (1 - 3 * p / 4))
        shift = np.outer([1, 2, 1], [1, 2, 2, 2, 1]).ravel() / 32  # of a uniform number on [-1, 1] or [-2, 2], rounded
        assert_probability(found.sum(0), p * shift + (1 - p) * np.eye(15)[7])
        assert_probability(found[0, 7], (1 - p / 2) * (1 - 3 * p / 4) * (1 - 7 * p / 8))  # all three apart


def test_geometry_has_the_laws_of_the_paper():
    linear, shift = maps(1.0, (64, 32), blit=False)
    scale = -np.log2(np.linalg.det(linear)) / 2
    high, low = np.linalg.svd(linear, compute_uv=False).T
    angle = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    # a standard deviation of n normal values has a relative error of 1 / sqrt(2 n), 2.2 %
    assert scale.std() == pytest.approx(0.2, rel=0.09) and abs(scale.mean()) < 4 * 0.2 / 31
    assert np.mean((np.log2(high / low) / 2) ** 2) ** 0.5 == pytest.approx(0.2, rel=0.09)
    assert shift.std(0) == pytest.approx([8, 4], rel=0.09) and np.all(np.abs(shift.mean(0)) < 4 * np.array([8, 4]) / 31)
    uniform_over(-np.pi, np.pi, angle)  # the sum of both, which is uniform on the circle too


def test_geometry_happens_with_probability_p():
    linear, shift = maps(0.4, (64, 64), blit=False)
    high, low = np.linalg.svd(linear, compute_uv=False).T
    happened = {
        "scale": np.abs(high * low - 1),
        "turn": np.abs(linear[:, 1, 0] - linear[:, 0, 1]),
        "stretch": high / low - 1,
        "shift": np.abs(shift).sum(-1),
    }
    for name, distance in happened.items():
        assert abs(np.mean(distance > 1e-3) - 0.4) < 4 * (0.4 * 0.6 / len(KEYS)) ** 0.5, name


def test_blit_comes_before_geometry():
    both, blit, geometry = (
        np.asarray(drawn_maps(1.0, (16, 16), **transforms)) for transforms in ({}, {"geometry": False}, {"blit": False})
    )
    composed = blit[:, :, :2] @ geometry + blit * [0, 0, 1]  # from the result back to the image
    np.testing.assert_allclose(both, composed, atol=1e-5)


def test_colour_matrix_identities():
    compiled = jax.jit(ada_transforms.color_matrix, static_argnums=4)

    def matrix(gain=1.0, flip=0.0, angle=0.0, saturation=1.0, channels=3):
        return np.asarray(compiled(gain, flip, angle, saturation, channels))

    def close(a, b):
        np.testing.assert_allclose(a, b, atol=1e-6)

    eye, grey = np.eye(3), np.full(3, 0.7)
    np.testing.assert_array_equal(matrix(), eye)
    close(matrix(angle=1.2, saturation=3.0) @ grey, grey)
    close(matrix(angle=2 * np.pi / 3), np.roll(eye, 1, axis=0))  # a third of the circle: red to green to blue
    close(matrix(angle=1.2) @ matrix(angle=-0.5), matrix(angle=0.7))
    close(matrix(angle=1.2) @ matrix(angle=1.2).T, eye)
    close(matrix(flip=1.0) @ matrix(flip=1.0), eye)
    close(matrix(flip=1.0) @ grey, -grey)
    close(matrix(flip=1.0) @ np.array([1.0, 0.0, -1.0]), [1.0, 0.0, -1.0])
    close(matrix(saturation=4.0) @ matrix(saturation=0.25), eye)
    close(matrix(gain=2.0), 2 * eye)
    parts = (matrix(gain=1.5), matrix(flip=1.0), matrix(angle=1.2), matrix(saturation=0.5))
    for order in itertools.permutations(parts):
        close(np.linalg.multi_dot(order), matrix(1.5, 1.0, 1.2, 0.5))
    close(matrix(1.5, 1.0, 1.2, 0.5, channels=1), [[-1.5]])


@pytest.mark.parametrize("p", [1.0, 0.4])
def test_colours_have_the_laws_of_the_paper(p):
    corners = np.array([[[0, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 0, 1]]])
    found = many(COLOR, corners, p).astype(np.float64)
    matrix = np.stack([found[:, 0, 1], found[:, 1, 0], found[:, 1, 1]], -1) - found[:, 0, 0, :, None]
    brightness = np.linalg.solve(matrix, found[:, 0, 0, :, None])[..., 0]
    np.testing.assert_allclose(brightness, brightness[:, :1].repeat(3, 1), atol=1e-4)  # x' = A (x + b)
    luma = matrix.sum((1, 2)) / 3
    red, blue = np.array([2, -1, -1]) / 6**0.5, np.array([0, 1, -1]) / 2**0.5
    cosine, sine = matrix @ red @ red, matrix @ red @ blue
    saturation = np.hypot(cosine, sine) / np.abs(luma)
    happened = (brightness[:, 0], np.log2(np.abs(luma)), np.log2(saturation), np.arctan2(sine, cosine))
    for values, deviation in zip(happened, (0.2, 0.5, 1.0, np.pi / 3**0.5), strict=True):
        assert_probability(np.mean(np.abs(values) > 1e-4), p)
        # the square of a normal has a deviation of sqrt(2) times its mean: 4 errors of its mean are 18 % at n = 1000
        assert np.mean(values**2) == pytest.approx(p * deviation**2, rel=0.18 / p**0.5)
        assert abs(np.mean(values)) < 4 * deviation * (p / len(KEYS)) ** 0.5
    assert_probability(np.mean(luma < 0), p / 2)


def test_one_channel_has_brightness_contrast_and_luma_flip():
    image = np.asarray(COLOURS[0, ..., :1])
    found, low, high = many(COLOR, image), image.argmin(), image.argmax()
    ends = found.reshape(len(found), -1)[:, [low, high]]
    gain = (ends[:, 1] - ends[:, 0]) / (image.max() - image.min())
    brightness = ends[:, 0] / gain - image.min()
    assert_probability(np.mean(gain < 0), 0.5)
    assert np.log2(np.abs(gain)).std() == pytest.approx(0.5, rel=0.09)
    assert brightness.std() == pytest.approx(0.2, rel=0.09)
    gain, brightness = gain[:, None, None, None], brightness[:, None, None, None]
    np.testing.assert_allclose(found, gain * (image + brightness), atol=1e-4)


def test_bands_split_the_frequencies_at_octaves():
    side = 33
    bands = ada_transforms.bands(side)
    np.testing.assert_allclose(bands.sum(0), np.eye(side), atol=1e-12)
    np.testing.assert_allclose(ada_transforms.bands(5).sum(0), np.eye(5), atol=1e-12)  # shorter than the filters
    # reflected about their ends, cosines are what every symmetric filter only scales
    waves = np.cos(np.pi * np.outer(np.arange(side), np.arange(side)) / (side - 1))
    response = np.einsum("bij,jk,ik->bk", bands, waves, waves) / (waves**2).sum(0)
    np.testing.assert_allclose(bands @ waves, waves * response[:, None], atol=1e-12)
    np.testing.assert_allclose(response[:, [0, -1]], [[1, 0], [0, 0], [0, 0], [0, 1]], atol=1e-12)
    for band, (low, high) in enumerate([(0, 4), (4, 8), (8, 16), (16, 32)]):
        assert np.all(response[band, low + 1 : high] > 0.5)  # half at the edges, which two octaves share
        np.testing.assert_allclose(response[band, [n for n in (low, high) if 0 < n < 32]], 0.5, atol=0.04)


def test_filtering_keeps_the_power_of_natural_images():
    row = np.random.default_rng(0).normal(size=(16, 1, 1))
    found = many(
        NOTHING(filtering=True), np.repeat(row, 16, 1), p=0.3
    )  # a constant along columns is scaled by the lowest gain
    products = np.linalg.lstsq((ada_transforms.bands(16) @ row[:, 0, 0]).T, found[:, :, 5, 0].T, rcond=None)[0].T
    gains = products / np.sqrt(products[:, :1])
    np.testing.assert_allclose(found[:, :, 2], found[:, :, 9], atol=1e-4)
    others = [np.ptp(np.delete(gains, band, 1), axis=1) < 1e-3 for band in range(4)]  # the others were left alone
    untouched = np.logical_and.reduce(others)
    assert_probability(untouched.mean(), 0.7**4)
    np.testing.assert_allclose(gains[untouched], 1, atol=1e-3)
    for band in range(4):
        alone = others[band] & ~untouched
        assert_probability(alone.mean(), 0.3 * 0.7**3)
        np.testing.assert_allclose(gains[alone] ** 2 @ [10 / 13, 1 / 13, 1 / 13, 1 / 13], 1, atol=1e-3)


def test_ada_noise_and_cutout():
    image = np.ones((8, 8, 1))
    difference = many(NOTHING(noise=True), np.tile(image, (1, 1, 3)), p=0.3) - 1
    assert_probability(np.mean(np.any(difference != 0, (1, 2, 3))), 0.3)
    # the mean of (0.1 n)^2 over 300 examples: its relative error is sqrt(2 / 300), and that of their number the like
    assert np.mean(difference**2) == pytest.approx(0.3 * 0.01, rel=0.4)
    found = many(NOTHING(cutout=True), image, p=0.3)[..., 0]
    rows, columns = np.sum(np.any(found == 0, 2), 1), np.sum(np.any(found == 0, 1), 1)
    np.testing.assert_array_equal(np.sum(found == 0, (1, 2)), rows * columns)  # a rectangle
    assert np.all(np.isin(found, (0, 1))) and set(rows) <= {0, 2, 3, 4} and set(columns) <= {0, 2, 3, 4}
    assert_probability(np.mean(rows > 0), 0.3)
    assert_probability(np.mean(rows == 4), 0.3 * 5 / 8)  # 3 of the possible middles, rounded, clip at each end


# what all share


MOST = augment.chain(augment.diff_augment(), augment.ada(blit=False, filtering=True))  # the others only move pixels


@jax.jit
def forth_and_back(images, cotangent, keys):
    """f(x) and J^T w."""
    value, pull = jax.vjp(lambda x: MOST(x, keys, state(0.8)), images)
    return value, pull(cotangent)[0]


def test_images_go_through_affinely_and_so_do_gradients():
    x, y, w = COLOURS, *jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, *COLOURS.shape)), jnp.float32)
    (fx, back), (fy, same) = forth_and_back(x, w, SIX), forth_and_back(y, w, SIX)
    assert np.all(np.any(fx != fy, (1, 2, 3)))
    np.testing.assert_allclose(forth_and_back(0.3 * x + 0.7 * y, w, SIX)[0], 0.3 * fx + 0.7 * fy, atol=1e-4)
    np.testing.assert_allclose(back, same, atol=1e-5)
    change, expected = jnp.sum((y - x) * back, (1, 2, 3)), jnp.sum((fy - fx) * w, (1, 2, 3))
    np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-3)  # an affine map's finite difference is exact


@pytest.mark.slow
def test_gradient_penalties_go_through():
    @jax.jit
    @jax.grad
    def penalty_gradient(x, keys):  # of |grad|^2 / 2 of the critic |x|^2 / 2 behind the augmentation
        gradient = jax.grad(lambda x: jnp.sum(MOST(x, keys, state(0.8)) ** 2) / 2)(x)
        return jnp.sum(gradient**2) / 2

    value, _ = forth_and_back(COLOURS, COLOURS, SIX)
    _, g = forth_and_back(COLOURS, value, SIX)  # J^T f
    moved, _ = forth_and_back(COLOURS + g, value, SIX)
    _, expected = forth_and_back(COLOURS, moved - value, SIX)  # J^T J g, as f is affine
    found = penalty_gradient(COLOURS, SIX)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_an_example_follows_its_own_image_and_key():
    order = np.array([3, 0, 5, 1, 4, 2])
    turned = COLOURS[order]
    whole = forth_and_back(COLOURS, COLOURS, SIX)
    for found, expected in zip(forth_and_back(turned, turned, SIX[order]), whole, strict=True):
        np.testing.assert_allclose(found, expected[order], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing():
    both = augment.chain(BLIT, augment.instance_noise(0.1))

    def step(state, images, key):
        images = parallel.local(images)
        return state, parallel.gather(both(images, rng.per_example(key, len(images)), state))

    args = COLOURS[:4], jax.random.key(1)
    _, found = parallel.simulated(step, 4)(state(0.8), *args)
    _, expected = parallel.single(step)(state(0.8), *args)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_chain_keeps_order_and_keys_apart():
    noise = augment.instance_noise(1.0)
    found = many(augment.chain(noise, noise, augment.cutout(1 / 4)), np.zeros((8, 8, 3)))
    np.testing.assert_array_equal(np.unique(np.sum(np.all(found == 0, -1), (1, 2))), [1, 2, 4])  # cut last, 2 by 2
    assert found[found != 0].var() == pytest.approx(2, rel=0.02)  # 4 if both drew the same; 180,000 values, error 0.3 %


def test_instance_noise_follows_its_schedule():
    noise = augment.instance_noise(0.5, optax.linear_schedule(1, 0, 10))
    points = jnp.ones((1000, 2))
    for step, deviation in ((0, 0.5), (5, 0.25)):
        found = np.asarray(noise(points, KEYS, state(step=step))) - 1
        assert found.std() == pytest.approx(deviation, rel=0.07) and abs(found.mean()) < 4 * deviation / 2000**0.5
    np.testing.assert_array_equal(noise(points, KEYS, state(step=10)), points)
    np.testing.assert_array_equal(
        augment.instance_noise(0.5)(points, KEYS, state(step=7)), noise(points, KEYS, state(step=0))
    )


def test_what_makes_no_sense_is_refused():
    for build in (augment.translation, augment.cutout, augment.flip_and_translate):
        for ratio in (0.0, 1.0, -0.1):
            with pytest.raises(ValueError, match=f"ratio={ratio}"):
                build(ratio)
    with pytest.raises(ValueError, match="std=0"):
        augment.instance_noise(0)
    with pytest.raises(ValueError, match="all transforms are off"):
        NOTHING()
    with pytest.raises(ValueError, match=r"no slot 'other'.*adaptive_augmentation"):
        augment.ada("other")(COLOURS, SIX, state())
    with pytest.raises(ValueError, match="images have 2"):
        augment.ada()(COLOURS[..., :2], SIX, state())
    with pytest.raises(ValueError, match="only instance_noise"):
        augment.color()(jnp.ones((6, 2)), SIX, state())
