"""Data of one's own: class folders, arrays in memory, functions in files; trained on, sampled, scored, explored."""

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import optax
import pytest
from PIL import Image
from toy import gan

from experiments import cgan
from gan_jax import data, evaluate, latents, loop, losses, pictures, runs, sample
from gan_jax.data import kinds, names, splits
from gan_jax.errors import NotFound, UserError
from gan_jax.explore import views
from gan_jax.game import labelled
from gan_jax.metrics import protocol, scoring
from gan_jax.metrics.features import pretrained
from gan_jax.networks import linen, mlp
from gan_jax.runs import directories, records
from gan_jax.sample import __main__ as command
from gan_jax.sample.requests import Draw, Shared

PAGE = (Path(data.__file__).parent / "README.md").read_text()
COUNT, CLASSES = 120, ("cats", "dogs")


def pixels(count=COUNT):
    """Images of two classes, the second brighter, and their labels."""
    label = np.arange(count) % 2
    noise = np.random.default_rng(0).integers(0, 128, (count, 8, 8, 1))
    return (noise + 128 * label[:, None, None, None]).astype(np.uint8), label


def faces(**options):
    return data.from_arrays("faces", *pixels(), class_names=CLASSES, **options)


def load(split, resolution):
    """What a user's file has."""
    return faces()


@dataclass(frozen=True)
class Config:
    dataset: str = "digits"
    batch_size: int = 16
    seed: int = 0
    run: loop.Run = field(default_factory=loop.Run)


def build(config, spec):
    """A GAN of small fully connected networks whose generator takes labels."""
    latent = latents.labelled(latents.normal(2), spec.classes)
    networks = {
        "generator": linen(mlp.Generator(spec.shape, (8,), norm="none"), (latent.size,)),
        "discriminator": linen(mlp.Discriminator((8,)), spec.shape),
    }
    return gan(networks, losses.non_saturating(), latent, optax.adam(1e-3), inputs=labelled(latent))


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What the README's lines for a notebook leave behind, with a small network and two steps, in an empty folder."""
    (code,) = re.findall(r"```python\n# notebook\n(.*?)```", PAGE, re.DOTALL)
    code = code.replace(
        "steps=2000", "steps=2, devices=1, eval_every=2, eval_count=20, eval_metrics=('kid',), eval_features='pixels'"
    )
    shown: dict[str, Any] = {"loop": loop, "runs": runs, "views": views, "Path": Path, "faces": faces()}
    before = os.getcwd()
    os.chdir(folder := tmp_path_factory.mktemp("notebook"))
    try:
        exec(code, shown | {"cgan": SimpleNamespace(build=build, Config=Config)}, shown)
    finally:
        os.chdir(before)
    return SimpleNamespace(workdir=folder / "runs" / "arrays", **shown)


# Arrays in memory


