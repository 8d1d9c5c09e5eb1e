"""What is said of data before training, and of the cache: `python -m gan_jax.data` and `python -m gan_jax.cache`."""

import re

import numpy as np
import pytest
from PIL import Image

from gan_jax import cache as command
from gan_jax import data, pictures
from gan_jax.data import __main__ as shown
from gan_jax.data import cache, summary
from gan_jax.errors import NotFound, UserError

DRAW = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("ignore:folder .* left out")


@pytest.fixture
def pets(tmp_path):
    """Thirty cats and ten dogs, one of another size, one that is damaged, a note and a hidden file."""
    for i in range(40):
        path = tmp_path / "pets" / ("dogs" if i % 4 == 0 else "cats") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(DRAW.integers(0, 256, (8, 6, 3), np.uint8)).save(path)
    Image.fromarray(DRAW.integers(0, 256, (9, 9, 3), np.uint8)).save(tmp_path / "pets" / "dogs" / "00.png")
    (tmp_path / "pets" / "cats" / "01.png").write_bytes(b"no image")
    (tmp_path / "pets" / "note.txt").write_text("a note")
    (tmp_path / "pets" / ".hidden.png").write_text("hidden")
    return tmp_path / "pets"


def test_a_folder_is_counted_by_split_size_and_class_and_what_is_left_out_is_named(pets, tmp_path, capsys):
    shown.main(str(pets), out=tmp_path / "sheet.png")
    said = capsys.readouterr().out
    counts = [data.stream(str(pets), split, skip_damaged=True).count for split in ("train", "test")]
    assert sum(counts) == 40 and f"train   {counts[0]} examples\ntest    {counts[1]} examples\n" in said
    rows = {name: list(map(int, numbers)) for name, *numbers in re.findall(r"(cats|dogs) +(\d+) +(\d+)", said)}
    assert rows.keys() == {"cats", "dogs"} and sum(rows["dogs"]) == 10 and sum(rows["cats"]) == 29
    assert re.search(r"size +8x6 \(\d+\)(, 9x9 \(1\))? \(height x width\)|size +8x6\n", said)
    assert "1 hidden (.hidden.png)" in said and "1 in other formats (note.txt)" in said
    assert "cannot read the image" in said and "1 images cannot be read; give --skip-damaged" in said
    sheet = pictures.load_png(tmp_path / "sheet.png")
    assert said.endswith(f"sheet   {tmp_path / 'sheet.png'}\n") and sheet.shape[1] in (2 * 8 + 2, 2 * 66 + 2)


def test_sizes_that_differ_are_counted_and_the_sheet_is_of_squares(pets, tmp_path, capsys):
    shown.main(f"folder:{pets}/dogs", out=tmp_path / "dogs")
    said = capsys.readouterr().out
    assert "classes none" in said and (tmp_path / "dogs.png").exists()
    found = summary.summarise(data.stream(str(pets), "all", skip_damaged=True), 100)
    assert found.shapes == {(8, 6): 38, (9, 9): 1} and len(found.unreadable) == 1
    assert found.labels is not None and len(found.numbers) == len(found.labels) == 39
    assert summary.summarise(data.stream(str(pets), "all", skip_damaged=True), 10).shapes.total() <= 10


def test_sets_in_memory_are_shown_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, file in (("digits", "digits.png"), ("ring", "ring.png"), ("edges:digits", "edges-digits.png")):
        shown.main(name)
        assert (tmp_path / file).exists()
    said = capsys.readouterr().out
    assert (
        "digits: images, grey\ntrain   10,000 examples\ntest    2,000 examples\nsize    28x28x1\nclasses 10\n" in said
    )
    assert re.search(r"\n +7 +1,000 +200\n", said)
    digits = pictures.load_png(tmp_path / "digits.png")
    assert digits.shape[1] == 10 * 30 + 2  # a column for each class
    with pytest.raises(UserError, match="--most 0"):
        shown.main("digits", most=0)
    with pytest.raises(NotFound, match="made in memory"):
        shown.main("memory:faces")


def test_the_sheet_has_each_class_in_its_column():
    digits = data.load("digits", "test")
    found = summary.summarise(digits, 1)
    chosen = summary.by_class(found.labels, 10)
    assert chosen is not None and summary.by_class(found.labels, 11) is None
    np.testing.assert_array_equal(digits.arrays["label"][chosen].reshape(8, 10), np.tile(np.arange(10), (8, 1)))


def test_the_cache_is_listed_by_kind_and_cleared_by_name_and_foreign_files_stay(capsys):
    root = cache.directory()
    for name in ("classifier-bars", "index-a.tar", "pets-train"):
        cache.cached(name, 0, lambda: {"a": np.zeros(100)})
    (root / "compiled" / "cpu-0123").mkdir(parents=True)
    (root / "compiled" / "cpu-0123" / "program").write_bytes(b"0" * 1000)
    for name in ("holiday-20240101.png", "thesis.npz"):
        (root / name).write_bytes(b"mine")
    command.main()
    said = capsys.readouterr().out
    for kind in ("classifier of a data set", "index of a tar file", "decoded images", "compiled programs"):
        assert kind in said
    assert str(root) in said and "holiday" not in said and len(command.entries()) == 4
    assert sum(entry.size for entry in command.entries()) > 3 * 800 + 1000
    with pytest.raises(NotFound, match="has no entry of that name or kind"):
        command.main(clear=("nothing",))
    with pytest.raises(NotFound, match="Did you mean decoded images"):
        command.main(clear=("decode image",))
    command.main(clear=("compiled", "index"))
    assert [entry.kind for entry in command.entries()] == ["classifier of a data set", "decoded images"]
    command.main(clear=("decoded images",))
    assert [entry.kind for entry in command.entries()] == ["classifier of a data set"]
    command.main(clear=())
    assert not command.entries() and {path.name for path in root.iterdir()} >= {"holiday-20240101.png", "thesis.npz"}
    assert cache.cached("pets-train", 0, lambda: {"a": np.ones(1)})["a"] == 1  # made anew
