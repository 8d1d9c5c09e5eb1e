import gzip
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_jax.data import Spec, kinds, load
from gan_jax.data.reading.images import square, squares
from gan_jax.data.sources import toys
from gan_jax.errors import UserError

RANDOM = np.random.RandomState(0)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def noise(*shape):
    return RANDOM.randint(256, size=shape).astype(np.uint8)


# Embedded digits


def test_digits():
    train, test = load("digits"), load("digits", "test")
    assert train.arrays["image"].shape == (10_000, 28, 28, 1) and test.arrays["image"].shape == (2_000, 28, 28, 1)
    assert train.arrays["image"].dtype == np.uint8 and train.arrays["label"].dtype == np.int32
    assert train.spec == Spec((28, 28, 1), 10)
    np.testing.assert_array_equal(np.bincount(train.arrays["label"]), [1000] * 10)
    np.testing.assert_array_equal(np.bincount(test.arrays["label"]), [200] * 10)
    assert all(array.flags.c_contiguous for array in (*train.arrays.values(), *test.arrays.values()))
    assert len({image.tobytes() for image in (*train.arrays["image"], *test.arrays["image"])}) == 12_000
    centroids = np.stack([train.arrays["image"][train.arrays["label"] == d].mean(0).ravel() for d in range(10)])
    pixels = test.arrays["image"].reshape(2000, -1)
    nearest = ((pixels[:, None] - centroids) ** 2).sum(-1).argmin(1)
    assert (nearest == test.arrays["label"]).mean() > 0.8  # labels belong to images


def test_digits_are_small_and_licensed():
    folder = Path(sys.modules["gan_jax.data.sources"].__path__[0])
    assert (folder / "digits.npz").stat().st_size < 2.5e6
    assert "CC BY-SA 3.0" in (folder / "LICENSE-MNIST.txt").read_text()


def test_fingerprint_follows_contents():
    assert load("digits").fingerprint == load("digits").fingerprint
    assert (
        len({load("digits").fingerprint, load("digits", "test").fingerprint, load("digits", "test", 32).fingerprint})
        == 3
    )


def test_digits_are_mnist():
    mnist = load_tfds("mnist", "test")
    known = {image.tobytes(): label for image, label in zip(mnist.arrays["image"], mnist.arrays["label"], strict=True)}
    digits = load("digits", "test")
    for image, label in zip(digits.arrays["image"], digits.arrays["label"], strict=True):
        assert known[image.tobytes()] == label


# Resizing


def test_square_keeps_the_middle():
    wide = np.zeros((4, 10, 3), np.uint8)
    wide[:, 3:7] = noise(4, 4, 3)
    np.testing.assert_array_equal(np.asarray(square(Image.fromarray(wide), 4)), wide[:, 3:7])
    np.testing.assert_array_equal(
        np.asarray(square(Image.fromarray(wide.swapaxes(0, 1)), 4)), wide[:, 3:7].swapaxes(0, 1)
    )


def test_squares_average_when_shrinking():
    checkers = 255 * (np.indices((1, 64, 64, 1)).sum(0) % 2).astype(np.uint8)
    assert abs(squares(checkers, 16).astype(float) - 127.5).max() < 8  # without antialiasing: 0 or 255
    assert squares(checkers, 64) is checkers
    assert squares(checkers, None) is checkers


def test_resolution():
    digits = load("digits", "test", 32)
    assert digits.spec.shape == (32, 32, 1)
    mean = load("digits", "test").arrays["image"].mean()
    assert abs(digits.arrays["image"].mean() - mean) < 0.01 * mean + 1


# Folders


@pytest.fixture
def folder(tmp_path):
    for i in range(40):
        save(tmp_path / "images" / ("b" if i % 2 else "a") / f"{i:02d}.png", noise(8, 8, 3))
    return tmp_path / "images"


def test_folder(folder):
    whole = load(f"folder:{folder}", "all")
    paths = sorted(folder.rglob("*.png"))
    np.testing.assert_array_equal(whole.arrays["image"], np.stack([np.asarray(Image.open(p)) for p in paths]))
    np.testing.assert_array_equal(whole.arrays["label"], [0] * 20 + [1] * 20)
    assert whole.spec == Spec((8, 8, 3), 2, class_names=("a", "b"))
    assert load(str(folder), "all").fingerprint == whole.fingerprint


