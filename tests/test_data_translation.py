import jax
import numpy as np
import pytest
from PIL import Image
from toy_experiment import Config

from gan_jax import data
from gan_jax.data import Spec, load
from gan_jax.data.sources import folder
from gan_jax.data.tasks import image_maps
from gan_jax.loop import feeding
from gan_jax.loop.settings import Job, Run
from gan_jax.runs import directories, importing, records, reopen

RANDOM = np.random.RandomState(0)


def noise(*shape):
    return RANDOM.randint(256, size=shape).astype(np.uint8)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def rows(images):
    return {image.tobytes() for image in images}


@pytest.fixture
def folders(tmp_path):
    """Forty colour images in two subfolders of B, and in A of each the first channel, inverted."""
    for i in range(40):
        name, image = f"{'ab'[i % 2]}/{i:02d}.png", noise(8, 8, 3)
        save(tmp_path / "B" / name, image)
        save(tmp_path / "A" / name, 255 - image[..., 0])
    return f"{tmp_path / 'A'}:{tmp_path / 'B'}"


# Maps


@pytest.mark.parametrize("height", [10, image_maps.STEP - 1, image_maps.STEP, 255])
def test_a_step_of_brightness_is_an_edge_two_pixels_wide_from_a_height_on(height):
    image = np.zeros((1, 6, 8, 1), np.uint8)
    image[:, :, 4:] = height
    expected = np.full((1, 6, 8, 1), 255)
    if height >= image_maps.STEP:
        expected[:, :, 3:5] = 0
    np.testing.assert_array_equal(image_maps.edges(image), expected)


def test_edges_follow_their_formula():
    image = noise(3, 9, 7, 1) // 2
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    padded = np.pad(image[..., 0].astype(int), ((0, 0), (1, 1), (1, 1)), "edge")
    expected = np.zeros(image.shape, np.uint8)
    for n, y, x in np.ndindex(3, 9, 7):
        patch = padded[n, y : y + 3, x : x + 3]
        strength = np.hypot((patch * kernel).sum(), (patch * kernel.T).sum()) / 4
        expected[n, y, x] = 0 if strength >= image_maps.STEP else 255
    assert 0.1 < (expected == 0).mean() < 0.9
    np.testing.assert_array_equal(image_maps.edges(image), expected)


def test_edges_turn_with_the_image_and_do_not_see_its_sign():
    image = noise(2000, 6, 6, 1)  # more than are mapped at once
    found = image_maps.edges(image)
    np.testing.assert_array_equal(image_maps.edges(np.rot90(image, axes=(1, 2))), np.rot90(found, axes=(1, 2)))
    np.testing.assert_array_equal(image_maps.edges(image[:, :, ::-1]), found[:, :, ::-1])
    np.testing.assert_array_equal(image_maps.edges(255 - image), found)
    np.testing.assert_array_equal(image_maps.edges(np.repeat(image, 3, -1)), found)  # grey as colour


def test_luminance_is_that_of_pillow():
    image = noise(2, 32, 32, 3)
    expected = np.stack([np.asarray(Image.fromarray(x).convert("L")) for x in image])[..., None]
    np.testing.assert_array_equal(image_maps.luminance(image), expected)
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(image_maps.luminance(np.repeat(grey, 3, -1)), grey)


def test_recolouring_is_linear_between_paper_and_ink():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for ink, paper in (image_maps.BLUE_ON_CREAM, image_maps.ORANGE_ON_GREEN):
        found = image_maps.recoloured(grey, ink, paper)
        exact = np.array(paper) + (np.array(ink) - np.array(paper)) * (grey / 255)
        assert found.dtype == np.uint8 and np.abs(found - exact).max() <= 0.5


def test_recolouring_turns_brightness_round():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for colours, least in ((image_maps.ORANGE_ON_GREEN, 100), (image_maps.BLUE_ON_CREAM, -255)):
        light = image_maps.luminance(image_maps.recoloured(grey, *colours)).ravel().astype(float)
        np.testing.assert_allclose(light, np.linspace(light[0], light[-1], 256), atol=2)  # roundings of two kinds
        assert least <= light[-1] - light[0] <= least + 155


