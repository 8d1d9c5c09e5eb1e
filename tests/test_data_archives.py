"""Sets of Hugging Face and tar files: the same images and labels as were put in, in memory and streamed."""

import io
import tarfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_jax import data
from gan_jax.data import names, streaming
from gan_jax.data.sources import hugging_face, tar
from gan_jax.errors import NotFound, UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 3), np.uint8)
LABELS = np.arange(30) % 3
NAMES = ("ant", "bee", "cat")


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def pack(path, rows, label: Any = str, mode: Any = "w", more=()):
    """Writes a shard of some images; `label` makes the text of a .cls file, or None for no such file."""
    files = [("._hidden.png", b"hidden")]
    for i in rows:
        files.append((f"part/{i:03d}.png", png(IMAGES[i])))
        files += [] if label is None else [(f"part/{i:03d}.cls", label(LABELS[i]).encode())]
        files.append((f"part/{i:03d}.json", b"{}"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in [*files, *more]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def shards(tmp_path):
    for i in range(3):
        pack(tmp_path / "shards" / f"train-{i:02d}.tar", range(10 * i, 10 * i + 10))
    return tmp_path / "shards"


def assert_streams_as_it_loads(name, split):
    whole, stream = data.load(name, split), data.stream(name, split)
    assert (stream.count, stream.spec, stream.origin) == (whole.count, whole.spec, whole.origin)
    few = streaming.evenly_spaced(stream, whole.count)
    for key in whole.arrays:
        np.testing.assert_array_equal(few.arrays[key], whole.arrays[key])


# Tar files


def test_shards_hold_what_was_put_in_also_streamed(shards):
    name = f"tar:{shards}/train-{{00..02}}.tar"
    whole = data.load(name, "all")
    np.testing.assert_array_equal(whole.arrays["image"], IMAGES)
    np.testing.assert_array_equal(whole.arrays["label"], LABELS)
    assert whole.spec == data.Spec((6, 6, 3), 3) and whole.name == name
    for split in ("train", "test", "all"):
        assert_streams_as_it_loads(name, split)
    parts = [{image.tobytes() for image in data.load(name, split).arrays["image"]} for split in ("train", "test")]
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 30 and parts[1]
    assert data.load(f"tar:{shards}/*.tar", "all").fingerprint == whole.fingerprint
    assert data.load(name, "all", 3).spec.shape == (3, 3, 3)
    assert data.load(f"edges:{name}", "all").spec.source == (6, 6, 1)


def test_test_images_may_have_files_of_their_own_and_labels_be_names(shards, tmp_path, monkeypatch):
    for i in range(2):
        pack(tmp_path / "named" / f"{i}.tar", range(5 * i, 5 * i + 5), NAMES.__getitem__)
    monkeypatch.chdir(tmp_path)
    name = names.resolved("tar:named/0.tar,test=named/1.tar")
    assert name == f"tar:{tmp_path}/named/0.tar,test={tmp_path}/named/1.tar"
    train, test = data.load("tar:named/0.tar,test=named/1.tar"), data.load(name, "test")
    np.testing.assert_array_equal(train.arrays["image"], IMAGES[:5])
    np.testing.assert_array_equal(test.arrays["image"], IMAGES[5:10])
    assert train.spec.class_names == test.spec.class_names == NAMES and train.name == name
    np.testing.assert_array_equal(test.arrays["label"], LABELS[5:10])


def test_an_archive_is_listed_once_and_again_when_it_has_changed(shards, monkeypatch):
    name, listed = f"tar:{shards}/*.tar", []
    list_one = tar._listed
    monkeypatch.setattr(tar, "_listed", lambda path: listed.append(path) or list_one(path))
    first = data.load(name, "all").fingerprint
    assert len(listed) == 3
    assert data.load(name, "all").fingerprint == first and data.stream(name).count and len(listed) == 3
    pack(shards / "train-01.tar", range(10, 18))
    assert data.load(name, "all").count == 28 and listed[3:] == [str(shards / "train-01.tar")]


def test_labels_that_some_images_lack_are_none(tmp_path):
    pack(tmp_path / "a.tar", range(3))
    pack(tmp_path / "b.tar", range(3, 6), label=None)
    with pytest.warns(UserWarning, match="no labels, because not every image has a .cls file"):
        mixed = data.load(f"tar:{tmp_path}/*.tar", "all")
    assert mixed.spec.classes == 0 and list(mixed.arrays) == ["image"] and mixed.count == 6
    assert data.load(f"tar:{tmp_path}/b.tar", "all").spec.classes == 0


def test_damaged_images_of_a_shard_are_named_or_replaced(tmp_path):
    pack(tmp_path / "a.tar", range(3), more=[("part/010.png", b"no image"), ("part/010.cls", b"0")])
    name = f"tar:{tmp_path}/a.tar"
    with pytest.raises(UserError, match=r"cannot read the image .*a\.tar/part/010\.png"):
        data.load(name, "all")
    with pytest.warns(UserWarning, match="1 of 4 images cannot be read and are replaced"):
        whole = data.load(name, "all", skip_damaged=True)
    np.testing.assert_array_equal(whole.arrays["image"], IMAGES[[0, 1, 2, 0]])


def test_what_is_no_archive_is_named(tmp_path, shards):
    pack(tmp_path / "a.tar.gz", range(3), mode="w:gz")
    with pytest.raises(UserError, match=r"a\.tar\.gz is no uncompressed tar archive"):
        data.load(f"tar:{tmp_path}/a.tar.gz")
    with pytest.raises(NotFound, match=r"there is no file .*none-1\.tar"):
        data.load(f"tar:{tmp_path}/none-{{1..2}}.tar")
    with pytest.raises(UserError, match="has the splits train, test, all"):
        data.load(f"tar:{shards}/*.tar", "valid")
    with pytest.raises(UserError, match=r"'tar:' is empty"):
        data.load("tar:")


# Hugging Face


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Sets written by `save_to_disk`: "both" with a test split, "one" without, "more" with further columns."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("hf")

    def table(rows, **columns):
        made = {"picture": [Image.fromarray(IMAGES[i]) for i in rows], "kind": LABELS[rows].tolist(), **columns}
        features = {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=list(NAMES))}
        features |= {key: datasets.ClassLabel(num_classes=2) for key in columns}
        return datasets.Dataset.from_dict(made, features=datasets.Features(features))

    rows = np.arange(30)
    both = datasets.DatasetDict({"train": table(rows[:20]), "validation": table(rows[20:])})
    both.save_to_disk(folder / "both")
    table(rows).save_to_disk(folder / "one")
    table(rows[:10], side=[0, 1] * 5).save_to_disk(folder / "more")
    return folder


def test_a_set_of_hugging_face_holds_what_was_put_in_also_streamed(saved):
    name = f"hf:{saved}/both"
    train, test = data.load(name), data.load(name, "test")
    np.testing.assert_array_equal(train.arrays["image"], IMAGES[:20])
    np.testing.assert_array_equal(test.arrays["image"], IMAGES[20:])
    np.testing.assert_array_equal(test.arrays["label"], LABELS[20:])
    assert train.spec == test.spec == data.Spec((6, 6, 3), 3, class_names=NAMES)
    for split in ("train", "test"):
        assert_streams_as_it_loads(name, split)
    with pytest.raises(UserError, match="has the splits train, validation"):
        data.load(name, "other")


def test_without_a_test_split_a_tenth_is_held_out(saved):
    whole = {image.tobytes() for image in IMAGES}
    parts = [data.load(f"hf:{saved}/one", split).arrays["image"] for split in ("train", "test")]
    assert [len(part) for part in parts] == [27, 3]
    assert {image.tobytes() for part in parts for image in part} == whole


def test_columns_are_found_by_type_or_given(saved, monkeypatch):
    monkeypatch.chdir(saved)
    assert names.resolved("hf:more,label=side") == f"hf:{saved}/more,label=side"
    assert data.load("hf:more").spec.class_names == NAMES
    train, test = (data.load("hf:more,label=side", split) for split in ("train", "test"))
    assert train.spec.classes == 2
    whole = np.concatenate([train.arrays["image"], test.arrays["image"]])
    label = np.concatenate([train.arrays["label"], test.arrays["label"]])
    place = [next(i for i in range(10) if (IMAGES[i] == image).all()) for image in whole]
    np.testing.assert_array_equal(label, np.array(place) % 2)
    with pytest.raises(UserError, match=r"picture is no column of type ClassLabel; its columns are picture \(Image\)"):
        data.load("hf:more,label=picture")


def test_hugging_faces_package_is_asked_for_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs Hugging Face's datasets: pip install 'gan_jax\[huggingface\]'"):
        hugging_face.load("hf:mnist")