def test_folder_is_split_by_name(folder):
    def images(split):
        return {image.tobytes() for image in load(str(folder), split).arrays["image"]}

    train, test = images("train"), images("test")
    assert not train & test and len(train | test) == 40 and 1 <= len(test) <= 10
    for i in range(40, 80):
        save(folder / "a" / f"{i}.png", noise(8, 8, 3))
    assert test < images("test") and train < images("train")


def test_folder_cache_notices_a_change(folder):
    before = load(str(folder), "all")
    save(folder / "a" / "00.png", noise(8, 8, 3))
    after = load(str(folder), "all")
    assert (before.arrays["image"] != after.arrays["image"]).any(axis=(1, 2, 3)).sum() == 1


def test_folder_formats(tmp_path):
    grey = np.full((8, 12), 100)
    save(tmp_path / "1.PNG", grey)
    save(tmp_path / "2.jpg", grey, quality=100)
    save(tmp_path / "3.webp", np.full((8, 12, 3), 100), lossless=True)
    save(tmp_path / "4.png", np.concatenate([np.full((8, 12, 3), 100), np.zeros((8, 12, 1))], 2))  # transparent
    Image.fromarray(np.full((8, 12), 100 * 257, np.uint16)).save(tmp_path / "5.png")
    save(tmp_path / ".hidden.png", grey)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match=r"has 5 images; left out: 1 hidden \(.hidden.png\), 1 in other .*\(notes.txt"):
        image = load(str(tmp_path), "all").arrays["image"]
    assert image.shape == (5, 8, 12, 3)
    np.testing.assert_allclose(image.mean((1, 2, 3)), [100, 100, 100, 255, 100], atol=1)


def test_grey_folder_has_one_channel_and_no_labels(tmp_path):
    save(tmp_path / "a" / "1.png", noise(8, 8))
    save(tmp_path / "2.png", noise(8, 8))
    dataset = load(str(tmp_path), "all")
    assert dataset.spec == Spec((8, 8, 1), 0) and list(dataset.arrays) == ["image"]
    save(tmp_path / "b" / "1.png", noise(8, 8))
    with pytest.warns(
        UserWarning, match=r"no labels.*class folders such as a: to get labels, move 2.png into a class folder"
    ):
        assert load(str(tmp_path), "all").spec.classes == 0


def test_folder_turns_images_upright(tmp_path):
    upright = np.zeros((8, 8), np.uint8)
    upright[:2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    save(tmp_path / "1.png", np.rot90(upright), exif=exif)
    np.testing.assert_array_equal(load(str(tmp_path), "all").arrays["image"][0, ..., 0], upright)


def test_unequal_sizes_need_a_resolution(tmp_path):
    save(tmp_path / "1.png", noise(8, 8, 3))
    save(tmp_path / "2.png", noise(9, 12, 3))
    with pytest.raises(ValueError, match=r"1.png has 8x8 .*2.png has 9x12.*give --resolution"):
        load(str(tmp_path), "all")
    assert load(str(tmp_path), "all", 4).spec.shape == (4, 4, 3)


def test_broken_image_is_named(folder):
    whole = (folder / "a" / "04.png").read_bytes()
    (folder / "a" / "04.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read the image .*04.png"):
        load(str(folder), "all")
    (folder / "a" / "04.png").write_text("no image at all")
    with pytest.raises(ValueError, match=r"cannot read the image .*04.png"):
        load(str(folder), "all", 4)


def test_too_large_for_memory(folder):
    with pytest.raises(ValueError, match=r"40 images of 20000x20000x3 take 44.7 GiB, more than the limit of 8 GiB"):
        load(str(folder), "all", 20_000)


def test_folder_errors(tmp_path, folder):
    with pytest.raises(ValueError, match=r"nowhere.*does not exist"):
        load(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match=r"split='valid'.*train, test, all"):
        load(str(folder), "valid")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty.*has no .png"):
        load(str(tmp_path / "empty"))
    save(tmp_path / "one" / "1.png", noise(8, 8))
    lacking = [
        split
        for split in ("train", "test")
        if _fails(lambda s=split: load(str(tmp_path / "one"), s), "use split='all'")
    ]
    assert len(lacking) == 1


def _fails(function, message):
    try:
        function()
    except ValueError as error:
        assert message in str(error)
        return True
    return False


# Cache


def test_unwritable_cache_is_done_without(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "file" / "below"))
    assert len(load(str(folder), "all").arrays["image"]) == 40


