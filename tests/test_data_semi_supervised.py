import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_jax import data
from gan_jax.data import load
from gan_jax.data.tasks import semi_supervised


def test_few_labels_of_every_class_and_none_of_the_others():
    digits, found = load("digits"), load("few:10:0:digits")
    assert set(found.arrays) == {"image", "few_image", "few_label"} and found.apart == (("few_image", "few_label"),)
    np.testing.assert_array_equal(found.arrays["image"], digits.arrays["image"])
    np.testing.assert_array_equal(np.bincount(found.arrays["few_label"]), [10] * 10)
    assert found.arrays["few_label"].dtype == np.int32 and found.arrays["few_image"].shape == (100, 28, 28, 1)
    assert found.spec == digits.spec._replace(few_labels=True)
    assert (found.name, found.split) == ("few:10:0:digits", "train")
    label = {image.tobytes(): one for image, one in zip(digits.arrays["image"], digits.arrays["label"], strict=True)}
    few_image = [image.tobytes() for image in found.arrays["few_image"]]
    assert [label[image] for image in few_image] == found.arrays["few_label"].tolist()
    assert len(set(few_image)) == 100


def test_the_test_split_is_that_of_the_set():
    digits, found = load("digits", "test"), load("few:10:0:digits", "test")
    assert found == digits._replace(name="few:10:0:digits", arrays=found.arrays)
    for name, array in digits.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_draws_are_fixed_differ_and_are_nested():
    label = np.random.RandomState(0).randint(5, size=1000)
    first = semi_supervised.choose(label, 5, 20, 0)
    np.testing.assert_array_equal(first, semi_supervised.choose(label, 5, 20, 0))
    assert set(semi_supervised.choose(label, 5, 7, 0)) < set(first)
    assert len({tuple(semi_supervised.choose(label, 5, 20, draw)) for draw in range(5)}) == 5
    np.testing.assert_array_equal(np.bincount(label[first]), [20] * 5)


def test_every_example_of_a_class_is_as_likely_as_any_other():
    label, draws = np.repeat([0, 1], [10, 30]), 2000
    seen = np.bincount(
        np.concatenate([semi_supervised.choose(label, 2, 5, draw) for draw in range(draws)]), minlength=40
    )
    expected = draws * np.repeat([5 / 10, 5 / 30], [10, 30])
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()


def test_all_of_a_class_can_be_taken():
    label = np.repeat([0, 1, 2], 4)
    np.testing.assert_array_equal(np.sort(semi_supervised.choose(label, 3, 4, 3)), np.arange(12))


def test_few_are_drawn_with_their_labels_beside_all():
    found = load("few:3:1:digits", "train", 4)
    draw, arrays = data.batches(found.count, 10, apart=found.apart), jax.tree.map(jnp.asarray, found.arrays)
    batch = jax.jit(jax.vmap(lambda t: draw(arrays, jax.random.key(0), t)))(np.arange(3))
    np.testing.assert_array_equal(np.bincount(np.asarray(batch["few_label"]).ravel()), [3] * 10)  # an epoch of them
    known = {(image.tobytes(), int(label)) for image, label in zip(*few_of(found.arrays), strict=True)}
    seen = {name: np.asarray(batch[name]).reshape(30, *batch[name].shape[2:]) for name in semi_supervised.APART[0]}
    seen["few_image"] = np.round(seen["few_image"] * 127.5 + 127.5).astype(np.uint8)
    assert {(image.tobytes(), int(label)) for image, label in zip(*few_of(seen), strict=True)} == known
    with pytest.raises(ValueError, match=r"batch_size=31 exceeds the 30 rows of few_image, few_label"):
        data.batches(found.count, 31, apart=found.apart)(arrays, jax.random.key(0), jnp.int32(0))


def few_of(arrays):
    return arrays["few_image"], arrays["few_label"]


def test_a_folder_and_its_splits(tmp_path):
    for i in range(60):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "ab"[i % 2] / f"{i:02d}.png")
    for split in ("train", "all"):
        found = load(f"few:3:0:folder:{tmp_path}", split)
        np.testing.assert_array_equal(found.arrays["few_image"][:, 0, 0, 0] % 2, found.arrays["few_label"])
        np.testing.assert_array_equal(found.arrays["image"], load(str(tmp_path), split).arrays["image"])
    with pytest.raises(ValueError, match=r"few:31:.*: class 0 has 30 examples; use at most few:30"):
        load(f"few:31:0:{tmp_path}", "all")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few:10:digits", "is not few:PER_CLASS:DRAW:NAME, such as few:10:0:mnist"),
        ("few:", "is not few:PER_CLASS:DRAW:NAME"),
        ("few:0:0:digits", "PER_CLASS must be at least 1"),
        ("few:1:-1:digits", "DRAW in"),
        ("few:1:4294967296:digits", "DRAW in"),
        ("few:1:0:", "is not few"),
        ("few:1001:0:digits", r"few:1001:.*: class 0 has 1000 examples; use at most few:1000"),
        ("few:1000000000:0:digits", r"few:1000000000:.*: class 0 has 1000 examples"),
        ("few:1:0:swiss_roll", "swiss_roll has no labels"),
        ("few:1:0:unpaired:edges:digits", "unpaired:edges:digits has no labels"),
        ("few:1:0:edges:digits", "edges:digits is already prepared for a task"),
    ],
)
def test_errors(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)


def test_streams_refuse():
    with pytest.raises(ValueError, match=r"few:10:0:digits is derived .* in memory.*leave --stream out"):
        data.stream("few:10:0:digits")


def test_a_tasks_images_are_known_by_the_set_they_are_of():
    for name in ("few:10:0:mnist", "unpaired:edges:mnist", "inverted:mnist", "mnist"):
        assert data.images_of(name) == "mnist"
    assert data.images_of("unpaired:recoloured:mnist") == "recoloured:mnist"  # of other colours
