"""Folders of images as people have them: linked, mixed, damaged, moved, streamed or not."""

import itertools
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from gan_jax import baseline, data, runs
from gan_jax.data import dataset, names, streaming
from gan_jax.data.reading import images, metadata
from gan_jax.data.sources import convert_tfds, folder, toys
from gan_jax.errors import UserError
from gan_jax.runs import identity

RANDOM = np.random.RandomState(0)


def noise(*shape):
    return RANDOM.randint(256, size=shape).astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def classes(tmp_path):
    """Ten images in each of two subfolders of imgs/."""
    for i in range(20):
        save(tmp_path / "imgs" / "ab"[i % 2] / f"{i:02d}.png", noise(4, 4, 3))
    return tmp_path / "imgs"


# Names


def test_a_directory_has_one_name_wherever_it_is_said(classes, monkeypatch):
    monkeypatch.chdir(classes.parent)
    monkeypatch.setenv("HOME", str(classes.parent))
    said = ("imgs", "imgs/", "./imgs", "~/imgs", str(classes), f"{classes}/a/..")
    assert {names.resolved(name) for name in said} == {str(classes)}
    assert names.resolved("folder:~/imgs/") == f"folder:{classes}"
    for task in ("edges", "few:3:0", "unpaired:grey", "few:3:0:folder"):
        assert names.resolved(f"{task}:imgs/") == f"{task}:{classes}"
    for task in ("pairs", "unpaired", "unpaired:pairs"):
        assert names.resolved(f"{task}:~/imgs:imgs/a") == f"{task}:{classes}:{classes}/a"
    assert names.directories(names.resolved("unpaired:pairs:imgs:imgs/a")) == [str(classes), f"{classes}/a"]
    for name in ("digits", "few:3:0:mnist", "edges:digits", "cycle_gan/horse2zebra:3.0.0", "pairs:digits", "few:"):
        assert names.resolved(name) == name and names.directories(name) == []
    for name in ("", " ", "folder:"):
        with pytest.raises(UserError, match=r"data set .* is empty"):
            data.load(name)


def test_paths_of_a_pair_may_have_colons(tmp_path):
    first, second = tmp_path / "a:b" / "x", tmp_path / "a:b" / "y"
    for path in (first, second):
        save(path / "1.png", noise(4, 4))
    assert names.two_directories(f"{first}:{second}") == (str(first), str(second))
    assert data.load(f"pairs:{first}:{second}", "all").count == 1


# What is left out


@pytest.mark.parametrize(
    ("name", "task", "options", "base"),
    [
        ("digits", "", (), "digits"),
        ("folder:a:b", "", (), "folder:a:b"),
        ("cycle_gan/horse2zebra:1.0.0", "", (), "cycle_gan/horse2zebra:1.0.0"),
        ("few:10:0:mnist", "few", ("10", "0"), "mnist"),
        ("few:10:0:folder:a:b", "few", ("10", "0"), "folder:a:b"),
        ("few:10", "few", ("10", ""), ""),
        ("edges:few:10:0:mnist", "edges", (), "few:10:0:mnist"),
        ("pairs:a:b", "pairs", ("a", "b"), ""),
        ("pairs:a", "pairs", ("a", ""), ""),
        ("unpaired:a:b", "unpaired", ("a", "b"), ""),
        ("unpaired:edges:digits", "unpaired", (), "edges:digits"),
        ("unpaired:pairs:a:b", "unpaired", (), "pairs:a:b"),
        ("unpaired:cycle_gan/horse2zebra:1.0.0", "unpaired", (), "cycle_gan/horse2zebra:1.0.0"),
    ],
)
def test_names_are_parsed_to_a_task_its_options_and_what_it_is_made_from(name, task, options, base):
    assert names.parsed(name) == (task, options, base)