def test_damaged_cache_is_made_anew(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "kept"))
    fresh = load(str(folder), "all").fingerprint
    (file,) = (tmp_path / "kept").iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:1000], whole[:2000] + bytes(100) + whole[2100:]):
        file.write_bytes(damaged)
        assert load(str(folder), "all").fingerprint == fresh
        assert file.read_bytes() == whole


# Points in the plane


@pytest.mark.parametrize(("name", "mixture"), [("ring", toys.ring()), ("grid", toys.grid())])
def test_toys_are_their_mixtures(name, mixture):
    train, test = load(name), load(name, "test")
    points, modes = train.arrays["image"], train.arrays["label"]
    assert points.dtype == np.float32 and points.shape == (50_000, 2) and test.arrays["image"].shape == (10_000, 2)
    assert train.spec == Spec((2,), len(mixture.centers), kind=kinds.points)
    offsets = points - mixture.centers[modes]
    np.testing.assert_allclose(offsets.mean(0), 0, atol=5 * mixture.std / np.sqrt(50_000))
    np.testing.assert_allclose(offsets.std(0), mixture.std, rtol=5 / np.sqrt(2 * 50_000))
    expected = 50_000 / len(mixture.centers)
    assert np.abs(np.bincount(modes) - expected).max() < 5 * np.sqrt(expected)
    assert load(name).fingerprint == train.fingerprint
    assert not {point.tobytes() for point in points} & {point.tobytes() for point in test.arrays["image"]}


def test_modes():
    ring, grid = toys.ring().centers, toys.grid().centers
    assert ring.shape == (8, 2) and grid.shape == (25, 2)
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), 2, rtol=1e-6)
    np.testing.assert_allclose(ring[0], [2, 0], atol=1e-6)
    assert sorted(set(grid.ravel().tolist())) == [-4, -2, 0, 2, 4]


def exact(name, label, place):
    """The curve of a data set by its formula: the points at shares `place` of its length, by fine quadrature."""
    if name == "moons":
        angle = np.pi * place
        return (1 - 2 * label)[:, None] * 4 / 3 * (np.stack([np.cos(angle), np.sin(angle)], 1) - [0.5, 0.25])
    start, end = {"spiral": (np.pi / 2, 7 * np.pi / 2), "swiss_roll": (3 * np.pi / 2, 9 * np.pi / 2)}[name]
    angles = np.linspace(start, end, 100_001)
    length = (angles * np.hypot(1, angles) + np.arcsinh(angles)) / 2  # of r = angle, from 0 on
    angle = np.interp(place, (length - length[0]) / (length[-1] - length[0]), angles)
    return (2 * angle / end)[:, None] * np.stack([np.cos(angle + np.pi * label), np.sin(angle + np.pi * label)], 1)


CURVES = [("spiral", 2), ("swiss_roll", 1), ("moons", 2)]


@pytest.mark.parametrize(("name", "arms"), CURVES)
def test_curves_follow_their_formula(name, arms):
    label, place = np.arange(1000) % arms, np.linspace(0, 1, 1000)
    points = exact(name, label, place)
    found = toys.nearest(points, toys.CURVES[name]())
    assert found.distance.max() < 0.01 * 0.05  # chords, not arcs: a hundredth of the noise
    np.testing.assert_array_equal(found.arm, label)
    np.testing.assert_allclose(found.place, place, atol=1e-4)