def test_a_tenth_of_arrays_is_held_out_or_what_is_given_for_testing():
    image, label = pixels()
    train = faces()
    test = train.held_out
    assert (
        test is not None and (train.count, test.count) == (108, 12) and (train.split, test.split) == ("train", "test")
    )
    rows = [{each.tobytes() for each in part.arrays["image"]} for part in (train, test)]
    assert not rows[0] & rows[1] and rows[0] | rows[1] == {each.tobytes() for each in image}
    for part in (train, test):
        assert part.name == "memory:faces" and part.spec == data.Spec((8, 8, 1), 2, class_names=CLASSES)
        np.testing.assert_array_equal(part.arrays["label"], part.arrays["image"].mean((1, 2, 3)) > 128)
    assert faces().fingerprint == train.fingerprint
    whole = data.from_arrays("faces", image, label, test=(image[:3], label[:3]), resolution=4)
    assert whole.count == COUNT and whole.spec == data.Spec((4, 4, 1), 2)
    assert whole.held_out is not None and whole.held_out.count == 3
    assert data.from_arrays("few", image[:2]).count == 1  # at least one is held out


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("a/b", np.zeros((4, 8, 8, 1), np.uint8)), {}, "name='a/b': give a name without"),
        (("a", np.zeros((4, 8, 8, 1))), {}, r"'a': the examples are float64 \[8, 8, 1\], but images must be uint8"),
        (("a", np.zeros((4, 2), np.float32)), {"kind": kinds.points, "resolution": 8}, "points cannot be resized"),
        (("a", np.zeros((1, 8, 8, 1), np.uint8)), {}, "give at least 2"),
        (("a", np.zeros((4, 8, 8, 1), np.uint8), [0, 1]), {}, r"labels int64 \[2\] for 4 examples"),
        (("a", np.zeros((4, 8, 8, 1), np.uint8), list("abab")), {}, r"np.unique\(label, return_inverse=True\)"),
        (("a", np.zeros((4, 8, 8, 1), np.uint8), [0, 1, 2, 0]), {"class_names": CLASSES}, "labels up to 2"),
        (("a", *pixels(8)), {"test": (pixels(2)[0], None)}, "or of neither"),
        (("a", *pixels(8)), {"test": (np.zeros((1, 4, 4, 1), np.uint8), [0])}, "give one shape"),
    ],
)
def test_arrays_that_fit_nothing_are_refused(arguments, options, message):
    with pytest.raises(UserError, match=message):
        data.from_arrays(*arguments, **options)


def test_a_run_on_arrays_is_recorded_sampled_and_explored_and_needs_them_again_for_no_more(notebook):
    opened = runs.open_run(notebook.workdir)
    about = opened.record["data"]
    assert (about["name"], about["class_names"], about["count"]) == ("memory:faces", list(CLASSES), 108)
    assert opened.spec == notebook.faces.spec and sample.samples(opened, 0, 3).shape == (3, 8, 8, 1)
    assert directories.default_directory(opened.record).name == "test_data_own-faces"
    with pytest.raises(NotFound, match=r"made in memory by data.from_arrays.*FILE.py:FUNCTION.*open_run"):
        runs.dataset(opened)
    given = notebook.opened
    assert runs.dataset(given) is notebook.faces and runs.held_out(given) is notebook.faces.held_out
    assert notebook.picture.ndim == 3
    other = runs.open_run(notebook.workdir, dataset=data.from_arrays("faces", *pixels(60)))
    with pytest.raises(UserError, match="contents of 'memory:faces' have changed"):
        runs.dataset(other)


def test_scores_in_training_are_against_what_is_held_out(notebook):
    scores = [score for score in protocol.read(notebook.workdir) if score.split == "test"]
    assert {score.data_name for score in scores} == {"memory:faces"} and {score.real for score in scores} == {12}
    assert scores[0].data == notebook.faces.held_out.fingerprint


def test_the_classifier_of_arrays_is_trained_on_them_and_judged_on_what_is_held_out(monkeypatch):
    asked = []
    monkeypatch.setattr(pretrained, "fitted", lambda *sets: asked.append(sets))
    monkeypatch.setattr(scoring.features, "of_classifier", lambda classifier, name: name)
    train = faces()
    assert scoring.planned("classifier", train.name, train.spec, train=train).load() == "memory:faces"
    assert asked == [(train, train.held_out)]


# Functions in files