def test_links_are_followed_but_not_round_in_circles(classes, tmp_path):
    save(tmp_path / "elsewhere" / "1.png", noise(4, 4, 3))
    (classes / "c").symlink_to(tmp_path / "elsewhere")
    (classes / "a" / "round").symlink_to(classes)
    (classes / "d").symlink_to(tmp_path / "nowhere")
    (classes / ".hidden.png").write_bytes(b"")
    (classes / "notes.txt").write_text("")
    told = r"21 images; left out: 1 hidden \(.hidden.png\), 1 in other formats \(notes.txt\), "
    with pytest.warns(
        UserWarning, match=told + r"1 linked to a parent directory \(a/round\), 1 with a broken link \(d\)$"
    ):
        whole = data.load(str(classes), "all")
    np.testing.assert_array_equal(np.bincount(whole.arrays["label"]), [10, 10, 1])


def test_runs_within_the_data_are_no_data(classes):
    before = data.load(str(classes), "all").fingerprint
    save(classes / "runs/dcgan-imgs/samples/00000000.png", noise(4, 4, 3))
    (classes / "runs/dcgan-imgs/run.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"1 with a run.json \(runs/dcgan-imgs/\)"):
        assert data.load(str(classes), "all").fingerprint == before
    with pytest.raises(UserError, match=r"is a run directory.*run.json"):
        data.load(str(classes / "runs/dcgan-imgs"), "all")


def test_a_run_is_not_begun_in_the_folder_of_its_data(classes):
    run = SimpleNamespace(workdir=classes / "a" / "..", stream=False, skip_damaged=False)
    with pytest.raises(UserError, match="is the folder of the data; give another"):
        baseline.train(None, SimpleNamespace(dataset=str(classes), run=run))  # pyright: ignore[reportArgumentType]


def test_loose_pictures_beside_class_folders_are_named(classes):
    for name in ("loose.png", "other.png"):
        save(classes / name, noise(4, 4, 3))
    with pytest.warns(
        UserWarning,
        match=r"no labels.*class folders such as a: to get labels, move loose.png and 1 more into a class folder",
    ):
        assert data.load(str(classes), "all").spec.classes == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_may_be_of_any_bytes(tmp_path):
    for i in range(3):
        save(tmp_path / "imgs" / os.fsdecode(b"\xe9t\xe9%d.png" % i), noise(4, 4))
    path = str(tmp_path / "imgs")
    assert data.load(path, "all").count == 3 and data.load(path, "all").origin == data.stream(path, "all").origin
    (tmp_path / "imgs" / os.fsdecode(b"\xff.txt")).write_text("")
    with pytest.warns(UserWarning, match=r"\(\\udcff.txt\)"):
        data.load(path, "all")


# Splits


@pytest.mark.parametrize(("first", "second", "valid"), [("train", "test", None), ("Train", "val", "val")])
def test_folders_called_train_and_test_are_the_splits(tmp_path, first, second, valid):
    for i, split in itertools.product(range(6), (first, second)):
        save(tmp_path / "imgs" / split / "ab"[i % 2] / f"{i}.png", noise(4, 4))
    for split, of in (("train", first), ("test", second), ("valid", valid)):
        if of:
            found, expected = data.load(str(tmp_path / "imgs"), split), data.load(str(tmp_path / "imgs" / of), "all")
            assert (found.fingerprint, found.spec) == (expected.fingerprint, expected.spec) and found.spec.classes == 2
    assert data.load(str(tmp_path / "imgs"), "all").count == 12
    if not valid:
        with pytest.raises(UserError, match=r"'valid'.* has the splits train, test, all"):
            data.load(str(tmp_path / "imgs"), "valid")
    save(tmp_path / "imgs" / "other" / "a" / "1.png", noise(4, 4))
    assert data.load(str(tmp_path / "imgs"), "all").spec.classes == 3  # then they are classes


# Metadata


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_metadata_never_decide_over_pixels(tmp_path):
    pixels, smooth = noise(6, 4, 3), np.tile(np.arange(0, 240, 40, dtype=np.uint8)[:, None, None], (1, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    for name, array in (("plain.png", pixels), ("plain.jpg", smooth)):
        save(tmp_path / name, array)
        save(tmp_path / f"turned-{name}", array, exif=exif)
    png, turned = (tmp_path / "plain.png").read_bytes(), (tmp_path / "turned-plain.png").read_bytes()
    long = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 * 2**20)))  # more than Pillow unpacks
    at, end = 33, -12  # after the header, and before the end
    broken = bytearray(turned)
    broken[broken.index(b"eXIf") + 4 : broken.index(b"eXIf") + 8] = b"zz*\0"
    for content, expected in (
        (png[:at] + long + png[at:], pixels),
        (png[:end] + long + png[end:], pixels),
        (turned[:at] + long + turned[at:], np.rot90(pixels, -1)),
        (bytes(broken), pixels),
    ):
        found = images.stack([("x", content)], 1, None, 3)[0]
        np.testing.assert_array_equal(found, expected)
        assert not images.grey(content)
    jpg = (tmp_path / "plain.jpg").read_bytes()
    plain = images.stack([("x", jpg)], 1, None, 3)[0]
    profile = b"\xff\xe2\x00\x0eICC_PROFILE\0"  # without its number, at which Pillow stops
    tags = b"\xff\xe1\x00\x14Exif\0\0II*\0\xff\xff\xff\xff\x01\x02\x03\x04"
    for segment in (profile, tags):
        found = images.stack([("x", jpg[:2] + segment + jpg[2:])], 1, None, 3)[0]
        np.testing.assert_array_equal(found, plain)
    upright = images.stack([("x", tmp_path / "turned-plain.jpg")], 1, None, 3)[0]
    np.testing.assert_array_equal(upright, np.rot90(plain, -1))
    assert metadata.removed(png[:-20]) is None and metadata.removed(jpg[:30]) is None and metadata.removed(b"") is None


