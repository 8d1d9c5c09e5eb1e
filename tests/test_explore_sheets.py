"""Sheets show the right images in the right places: the nearest, the copied, the repeated; and nothing is lost."""

import numpy as np
import pytest

from gan_jax import pictures
from gan_jax.explore import filter_sheets, sheets, tables
from gan_jax.explore.filters import Layer
from gan_jax.explore.tables import Cell


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def near(image, seed, by=3):
    """An image that differs from another by a little noise."""
    change = np.random.default_rng(seed).integers(-by, by + 1, image.shape)
    return np.clip(image + change, 0, 255).astype(np.uint8)


def places(picture, image):
    """Where an image, enlarged to 84 pixels, is in a picture: (top, left) of each place."""
    factor, codes = 84 // len(image), picture.astype(int) @ (1, 256, 65536)
    large = (
        (np.broadcast_to(image, (*image.shape[:2], 3)).astype(int) @ (1, 256, 65536))
        .repeat(factor, 0)
        .repeat(factor, 1)
    )
    y, x = np.nonzero(codes[:-83, :-83] == large[0, 0])
    for point in np.random.default_rng(0).integers(0, 84, (10, 2)):
        same = codes[y + point[0], x + point[1]] == large[tuple(point)]
        y, x = y[same], x[same]
    found = zip(y.tolist(), x.tolist(), strict=True)
    return [(y, x) for y, x in found if (codes[y : y + 84, x : x + 84] == large).all()]


def place(picture, image):
    (found,) = places(picture, image)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_tables_hold_every_image_as_it_is_in_rows_and_columns(channels):
    images = noise(5, 28, 28, channels)
    cells = [Cell(image, "below it") for image in images]
    picture = tables.table([cells[:3], cells[3:]], "two lines\nof a title", ["", "a label"], apart=1)
    tops, lefts = np.array([place(picture, image) for image in images]).T
    assert len(set(tops[:3])) == 1 == len(set(tops[3:])) and tops[3] > tops[0] + 84 + 10  # room for words
    assert lefts[0] == lefts[3] and lefts[1] == lefts[4]
    assert lefts[1] - lefts[0] > lefts[2] - lefts[1] == 84 + tables.GAP
    covered = np.zeros(picture.shape[:2], bool)
    for y, x in zip(tops, lefts, strict=True):
        covered[y : y + 84, x : x + 84] = True
    words = ~covered & (picture != pictures.NEUTRAL).any(2)
    title, label, caption = np.s_[: tops[0]], np.s_[tops[3] : tops[3] + 84, : lefts[0]], np.s_[tops[0] + 84 : tops[3]]
    assert all(words[part].any() for part in (title, label, caption))
    assert words.sum() == sum(words[part].sum() for part in (title, label, caption)) + words[tops[3] + 84 :].sum()


def test_tables_without_words_leave_no_room_for_them():
    picture = tables.table([[Cell(image) for image in noise(2, 28, 28, 1)]])
    assert picture.shape == (84 + 2 * tables.GAP, 2 * 84 + 3 * tables.GAP, 3)


def test_pictures_are_joined_without_loss():
    one, two = noise(5, 7, 3), noise(4, 3, 3, seed=1)
    down, along = tables.below([one, two], gap=2), tables.beside([one, two], gap=2)
    assert down.shape == (11, 7, 3) and along.shape == (5, 12, 3)
    np.testing.assert_array_equal(down[7:, :3], two)
    np.testing.assert_array_equal(along[:4, 9:], two)
    assert (down[5:7] == pictures.NEUTRAL).all() and (down[7:, 3:] == pictures.NEUTRAL).all()