def test_a_run_on_arrays_is_scored_by_a_function_that_makes_them_again(notebook, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(notebook.workdir, run)
    (run / "scores.jsonl").unlink()
    name = f"{__file__}:load"
    evaluate.samples(run, evaluate.Shared(dataset=name), evaluate.Request(("kid",), "pixels", count=20))
    (score,) = [score for score in protocol.read(run) if score.weights == "averaged"]
    assert (score.data_name, score.data) == (name, notebook.faces.held_out.fingerprint)


def test_a_function_of_the_record_is_not_called_when_a_run_is_opened_safely(notebook):
    record = notebook.opened.record | {"data": notebook.opened.record["data"] | {"name": f"{__file__}:load"}}
    opened = runs.open_run(notebook.workdir)._replace(record=record)
    assert runs.dataset(opened).fingerprint == notebook.faces.fingerprint
    with pytest.raises(UserError, match=r"--safe: the data .*test_data_own\.py:load' are made by code outside"):
        runs.dataset(opened._replace(trusted=False))


def test_the_readmes_function_is_a_data_set_by_file_and_by_module(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n# (faces\.py\n.*?)```", PAGE, re.DOTALL)
    (tmp_path / "readmes_faces.py").write_text(f"# {code}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert names.resolved("readmes_faces.py:load") == f"{tmp_path}/readmes_faces.py:load"
    train, test = (data.load("readmes_faces.py:load", split) for split in ("train", "test"))
    assert (train.count, test.count, train.held_out) == (450, 50, None)
    assert train.name == test.name == f"{tmp_path}/readmes_faces.py:load"
    assert train.spec == data.Spec((28, 28, 1), 2, class_names=CLASSES)
    assert data.load("readmes_faces:load").fingerprint == train.fingerprint
    assert data.load("readmes_faces:load", resolution=14).spec.shape == (14, 14, 1)
    system = cgan.build(cgan.Config(), train.spec)
    assert jax.eval_shape(system.init, jax.random.key(0)).params.keys() == {"generator", "discriminator"}
    few = data.load("few:2:0:readmes_faces.py:load")
    assert few.spec.few_labels and few.spec.class_names == CLASSES and names.origin(few.name) == "function"


def test_functions_that_are_none_are_named(tmp_path):
    file = tmp_path / "own.py"
    file.write_text("def load(split, resolution):\n    return 3\n\n\ndef plain():\n    return 3\n\n\nsize = 1\n")
    with pytest.raises(UserError, match="the function returned int; return a Dataset"):
        data.load(f"{file}:load")
    with pytest.raises(UserError, match=r"own.py has no function size; define size\(split, resolution\)"):
        data.load(f"{file}:size")
    with pytest.raises(UserError, match=r"plain': the function must take \(split, resolution\).*too many"):
        data.load(f"{file}:plain")
    with pytest.raises(NotFound, match="there is no file"):
        data.load(f"{tmp_path}/none.py:load")
    with pytest.raises(NotFound, match="add the folder of no_such_module to PYTHONPATH"):
        data.load("no_such_module:load")
    with pytest.raises(UserError, match="leave --stream out"):
        data.stream(f"{file}:load")
    file.write_text(
        "import numpy as np\nfrom gan_jax.data.dataset import dataset\n\n\n"
        "def load(split, resolution):\n    return dataset('own', 'train', np.zeros((4, 8, 8, 1), np.uint8))\n"
    )
    os.utime(file, (1, 1))  # changed, so that it is read anew
    assert data.load(f"{file}:load").count == 4
    with pytest.raises(UserError, match="split='test': own has train"):
        data.load(f"{file}:load", "test")
    with pytest.raises(UserError, match=r"resolution=4: .*\[8, 8, 1\]; pass its resolution on"):
        data.load(f"{file}:load", resolution=4)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("digits", ("built-in", "digits", {})),
        ("mnist", ("tfds", "mnist", {})),
        ("mnist:3.0.1", ("tfds", "mnist:3.0.1", {})),
        ("folder:a:b", ("folder", "a:b", {})),
        ("a/b.py:load", ("function", "a/b.py", {"function": "load"})),
        ("a.b:load", ("function", "a.b", {"function": "load"})),
        ("hf:a/b,label=c,config=d", ("hf", "a/b", {"label": "c", "config": "d"})),
        ("tar:a-{0..3}.tar,test=b.tar", ("tar", "a-{0..3}.tar", {"test": "b.tar"})),
        ("tar:a,b.tar", ("tar", "a,b.tar", {})),
        ("memory:faces", ("memory", "faces", {})),
    ],
)
def test_the_name_of_a_plain_set_says_where_it_comes_from(name, source):
    assert names.source(name) == source
    assert names.parsed(name) == ("", (), name) and names.origin(f"edges:{name}") == source[0]


# Names of classes


def test_first_level_folders_are_classes_and_keep_their_names_in_tasks_and_records(tmp_path):
    image, label = pixels(40)
    for i, each in enumerate(image):
        path = tmp_path / "pets" / CLASSES[label[i]] / "deeper" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each[..., 0]).save(path)
    name = str(tmp_path / "pets")
    found = data.load(name, "all")
    assert found.spec.class_names == data.stream(name, "all").spec.class_names == CLASSES
    np.testing.assert_array_equal(found.arrays["label"], found.arrays["image"].mean((1, 2, 3)) > 128)
    for task in ("edges", "few:2:0"):
        assert data.load(f"{task}:{name}").spec.class_names == CLASSES
    record = records.describe(build, found, Config())
    assert record["data"]["class_names"] == list(CLASSES)
    assert "class_names" not in records.describe(build, data.load("digits"), Config())["data"]