@pytest.mark.parametrize(("name", "arms"), CURVES)
def test_curves_are_followed_evenly_under_noise_that_is_round(name, arms):
    train, test = load(name), load(name, "test")
    points = test.arrays["image"]
    assert points.dtype == np.float32 and points.shape == (10_000, 2) and train.arrays["image"].shape == (50_000, 2)
    assert train.spec == Spec((2,), arms if arms > 1 else 0, kind=kinds.points) and ("label" in test.arrays) == (
        arms > 1
    )
    label = test.arrays.get("label", np.zeros(10_000, int))
    assert np.abs(np.bincount(label) - 10_000 / arms).max() < 5 * np.sqrt(10_000 / 4)
    found = toys.nearest(points, toys.CURVES[name]())
    np.testing.assert_array_equal(found.arm, label)  # the arms are 11 std apart, and more
    ranks = (np.arange(10_000) + 0.5) / 10_000
    # Kolmogorov-Smirnov at one in 10,000 is 0.022; the ends move places by std / length < 0.012 at most.
    assert np.abs(np.sort(found.place) - ranks).max() < 0.03
    # Across the curve the noise is one-dimensional: half-normal distances, but at the ends, a share of std / length.
    for deviations, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300)):
        bound = 5 * np.sqrt(share * (1 - share) / 10_000) + 0.002
        assert abs((found.distance < deviations * 0.05).mean() - share) < bound
    assert 1.9 < np.linalg.norm(points, axis=1).max() < 2.25


def test_nearest_is_the_least_of_the_distances_to_lines():
    square = toys.Curves(np.array([[[0, 0], [2, 0], [2, 1]], [[0, 3], [1, 3], [3, 3]]], np.float32), 0.1)
    found = toys.nearest([[0.5, -1], [3, -1], [4, 0.5], [2, 4], [-3, 7], [2, 0]], square)
    np.testing.assert_allclose(found.distance, [1, np.sqrt(2), 2, 1, 5, 0], atol=1e-12)
    np.testing.assert_array_equal(found.arm, [0, 0, 0, 1, 1, 0])
    np.testing.assert_allclose(found.place, [0.5 / 3, 2 / 3, 2.5 / 3, 2 / 3, 0, 2 / 3], atol=1e-12)


def test_toys_are_functions_of_their_name_and_split():
    kept = {"ring": "cd6be3eaad2e0c26", "grid": "a9808e2245ac4cc2"}  # runs and records name these bits
    for name in toys.NAMES:
        train, test = load(name), load(name, "test")
        assert load(name).fingerprint == train.fingerprint == kept.get(name, train.fingerprint)
        rows = {split.spec: {point.tobytes() for point in split.arrays["image"]} for split in (train, test)}
        assert len(rows) == 1  # one specification
        assert not {point.tobytes() for point in train.arrays["image"]} & rows[test.spec]


def test_toy_errors():
    for name in ("ring", "moons"):
        with pytest.raises(ValueError, match=r"split='valid'.*train and test"):
            load(name, "valid")
        with pytest.raises(ValueError, match=r"resolution=32.*points"):
            load(name, resolution=32)
    with pytest.raises(ValueError, match=r"name='circle'.*ring, grid, spiral, swiss_roll, moons"):
        toys.load("circle")


# Dispatch


def test_errors_of_load():
    with pytest.raises(ValueError, match=r"resolution=0"):
        load("digits", resolution=0)
    with pytest.raises(ValueError, match=r"split='valid'.*train and test"):
        load("digits", "valid")


def test_digits_need_not_import_tfds():
    code = "import sys; from gan_jax.data import load; load('digits'); assert 'tensorflow_datasets' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# TensorFlow Datasets


def load_tfds(name, split, resolution=None):
    """Loads a set that the machine has prepared, or skips the test."""
    data_dir = os.environ.get("TFDS_DATA_DIR")
    if not data_dir or not (Path(data_dir) / name).is_dir():
        pytest.skip(f"{name} is not in $TFDS_DATA_DIR")
    return load(name, split, resolution)


def test_cifar10():
    dataset = load_tfds("cifar10", "test")
    assert dataset.arrays["image"].shape == (10_000, 32, 32, 3) and dataset.spec.classes == 10
    np.testing.assert_array_equal(np.bincount(dataset.arrays["label"]), [1000] * 10)


def test_slices():
    first, rest, whole = (load_tfds("mnist", split).arrays for split in ("test[:1%]", "test[1%:2%]", "test[:2%]"))
    for key in whole:
        np.testing.assert_array_equal(np.concatenate([first[key], rest[key]]), whole[key])