def test_differences_have_the_colour_of_their_sign_and_no_colour_where_there_is_none():
    difference = np.array([0.5, -0.5, 0.0, 9.0]).reshape(1, 2, 2, 1)
    (more, less), (none, most) = tables.tinted(difference, 1.0)[0].astype(int)
    assert more[0] > more[2] and less[2] > less[0]
    assert (none == pictures.NEUTRAL).all() and (most == tables.MORE).all()
    image = np.full((2, 2, 1), 1.0)
    assert (tables.tinted(0 * difference, 1.0, image) == round(0.35 * 255)).all()
    red, grey = tables.tinted(np.array([[1.0, 0, -1.0], [0, 0, 0]]).reshape(1, 1, 2, 3), 1.0)[0, 0]
    assert red.tolist() == [255, pictures.NEUTRAL, 0] and (grey == pictures.NEUTRAL).all()


def test_neighbours_follow_their_sample_the_nearest_first():
    training = noise(20, 7, 7, 1)
    samples = np.stack([near(training[3], 1), near(training[8], 2)])
    training[5], training[6] = near(training[3], 3, by=20), near(training[3], 4, by=40)
    picture = sheets.neighbours(samples, training, count=3)
    first = [place(picture, image) for image in (samples[0], training[3], training[5], training[6])]
    assert len({top for top, _ in first}) == 1 and first == sorted(first)
    top, left = place(picture, samples[1])
    assert top > first[0][0] and left == first[0][1] and place(picture, training[8]) == (top, first[1][1])


def test_neighbours_are_those_of_the_features_given():
    samples, training = noise(1, 7, 7, 1), noise(4, 7, 7, 1, seed=1)
    features = np.array([[2.1]]), np.array([[9.0], [3.0], [2.0], [-5.0]])
    picture = sheets.neighbours(samples, training, features, "size", count=2)
    assert place(picture, training[2]) < place(picture, training[1])
    assert not places(picture, training[0]) and not places(picture, training[3])


def test_a_copy_comes_first_of_the_samples_and_simple_images_do_not():
    training, held_out = noise(60, 7, 7, 1), noise(12, 7, 7, 1, seed=1)
    training[:3] = [np.full((7, 7, 1), value) for value in (0, 2, 4)]  # simple: near to one another
    samples = noise(12, 7, 7, 1, seed=2)
    samples[4] = np.full((7, 7, 1), 1)  # the nearest by far, and as far as such are from one another
    samples[7] = near(training[30], 3, by=30)
    picture = sheets.memorisation(samples, training, held_out, count=2)
    copy = place(picture, samples[7])
    assert copy < place(picture, samples[4])  # the row above
    assert place(picture, training[30])[0] == copy[0]
    lefts = [place_[1] for image in held_out for place_ in places(picture, image)]
    assert len(lefts) == 2 and min(lefts) > picture.shape[1] / 2


def test_as_many_samples_are_searched_for_copies_as_there_are_held_out_images():
    training, held_out, samples = noise(30, 7, 7, 1), noise(10, 7, 7, 1, seed=1), noise(20, 7, 7, 1, seed=2)
    samples[15] = training[0]
    samples[15, 0, 0] ^= 1  # so that it is told from what it copies
    assert not places(sheets.memorisation(samples, training, held_out, count=10), samples[15])


def test_what_a_collapsed_generator_repeats_is_shown():
    real, samples = noise(120, 7, 7, 1), noise(60, 7, 7, 1, seed=1)
    repeated = [10, 20, 30, 40, 50]
    for i in repeated:
        samples[i] = near(samples[10], i)
    picture = sheets.collapse(samples, real, count=4)
    shown = [i for i in range(60) if places(picture, samples[i])]
    assert set(repeated) <= set(shown)
    crowd = max(top for i in repeated for top, _ in places(picture, samples[i]))
    assert all(any(top == crowd for top, _ in places(picture, samples[i])) for i in repeated)  # in one row
    tops = [top for image in real for top, _ in places(picture, image)]
    assert min(tops) > crowd  # the yardstick is below