# Pairs made of one set


def test_a_made_task_has_the_images_and_labels_of_its_set_and_their_sources():
    digits = load("digits", "test")
    for task, source in (("edges", image_maps.edges), ("inverted", lambda x: 255 - x)):
        found = load(f"{task}:digits", "test")
        np.testing.assert_array_equal(found.arrays["image"], digits.arrays["image"])
        np.testing.assert_array_equal(found.arrays["label"], digits.arrays["label"])
        np.testing.assert_array_equal(found.arrays["source"], source(digits.arrays["image"]))
        assert found.spec == Spec((28, 28, 1), 10, (28, 28, 1)) and found.apart == ()
        assert (found.name, found.split) == (f"{task}:digits", "test")
        assert found.fingerprint == load(f"{task}:digits", "test").fingerprint != digits.fingerprint
    assert load("edges:digits", "test", 14).spec == Spec((14, 14, 1), 10, (14, 14, 1))
    assert load("digits", "test").spec.source is None


def test_a_recoloured_image_is_had_from_its_source_by_one_map_of_colours():
    found = load("recoloured:digits", "test").arrays
    source, image = (found[name][:300].reshape(-1, 3) for name in ("source", "image"))
    colours = np.unique(np.concatenate([source, image], 1), axis=0)
    assert len(colours) == 256 and len(np.unique(colours[:, 3:], axis=0)) == 256
    paper = (found["image"] == image_maps.ORANGE_ON_GREEN[1]).all(-1)
    np.testing.assert_array_equal(paper, load("digits", "test").arrays["image"][..., 0] == 0)
    np.testing.assert_array_equal(paper, (found["source"] == image_maps.BLUE_ON_CREAM[1]).all(-1))


def test_tasks_of_a_folder(folders):
    path = folders.partition(":")[2]
    for name in (f"grey:{path}", f"grey:folder:{path}"):
        found, colour = load(name, "all"), load(path, "all")
        assert found.spec == Spec((8, 8, 3), 2, (8, 8, 1), class_names=("a", "b"))
        np.testing.assert_array_equal(found.arrays["source"], image_maps.luminance(colour.arrays["image"]))
        np.testing.assert_array_equal(found.arrays["image"], colour.arrays["image"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("edges:", r"'edges:'.*such as edges:digits"),
        ("edges:ring", "ring contains points"),
        ("grey:digits", "digits is greyscale; give a set of colour images"),
        ("recoloured:stacked_digits", "stacked_digits is in colour; give a greyscale set"),
        ("edges:inverted:digits", "inverted:digits is already prepared for a task"),
        ("edges:unpaired:edges:digits", "unpaired:edges:digits is already prepared for a task"),
        ("unpaired:digits", r"after unpaired: give.*edges:digits, or two folders.*trainA.*'digits' is neither"),
        ("pairs:digits", r"'digits' in place of DIR_A:DIR_B; give two folders, separated by a colon"),
        ("pairs:/no/a:/no/b", r"folder '/no/a' of 'pairs.*does not exist.*; give two folders, separated"),
        (
            "unpaired:/no/a:/no/b",
            r"folder '/no/a' of 'unpaired.*does not exist.*; give two folders, separated",
        ),
        ("unpaired:/no/a:/no/b:/no/c", r"folder '/no/a' of 'unpaired:/no/a:/no/b:/no/c' does not exist"),
        ("pairs:/no/a:", r"in place of DIR_A:DIR_B"),
    ],
)
def test_names_that_mean_nothing(name, message):
    with pytest.raises(ValueError, match=message):
        load(name, "test")


# Pairs of folders