# Damage


@pytest.fixture
def damaged(classes):
    """The second and the last but one image are cut off, and so is the first where all are taken."""
    for name in ("a/00.png", "a/02.png", "b/19.png"):
        (classes / name).write_bytes((classes / name).read_bytes()[:60])
    return str(classes)


def test_the_next_sound_image_takes_the_place_of_a_damaged_one_in_memory_as_in_streams(damaged):
    with pytest.raises(UserError, match=r"cannot read the image .*a/00\.png"):
        data.load(damaged, "all")
    with pytest.raises(UserError, match=r"cannot read the image .*a/00\.png.*--skip-damaged"):
        data.stream(damaged, "all")
    for _ in range(2):  # decoded, and from the cache
        with pytest.warns(UserWarning, match=r"skipped: 3 of 20 images cannot be read.*a/00.png, .*a/02.png, .*19.png"):
            whole = data.load(damaged, "all", skip_damaged=True)
    with pytest.raises(UserError, match=r"cannot read the image .*a/00\.png"):
        data.load(damaged, "all")  # the cache is not asked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        streamed = streaming.evenly_spaced(data.stream(damaged, "all", skip_damaged=True), 20)
    np.testing.assert_array_equal(whole.arrays["image"], streamed.arrays["image"])
    np.testing.assert_array_equal(whole.arrays["label"], streamed.arrays["label"])
    np.testing.assert_array_equal(whole.arrays["image"][[0, 1, 19]], whole.arrays["image"][[2, 2, 2]])


def test_if_none_can_be_read_that_is_said(tmp_path):
    for name in ("1.png", "2.png"):
        (tmp_path / "imgs").mkdir(exist_ok=True)
        (tmp_path / "imgs" / name).write_text("no image")
    for open_ in (data.load, data.stream):
        with pytest.raises(UserError, match="cannot read the image"):
            open_(str(tmp_path / "imgs"), "all", skip_damaged=True)


def test_one_image_in_colour_makes_a_stream_of_thousands_colour(tmp_path, monkeypatch):
    listing = SimpleNamespace(files=[Path(f"{i}") for i in range(3000)], names=[f"{i}" for i in range(3000)])
    monkeypatch.setattr(folder, "_select", lambda *_: folder._Selection(listing, [0], None, ()))  # pyright: ignore
    monkeypatch.setattr(images, "grey", lambda file: str(file) != "2998")
    monkeypatch.setattr(folder, "_origin", lambda *_: "")
    monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_size=0))
    assert data.stream("folder:/x", "all", 8).spec.shape == (8, 8, 3)