def test_unknown_split():
    with pytest.raises(ValueError, match=r"split='valid'.*train, test"):
        load_tfds("mnist", "valid")


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty directory of TFDS sets, no network, and archives whose checksums are not looked at."""
    import tensorflow_datasets as tfds

    def refuse(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tfds.download.DownloadManager, "_register_or_validate_checksums", lambda *_, **__: None)
    return tmp_path / "tfds"


def put_mnist(data_dir, name="mnist", count=20):
    manual = data_dir / "downloads" / "manual" / name
    manual.mkdir(parents=True)
    images, labels = noise(count, 28, 28), RANDOM.randint(10, size=count)
    for split, of in (("train", slice(0, -5)), ("t10k", slice(-5, None))):
        (manual / f"{split}-images-idx3-ubyte.gz").write_bytes(idx(images[of]))
        (manual / f"{split}-labels-idx1-ubyte.gz").write_bytes(idx(labels[of]))
    return images, labels


def pairs(images, labels):
    return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_is_prepared_from_archives(data_dir, name, capfd):
    images, labels = put_mnist(data_dir, name)
    train, test = load(name), load(name, "test")
    assert (train.spec.shape, train.spec.classes) == ((28, 28, 1), 10)
    assert train.spec.class_titles[6] == {"mnist": "6", "fashion_mnist": "Shirt"}[name]
    assert pairs(train.arrays["image"], train.arrays["label"]) == pairs(images[:-5], labels[:-5])
    assert pairs(test.arrays["image"], test.arrays["label"]) == pairs(images[-5:], labels[-5:])
    assert "tensorflow" not in sys.modules
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"preparing {name} in") and err.count("\n") == 1
    assert load(name, "test", 14).spec.shape == (14, 14, 1)


def test_cifar10_is_prepared_from_an_archive(data_dir):
    images, labels = noise(12, 3, 32, 32), RANDOM.randint(10, size=12)
    manual = data_dir / "downloads" / "manual" / "cifar10"
    manual.mkdir(parents=True)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    records = np.concatenate([labels[:, None].astype(np.uint8), images.reshape(12, -1)], 1)
    files = {name: records[2 * i : 2 * i + 2].tobytes() for i, name in enumerate(names)}
    files["batches.meta.txt"] = "\n".join(f"class{i}" for i in range(10)).encode() + b"\n\n"
    with tarfile.open(manual / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    train, test = load("cifar10"), load("cifar10", "test")
    assert train.spec == Spec((32, 32, 3), 10, class_names=tuple(f"class{i}" for i in range(10)))
    assert pairs(train.arrays["image"], train.arrays["label"]) == pairs(
        np.ascontiguousarray(images[:10].transpose(0, 2, 3, 1)), labels[:10]
    )
    assert pairs(test.arrays["image"], test.arrays["label"]) == pairs(
        np.ascontiguousarray(images[10:].transpose(0, 2, 3, 1)), labels[10:]
    )


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_network_it_fails_at_once(data_dir, name):
    start = time.monotonic()
    with pytest.raises(
        ConnectionError, match=rf"{name} is not in .*cannot be reached.*put .*gz.*TFDS_DATA_DIR.*digits"
    ):
        load(name)
    assert time.monotonic() - start < 10
    assert not (data_dir / name).exists()


def test_damaged_archive_leaves_nothing_behind(data_dir):
    put_mnist(data_dir)
    file = data_dir / "downloads" / "manual" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    file.write_bytes(idx(np.zeros(4)))
    with pytest.raises(UserError, match="mnist could not be prepared"):
        load("mnist")
    assert not list((data_dir / "mnist").glob("*"))


def test_checksums_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    put_mnist(tmp_path)
    with pytest.raises(UserError, match=r"mnist could not be prepared.*wrong checksum"):
        load("mnist")
    assert not list((tmp_path / "mnist").glob("*"))


def test_unknown_names(data_dir):
    with pytest.raises(ValueError, match=r"'fashion_minst'.*Did you mean fashion_mnist.*digits, ring, grid"):
        load("fashion_minst")
    with pytest.raises(ValueError, match=r"'mnist:1.0.0'.*3.0.1"):
        load("mnist:1.0.0")
    with pytest.raises(ValueError, match=r"'/no/such/place': there is no such directory, and no such set\.$"):
        load("/no/such/place")
    (data_dir / "faces").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"there is no such directory, and no such set\. Did you mean faces\?$"):
        load(f"{data_dir}/fcaes")


def test_other_sets_say_how_to_prepare_them(data_dir):
    with pytest.raises(FileNotFoundError, match=r"'celeb_a' is not prepared in .*download_and_prepare\(\)"):
        load("celeb_a")


def prepare_own(data_dir, images, features):
    """Prepares a set of our own, of PNG bytes."""
    import tensorflow_datasets as tfds
    from etils import epath
    from tensorflow_datasets.core import registered

    with registered.skip_registration():

        class Own(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")
            name = "own"
            pkg_dir_path = epath.Path()

            def _info(self):
                return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for i, image in enumerate(images):
                    file = io.BytesIO()
                    Image.fromarray(image).save(file, "PNG")
                    yield i, {key: file.getvalue() if "picture" in key else i for key in features}

    tfds.disable_progress_bar()
    Own(data_dir=data_dir, file_format="array_record").download_and_prepare()


def test_set_without_labels_of_unequal_sizes(data_dir):
    import tensorflow_datasets as tfds

    prepare_own(data_dir, [noise(8, 8, 3), noise(8, 10, 3)], {"picture": tfds.features.Image()})
    with pytest.raises(ValueError, match=r"of own train has 8x.*give --resolution"):
        load("own")
    own = load("own", resolution=4)
    assert own.spec == Spec((4, 4, 3), 0) and list(own.arrays) == ["image"]


def test_set_without_images(data_dir):
    import tensorflow_datasets as tfds

    prepare_own(data_dir, [noise(8, 8)], {"number": tfds.features.Scalar(np.int64)})
    with pytest.raises(ValueError, match=r"'own' has no feature of 8-bit images; its features: number"):
        load("own")


# Conversion


def as_tfrecord(data_dir, name):
    """Rewrites a prepared set in tfrecord form, and returns its directory."""
    from array_record.python.array_record_module import ArrayRecordReader  # pyright: ignore[reportMissingImports]

    (directory,) = (data_dir / name).iterdir()
    for file in directory.glob("*.array_record-*"):
        reader = ArrayRecordReader(str(file))
        frames = [struct.pack("<QI", len(record), 0) + record + bytes(4) for record in reader.read_all()]
        reader.close()
        file.with_name(file.name.replace(".array_record-", ".tfrecord-")).write_bytes(b"".join(frames))
        file.unlink()
    info = json.loads((directory / "dataset_info.json").read_text())
    (directory / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    return directory


def test_tfrecord_is_converted(data_dir):
    from gan_jax.data.sources.convert_tfds import convert

    put_mnist(data_dir)
    before = load("mnist")
    directory = as_tfrecord(data_dir, "mnist")
    with pytest.raises(ValueError, match=rf"tfrecord form.*python -m gan_jax.data.sources.convert_tfds {directory}"):
        load("mnist")
    assert len(convert(directory)) == 2
    assert load("mnist").fingerprint == before.fingerprint
    with pytest.raises(ValueError, match="is in tfrecord and array_record form"):
        convert(directory)


def test_conversion_of_a_damaged_set(data_dir, tmp_path):
    from gan_jax.data.sources.convert_tfds import convert

    put_mnist(data_dir)
    load("mnist")
    directory = as_tfrecord(data_dir, "mnist")
    shutil.copytree(directory, tmp_path / "copy")
    file = next(directory.glob("*train.tfrecord-*"))
    whole = file.read_bytes()
    for damaged in (whole[:-3], whole[:-20], whole + b"rest"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"train.tfrecord.* is damaged or truncated at byte \d+"):
            convert(directory)
    (length,) = struct.unpack("<Q", whole[:8])
    file.write_bytes(whole[16 + length :])  # one record less
    with pytest.raises(ValueError, match=r"has 19 records, but dataset_info.json says 20"):
        convert(directory)
    with pytest.raises(ValueError, match="tfrecord form"):
        load("mnist")
    with pytest.raises(ValueError, match=r"no dataset_info\.json"):
        convert(data_dir)