def test_folders_are_paired_by_name(folders):
    for split in ("train", "test", "all"):
        found = load(f"pairs:{folders}", split)
        np.testing.assert_array_equal(found.arrays["source"][..., 0], 255 - found.arrays["image"][..., 0])
        assert found.spec == Spec((8, 8, 3), 2, (8, 8, 1), class_names=("a", "b")) and found.apart == ()
        images = load(folders.partition(":")[2], split)
        np.testing.assert_array_equal(found.arrays["image"], images.arrays["image"])
        np.testing.assert_array_equal(found.arrays["label"], images.arrays["label"])
    train, test = (rows(load(f"pairs:{folders}", split).arrays["source"]) for split in ("train", "test"))
    assert not train & test and len(train | test) == 40 and test


def test_names_that_do_not_match_are_told(folders, tmp_path):
    (tmp_path / "B/a/04.png").unlink()
    message = r"A' has 40 images and '.*B' has 39, .*do not match: '.*B' lacks 'a/04.png'; add.*unpaired:"
    with pytest.raises(ValueError, match=message):
        load(f"pairs:{folders}")
    save(tmp_path / "B/a/other.png", noise(8, 8, 3))
    with pytest.raises(ValueError, match=r"B' lacks 'a/04.png', and '.*A' lacks 'a/other.png'"):
        load(f"pairs:{folders}")


def test_sizes_that_differ_need_a_resolution(folders, tmp_path):
    for path in (tmp_path / "A").rglob("*.png"):
        save(path, noise(10, 9))
    with pytest.raises(ValueError, match=r"sources of 'pairs.* have 10x9 .*the images have 8x8; give --resolution"):
        load(f"pairs:{folders}")
    assert load(f"pairs:{folders}", resolution=6).spec == Spec((6, 6, 3), 2, (6, 6, 1), class_names=("a", "b"))
    save(tmp_path / "A/a/00.png", noise(11, 9))
    with pytest.raises(ValueError, match=r"00.png has 11x9.*02.png has 10x9.*give --resolution"):
        load(f"pairs:{folders}", "all")


# Apart


@pytest.mark.parametrize("task", ["edges", "recoloured"])
def test_unpaired_training_has_sources_of_even_and_images_of_odd_examples_and_tests_have_pairs(task):
    paired, found = load(f"{task}:digits"), load(f"unpaired:{task}:digits")
    np.testing.assert_array_equal(found.arrays["source"], paired.arrays["source"][::2])
    np.testing.assert_array_equal(found.arrays["image"], paired.arrays["image"][1::2])
    assert found.apart == (("source",),) and set(found.arrays) == {"image", "source"}
    paired, test = load(f"{task}:digits", "test"), load(f"unpaired:{task}:digits", "test")
    for name in ("image", "source"):
        np.testing.assert_array_equal(test.arrays[name], paired.arrays[name])
    assert test.apart == () and test.spec == found.spec == paired.spec._replace(classes=0, unpaired=True)
    assert set(test.arrays) == {"image", "source"}


def test_no_partner_of_an_image_is_in_training(folders):
    for name in (f"unpaired:{folders}", f"unpaired:pairs:{folders}"):
        for split in ("train", "all"):
            found, paired = load(name, split), load(f"pairs:{folders}", split)
            assert found.apart == (("source",),) and found.count + len(found.arrays["source"]) == paired.count
            partners = 255 - found.arrays["image"][..., :1]
            assert not rows(partners) & rows(found.arrays["source"])
            assert rows(partners) | rows(found.arrays["source"]) == rows(paired.arrays["source"])
        found, paired = load(name, "test"), load(f"pairs:{folders}", "test")
        assert found.apart == () and found.name == name
        np.testing.assert_array_equal(found.arrays["source"], paired.arrays["source"])


def test_folders_of_unlike_names_are_apart_in_every_split(folders, tmp_path):
    for i in range(40, 55):
        save(tmp_path / f"A/more/{i}.png", noise(8, 8))
    for split in folder.SPLITS:
        found = load(f"unpaired:{folders}", split)
        source, image = (load(path, split).arrays["image"] for path in folders.split(":"))
        np.testing.assert_array_equal(found.arrays["source"], source)
        np.testing.assert_array_equal(found.arrays["image"], image)
        assert found.apart == (("source",),) and found.spec == Spec((8, 8, 3), 0, (8, 8, 1), unpaired=True)
    assert len(load(f"unpaired:{folders}", "all").arrays["source"]) == 55