def test_sizes_without_sense_are_refused_with_their_number(classes):
    for open_ in (data.load, data.stream):
        with pytest.raises(UserError, match=r"images of 1000000000x1000000000x3 take .* GiB"):
            open_(str(classes), "all", 10**9)
    for draw, of in ((toys.draw, toys.ring()), (toys.trace, toys.moons())):
        with pytest.raises(UserError, match=r"count=1,000,000,000: drawing the points takes 14.9 GiB"):
            draw(of, 10**9, 0)  # pyright: ignore[reportArgumentType]


# Runs


def test_data_in_memory_and_streamed_have_one_mark_and_old_records_are_known(classes):
    whole, stream = data.load(str(classes)), data.stream(str(classes))
    about, streamed = dataset.marks(whole), dataset.marks(stream)
    assert whole.fingerprint != stream.fingerprint == whole.origin
    old = {"fingerprint": whole.fingerprint}, {"fingerprint": stream.fingerprint}
    for other in (about, streamed, *old):
        assert dataset.same(about, other) and dataset.same(other, about)
    other = {"fingerprint": "0" * 16, "origin": whole.origin}  # as many bytes in files of the same names
    assert not dataset.same(about, other) and dataset.same(streamed, other)
    assert not dataset.same(about, {"fingerprint": "0" * 16}) and not dataset.same(streamed, old[0])


def record_of(of, /, **config):
    experiment = {"module": "experiments.own", "file": "own.py"}
    about = {"name": of.name, "split": of.split, "shape": list(of.spec.shape), "count": of.count}
    return {"experiment": experiment, "config": config, "data": about | dataset.marks(of)}


def opened(record):
    """An opened run, of which only the record matters here."""
    return runs.Restored(cast(Any, None), {}, 0, record, data.Spec((), 0))


def test_a_run_goes_on_with_its_data_by_any_name_and_says_so_when_they_have_moved(classes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    began = record_of(data.load("imgs"), dataset="imgs", batch_size=8)
    assert began["data"]["name"] == str(classes)
    here = Path("run")
    for name in ("imgs/", str(classes)):
        for found in (data.load(name), data.stream(name)):
            identity.require_same(record_of(found, dataset=name, batch_size=8), began, here)
    with pytest.raises(UserError, match="holds a run with dataset='imgs'"):
        identity.require_same(record_of(data.load("digits"), dataset="digits", batch_size=8), began, here)
    classes.rename(tmp_path / "moved")
    moved = record_of(data.load("moved"), dataset="moved", batch_size=8)
    with pytest.warns(UserWarning, match=rf"set of run was called {classes} and is now called {tmp_path / 'moved'}"):
        identity.require_same(moved, began, here)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"if the data have moved, give --dataset"):
        runs.dataset(opened(began))
    found = runs.dataset(opened(began | {"data": began["data"] | {"name": str(tmp_path / "moved")}}))
    assert found.fingerprint == began["data"]["fingerprint"]
    with pytest.raises(
        UserError, match=r"examples of shape \[4, 4, 3\], but those of 'digits' have shape \[28, 28, 1\]"
    ):
        runs.dataset(opened(began | {"data": began["data"] | {"name": "digits"}}), "test")


def test_a_streamed_run_is_scored_past_damaged_files(damaged):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = record_of(data.stream(damaged, "all", skip_damaged=True))
    with pytest.warns(UserWarning, match="skipped: 3 of 20"):
        assert runs.dataset(opened(record)).count == 20


# Conversion


def test_the_command_that_converts_tells_bad_input_without_a_traceback(tmp_path, monkeypatch, capsys):
    about = tmp_path / "dataset_info.json"
    for content in (None, "no json", "[]", "{}", '{"splits": [{}]}', '{"splits": [{"shardLengths": ["x"]}]}', "\xff"):
        if content is not None:
            about.write_bytes(content.encode("latin-1"))
        with pytest.raises(UserError, match=r"dataset_info\.json"):
            convert_tfds.convert(tmp_path)
    about.write_text('{"splits": [{"shardLengths": ["1"]}]}')
    with pytest.raises(UserError, match=r"0 records, but dataset_info\.json says 1"):
        convert_tfds.convert(tmp_path)


@pytest.mark.slow
def test_the_command_line_of_conversion(tmp_path):
    command = [sys.executable, "-m", "gan_jax.data.sources.convert_tfds", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "has no dataset_info.json" in done.stderr