def test_a_class_is_given_by_its_name_or_its_number():
    spec = data.Spec((8, 8, 1), 3, class_names=("cats", "dogs", "1"))
    assert [spec.label(title) for title in ("cats", "dogs", "1", "0", "2")] == [0, 1, 2, 0, 2]
    with pytest.raises(UserError, match="class 'birds' does not exist; give one of cats, dogs, 1, or a number"):
        spec.label("birds")
    with pytest.raises(UserError, match="give a number, as the classes of these data have no names"):
        data.Spec((8, 8, 1), 3).label("cats")
    assert spec.class_titles == spec.class_names and data.Spec((8, 8, 1), 2).class_titles == ("0", "1")


def test_samples_of_a_class_are_asked_for_by_name_and_a_grid_has_names_above_its_columns(notebook, tmp_path):
    command.npz(notebook.workdir, Shared(out=tmp_path / "a.npz"), Draw(3, labels=("dogs", "cats", "1")))
    opened = runs.open_run(notebook.workdir)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["image"], sample.labelled(opened, 0, [1, 0, 1]))
    with pytest.raises(UserError, match="class 'birds' does not exist"):
        command.npz(notebook.workdir, Shared(out=tmp_path / "b.npz"), Draw(3, labels=("birds",)))
    plain = 8 * (8 + 2) + 2  # eight rows of eight pixels and two between
    command.grid(notebook.workdir, Shared(out=tmp_path / "grid.png"), Draw())
    grids = [pictures.load_png(tmp_path / "grid.png"), pictures.load_png(notebook.workdir / "samples" / "00000002.png")]
    for each in grids:
        assert each.shape[0] > plain and each.shape[1] == 2 * (8 + 2) + 2
        strip = each[:-plain]
        assert (strip[0] == pictures.NEUTRAL).all() and strip.max() > 200
    np.testing.assert_array_equal(grids[0][:-plain], grids[1][:-plain])


def test_captions_are_above_their_columns_and_change_nothing_below():
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 82, 3), np.uint8)
    for picture in (frames[0], frames):
        np.testing.assert_array_equal(pictures.captioned(picture, ()), picture)
        for captions in (("a", "", "b", ""), ("a", "", "a very long name of a class", "")):
            drawn = pictures.captioned(picture, captions)
            np.testing.assert_array_equal(drawn[..., -20:, :, :], picture)
            strip = (drawn[..., :-20, :, :] != pictures.NEUTRAL).any((-3, -1)).reshape(-1, 82)[0]
            inked = [strip[1 + 20 * i : 21 + 20 * i].any() for i in range(4)]
            assert inked == [True, False, True, False] and not strip[[0, -1]].any()


def test_a_split_in_memory_is_the_set_or_its_held_out_part():
    train = faces()
    assert splits.of_split(train, "train") is train and splits.of_split(train, "test") is train.held_out
    with pytest.raises(UserError, match="split='all': memory:faces has train and test"):
        splits.of_split(train, "all")


def test_a_data_set_is_shown_without_its_arrays():
    assert repr(faces()) == "Dataset('memory:faces', 'train': 108 images of shape 8x8x1)"
