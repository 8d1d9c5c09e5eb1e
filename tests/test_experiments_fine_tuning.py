"""The reproduction of fine-tuning: which images are trained on, and what its table says."""

import csv

import numpy as np
import pytest

from experiments.reproduce import fine_tuning
from gan_jax import data, pictures
from gan_jax.errors import UserError

COUNT = 30


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """A folder of images, each of another brightness, and the file of their classes."""
    root = tmp_path_factory.mktemp("drawings")
    for place in range(COUNT):
        pictures.save_png(root / "target" / f"{place:02d}.png", np.full((4, 4, 3), 8 * place, np.uint8))
    with (root / "classes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "caption", "category"])
        rows.writerows([f"{place:02d}.png", "", "dark/black" if place < 12 else "light"] for place in range(COUNT))
    return root


def levels(name, split):
    return set((data.load(str(name), split).arrays["image"][:, 0, 0, 0] // 8).tolist())


def test_few_images_are_trained_on_and_all_others_are_held_out(drawings):
    made = [
        fine_tuning.arranged(drawings / "target", drawings / "classes.csv", drawings / f"links{again}", 10, seed)
        for again, seed in enumerate((0, 0, 1))
    ]
    chosen = [levels(few, "train") for few, _ in made]
    assert [len(each) for each in chosen] == [10] * 3 and chosen[0] == chosen[1] != chosen[2]
    assert levels(made[0][0], "test") == set(range(COUNT)) - chosen[0]
    labelled = data.load(str(made[0][1]), "all")
    assert labelled.spec.class_names == ("dark-black", "light")
    assert ((labelled.arrays["image"][:, 0, 0, 0] // 8 >= 12) == labelled.arrays["label"]).all()


def test_images_without_a_class_and_counts_without_others_are_refused(drawings, tmp_path):
    (tmp_path / "classes.csv").write_text("file,category\n00.png,dark\n")
    with pytest.raises(UserError, match=r"it has no category of 01.png and 28 others"):
        fine_tuning.arranged(drawings / "target", tmp_path / "classes.csv", tmp_path / "links", 10, 0)
    with pytest.raises(UserError, match=r"--count 30: .* has 30 .png files; give fewer"):
        fine_tuning.arranged(drawings / "target", drawings / "classes.csv", tmp_path / "links", 30, 0)


def test_the_table_has_each_way_by_iterations_and_the_lowest_of_each():
    fid = {"from scratch": [[100, 50.0], [200, 40.0]], "fine-tuned": [[0, 30.0], [100, 20.0], [200, 25.0]]}
    record = {"freeze": 2, "images": 7, "training images": 5.04}
    record["fid"] = fid | {"frozen": [[0, 30.0], [100, 22.0], [200, 19.0]]}
    assert fine_tuning.markdown(record).splitlines() == [
        "| iterations | from scratch | fine-tuned | fine-tuned, 2 layers of D frozen |",
        "| --- | --- | --- | --- |",
        "| 0 |  | 30.0 | 30.0 |",
        "| 100 | 50.0 | 20.0 | 22.0 |",
        "| 200 | 40.0 | 25.0 | 19.0 |",
        "| lowest, at | 40.0, 200 | 20.0, 100 | 19.0, 200 |",
        "| the 7 training images | 5.0 | | |",
    ]
