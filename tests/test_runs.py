import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_experiment
from test_loop import config

from gan_jax import data, loop, records, runs, sample


@pytest.fixture
def own(tmp_path):
    """An experiment in a file of its own, trained two steps."""
    file = tmp_path / "own.py"
    file.write_text(Path(toy_experiment.__file__).read_text())
    return file, train(file, tmp_path / "run", 2)


def train(file, workdir, steps):
    spec = importlib.util.spec_from_file_location("own", file)
    assert spec and spec.loader
    module = sys.modules["own"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loop.run(module.build, data.load("ring"), config(workdir, steps=steps))
    return workdir


def test_a_run_keeps_its_experiment(own):
    file, workdir = own
    before = sample.samples(runs.open_run(workdir), 0, 5)
    file.write_text(file.read_text().replace("return points_game(", "return None and ("))
    np.testing.assert_array_equal(sample.samples(runs.open_run(workdir), 0, 5), before)
    file.unlink()
    np.testing.assert_array_equal(sample.samples(runs.open_run(workdir), 0, 5), before)


def test_going_on_with_changed_code_is_said_and_the_old_code_kept(own):
    file, workdir = own
    old = file.read_text()
    file.write_text(old + "\n# changed\n")
    with pytest.warns(UserWarning, match="source has changed since step 2"):
        train(file, workdir, 3)
    assert (workdir / "experiment-to-00000002.py").read_text() == old
    assert (workdir / "experiment.py").read_text() == file.read_text()


def test_what_an_experiment_imports_and_is_not_there_is_named(own):
    _, workdir = own
    (workdir / "experiment.py").write_text("import a_module_of_mine\n")
    with pytest.raises(ValueError, match=r"imports 'a_module_of_mine'.*PYTHONPATH"):
        runs.open_run(workdir)


def test_all_fields_that_differ_are_named():
    record = {"experiment": {"module": "a.b", "file": "b.py"}, "config": {"x": 1, "long_name": 2, "same": 0}}
    found = record | {"config": {"x": 3, "long_name": 4, "same": 0}}
    with pytest.raises(ValueError, match=r"x=3, long_name=4, and this one has x=1, long_name=2.*--x 3 --long-name 4"):
        records.require_same(record, found, Path("here"))
