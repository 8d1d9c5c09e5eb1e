import dataclasses
import importlib.util
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import toy_experiment
from test_loop import config
from toy import untrained

from experiments import dcgan, vae
from gan_jax import data, loop, rng, runs, sample
from gan_jax.errors import UserError
from gan_jax.game import sampler
from gan_jax.runs import checkpoint, identity, records


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


@pytest.mark.slow
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
    with pytest.raises(UserError, match=r"imports 'a_module_of_mine'.*PYTHONPATH"):
        runs.open_run(workdir)


def test_a_run_from_before_the_rooms_opens_by_todays_experiment_and_others_name_the_import(tmp_path, monkeypatch):
    """Records without a format are of experiments that import modules from where they were."""
    untrained(dcgan, tmp_path / "run", latent_size=4)
    before = sample.samples(runs.open_run(tmp_path / "run"), 0, 5)
    (tmp_path / "run" / "experiment.py").write_text("from gan_jax.networks.norm import Norm\n")
    with pytest.raises(UserError, match=r"imports 'gan_jax.networks.norm'.*have moved.*README"):
        runs.open_run(tmp_path / "run")
    restored = checkpoint.restore_averaged

    def older(*arguments):
        ema, record = restored(*arguments)
        return ema, {key: value for key, value in record.items() if key != "format"}

    monkeypatch.setattr(checkpoint, "restore_averaged", older)
    np.testing.assert_array_equal(sample.samples(runs.open_run(tmp_path / "run"), 0, 5), before)


def test_broken_sources_are_named_with_the_line_and_what_to_do(own):
    file, workdir = own
    copy, whole = workdir / "experiment.py", file.read_text()
    for broken, message in {
        whole + "\ndef (": f"{copy}, line {whole.count(chr(10)) + 2}: SyntaxError",
        whole + "\nfrom gan_jax import nothing": f"{copy}, line {whole.count(chr(10)) + 2}: ImportError.*nothing",
        whole.replace("def build", "def construct"): f"{copy}.*: AttributeError.*build.*fix the file",
        whole.replace("return points_game", "return 1 / 0 and points_game"): rf"{copy}, line \d+: ZeroDivisionError",
        whole.replace("return points_game(", "return dict("): f"{copy}: AttributeError: 'dict' object",
        whole.replace("learning_rate:", "rate:"): "has .'learning_rate'., which .* lacks",
        whole + "\nraise SystemExit(2)": f"{copy}, line .*: SystemExit: 2; put what it runs under .*__main__",
    }.items():
        copy.write_text(broken + "\n" + "#" * len(message))  # of another length, by which Python knows it has changed
        with pytest.raises(UserError, match=message):
            runs.open_run(workdir)
    copy.unlink()
    file.unlink()
    with pytest.raises(
        UserError, match=r"experiment.py is missing, and .*own.py does not exist either; restore one of them"
    ):
        runs.open_run(workdir)


def test_safe_opening_runs_none_of_the_runs_code(own):
    _, workdir = own
    with pytest.raises(UserError, match=r"--safe: .* is a run of own, which is not in .*experiments"):
        runs.open_run(workdir, safe=True)


def test_a_run_of_the_packages_own_experiment_opens_safely(tmp_path):
    settings = vae.Config(g_width=4, d_width=4)
    record = records.describe(vae.build, data.load("digits"), settings)
    system = vae.build(settings, data.load("digits").spec)
    state = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), jax.eval_shape(system.init, rng.key(0)))
    records.write(record, tmp_path, 2)
    with checkpoint.writer(tmp_path / "checkpoints") as save:
        save(dataclasses.replace(state, step=np.int32(2)), record)
    opened = runs.open_run(tmp_path, safe=True).system
    assert sampler(opened)[0].size == sampler(system)[0].size
    (tmp_path / "experiment.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(UserError, match="it was run"):
        runs.open_run(tmp_path)
    with pytest.warns(UserWarning, match=r"--safe: .*vae.py, which differs from the run's .*experiment.py"):
        assert runs.open_run(tmp_path, safe=True).step == 2


def test_all_fields_that_differ_are_named():
    record = {"experiment": {"module": "a.b", "file": "b.py"}, "config": {"x": 1, "long_name": 2, "same": 0}}
    found = record | {"config": {"x": 3, "long_name": 4, "same": 0}}
    with pytest.raises(ValueError, match=r"x=3, long_name=4, but this one has x=1, long_name=2.*--x 3 --long-name 4"):
        identity.require_same(record, found, Path("here"))