def test_what_is_common_in_the_data_too_is_no_collapse():
    real, samples = noise(120, 7, 7, 1), noise(60, 7, 7, 1, seed=1)
    for i in range(0, 120, 3):
        real[i] = near(real[0], i)
    for i in (5, 15, 25):
        samples[i] = near(real[0], 1000 + i)  # close to one another, and no closer than to the data
    samples[35], samples[45] = near(samples[0], 1, by=60), near(samples[0], 2, by=60)
    picture = sheets.collapse(samples, real, count=1)
    assert places(picture, samples[35]) or places(picture, samples[45])
    assert not any(places(picture, samples[i]) for i in (5, 15, 25))


def test_given_images_stand_above_what_is_found_and_the_difference():
    given = noise(3, 7, 7, 1)
    found = given.copy()
    found[1] = near(given[1], 1, by=90)
    picture = sheets.inversion(given, found, [0.0, 0.5, 0.0], "title", columns=2)
    (top, left), (below, same) = place(picture, given[1]), place(picture, found[1])
    assert same == left and below == top + 84 + tables.GAP
    assert len(places(picture, given[0])) == 2  # given and found
    dark = np.round(0.35 * given[0]).astype(np.uint8)
    assert place(picture, dark)[0] == below + 84 + tables.GAP  # no difference, no colour
    assert places(picture, given[2])[0][0] > below


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"samples": np.zeros((4, 2), np.float32)},
            r"samples: the examples are float32 \[2\], but images must be uint8",
        ),
        ({"training": noise(4, 6, 6, 1)}, r"training \(4, 6, 6, 1\), samples .*one size"),
        ({"samples": np.zeros((4, 7, 7, 1), np.float32)}, "samples: the examples are float32"),
        ({"samples": noise(0, 7, 7, 1)}, "samples: no images"),
        ({"features": (np.zeros((4, 1)), np.zeros((5, 1)))}, r"features: got \(4, 1\), \(5, 1\) for 4, 4 images"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_reason(change, message):
    with pytest.raises(ValueError, match=message):
        sheets.neighbours(**{"samples": noise(4, 7, 7, 1), "training": noise(4, 7, 7, 1), "count": 1} | change)


def test_maps_span_black_to_white_each_by_itself():
    values = np.stack([np.linspace(-3, 5, 12).reshape(3, 4), np.full((3, 4), 7.0)], axis=-1)
    one, constant = filter_sheets.maps(values)
    assert (one.min(), one.max(), one.shape) == (0, 255, (3, 4, 1)) and np.all(np.diff(one.ravel().astype(int)) > 0)
    assert len(np.unique(constant)) == 1


def test_tiles_are_the_kernels_of_the_largest_weights_middle_grey_being_zero():
    kernels = np.zeros((2, 2, 6))
    kernels[..., 4], kernels[0, 0, 1] = 1.0, -0.5
    picture = filter_sheets.tiles(kernels, most=2)
    assert picture.shape == (4, 7, 3) and (picture[1:3, 1:3] == 255).all()
    assert picture[1, 4, 0] == round(0.5 * 127.5) and abs(int(picture[2, 5, 0]) - 127.5) < 1


def test_filter_sheets_show_the_largest_effects_of_every_layer():
    maps, adds = np.random.default_rng(0).normal(size=(7, 7, 6)), np.zeros((6, 7, 7, 1))
    order = np.array([3, 1, 5, 0, 2, 4])
    assembly = np.random.default_rng(1).uniform(-1, 1, (5, 7, 7, 1))
    layer = Layer("Some_0", maps, adds, np.ones(6), order, (0, 1, 2, 4, 6), assembly, None, np.zeros((3, 3, 6, 2)))
    picture = filter_sheets.assembly([layer, layer._replace(path="Other_0")], count=2)
    shown = filter_sheets.maps(maps)
    assert [len(places(picture, image)) for image in shown] == [0, 2, 0, 2, 0, 0]
    assert places(picture, shown[3]) < places(picture, shown[1])
    lefts = [places(picture, image)[0][1] for image in pictures.to_uint8(assembly)]
    assert lefts == sorted(lefts) and len(set(lefts)) == 5
    assert filter_sheets.outputs([layer], most=4).shape[1] < filter_sheets.outputs([layer]).shape[1]