def test_one_example_has_nothing_apart(tmp_path):
    save(tmp_path / "1.png", noise(8, 8))
    with pytest.raises(ValueError, match="all has one example"):
        load(f"unpaired:edges:{tmp_path}", "all")


def test_domains_of_tensorflow_datasets(monkeypatch):
    from gan_jax.data import dataset as source
    from gan_jax.data.sources import tfds

    asked = []

    def load_one(name, split, resolution, skip_damaged):
        asked.append((name, split, resolution))
        domain = split.partition("[")[0][-1]
        image = np.full((3 if domain == "A" else 5, 4, 4, 3), ord(domain), np.uint8)
        return source.dataset(name, split, image, np.zeros(len(image), int), 2)

    monkeypatch.setattr(tfds, "load", load_one)
    for name in ("cycle_gan/horse2zebra", "cycle_gan/horse2zebra:3.0.0"):
        for split, given in (("train", "train{}"), ("test", "test{}"), ("train[:10%]", "train{}[:10%]")):
            found = load(f"unpaired:{name}", split, 4)
            assert asked[-2:] == [(name, given.format(domain), 4) for domain in "AB"]
            assert (found.name, found.split, found.apart) == (f"unpaired:{name}", split, (("source",),))
            assert found.spec == Spec((4, 4, 3), 0, (4, 4, 3), unpaired=True) and found.count == 5
            assert (found.arrays["image"] == ord("B")).all() and (found.arrays["source"] == ord("A")).all()
            assert len(found.arrays["source"]) == 3


# What reads it


def test_a_run_is_fed_sources_and_images_in_orders_of_their_own(folders, tmp_path):
    for i in range(40, 55):
        save(tmp_path / f"A/more/{i}.png", noise(8, 8))
    dataset = load(f"unpaired:{folders}", "all")
    job = Job(Config(batch_size=5), Run(), tmp_path, tmp_path, {}, jax.devices()[:1])
    fed = feeding.prepared(job, dataset, repeats=1)
    drawn = jax.jit(jax.vmap(lambda t: fed.draw(dataset.arrays, jax.random.key(0), t)))(np.arange(88))
    for name, epochs in (("image", 11), ("source", 8)):
        seen = np.round(np.asarray(drawn[name]) * 127.5 + 127.5).astype(np.uint8)
        seen = seen.reshape(epochs, -1, *seen.shape[2:])
        assert all(rows(epoch) == rows(dataset.arrays[name]) for epoch in seen)


def test_streams_refuse(folders):
    for name in ("edges:digits", f"pairs:{folders}", f"unpaired:{folders}", "unpaired:cycle_gan/horse2zebra"):
        with pytest.raises(ValueError, match=r"is derived .* in memory.*leave --stream out"):
            data.stream(name)


def test_a_record_keeps_the_shape_of_sources(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    pass\n\n\n"
        "def build(config, spec):\n    return spec\n"
    )
    own = importing.load_experiment({"experiment": {"module": None, "file": str(file)}}, tmp_path)
    for name in ("recoloured:digits", "digits"):
        dataset = load(name, "test")
        record = records.describe(own.build, dataset, own.Config())
        assert ("source" in record["data"]) == (name != "digits")
        assert reopen._spec(record, own, safe=False) == dataset.spec


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        ("digits", "own-digits"),
        ("folder:/data/faces/", "own-faces"),
        ("unpaired:edges:digits", "own-unpaired-edges-digits"),
        ("pairs:/data/noto/:/data/twemoji", "own-pairs-noto-twemoji"),
    ],
)
def test_directories_of_runs_are_named_after_what_is_translated(name, directory):
    record = {"experiment": {"module": "experiments.own", "file": "own.py"}, "data": {"name": name}}
    record["config"] = {"seed": 0}
    assert directories.default_directory(record).name == directory
