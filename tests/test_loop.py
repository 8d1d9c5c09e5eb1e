import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy_experiment
from toy import few, points_game
from toy_experiment import Config

from gan_jax import data, loop, pictures, runs
from gan_jax.devices import compilation
from gan_jax.errors import UserError
from gan_jax.loop import session
from gan_jax.runs import checkpoint, directories, lock, log


def config(workdir, batch_size=16, learning_rate=1e-3, seed=0, **options):
    settings = Config()
    run = dataclasses.replace(settings.run, workdir=workdir, **options)
    return Config(batch_size, learning_rate, seed, run)


def train(workdir, **settings):
    return toy_experiment.main(config(workdir, **settings))


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing interrupts."""
    workdir = tmp_path_factory.mktemp("whole")
    return train(workdir), workdir


def numbers(workdir):
    """The log without what a clock says."""
    drop = ("seconds", "images_per_second", "peak_bytes", "event", "compile_seconds")
    return [{k: v for k, v in line.items() if k not in drop} for line in log.read(workdir) if "event" not in line]


def test_a_run_leaves_what_it_promises(whole):
    state, workdir = whole
    assert int(state.step) == 6
    names = {path.name for path in workdir.iterdir()}
    assert names == {
        "run.json", "experiment.py", "metrics.jsonl", "tensorboard", "samples", "animation.gif", "report.html",
        "checkpoints", "training.lock",
    }  # fmt: skip
    assert [line["step"] for line in numbers(workdir)] == [2, 3, 4, 6]
    assert checkpoint.steps(workdir / "checkpoints") == [4, 6]
    assert sorted(p.stem for p in (workdir / "samples").iterdir()) == ["00000000", "00000003", "00000006"]
    assert (workdir / "experiment.py").read_text() == Path(toy_experiment.__file__).read_text()
    record = json.loads((workdir / "run.json").read_text())
    assert record["config"] == {"batch_size": 16, "learning_rate": 1e-3, "seed": 0}
    assert record["data"]["name"] == "ring" and record["environment"]["jax"] == jax.__version__


def test_tensorboard_holds_the_log(whole):
    _, workdir = whole
    (events,) = (workdir / "tensorboard").iterdir()
    content = events.read_bytes()
    assert content.count(b"generator/loss") >= len(numbers(workdir))


def test_a_run_in_two_parts_is_the_whole_run(whole, tmp_path):
    train(tmp_path, steps=4)
    state = train(tmp_path)
    assert_same_bits(state, whole[0])
    assert numbers(tmp_path) == numbers(whole[1])


@pytest.mark.slow
def test_other_intervals_and_calls_change_nothing(whole, tmp_path):
    state = train(tmp_path, log_every=5, sample_every=4, save_every=100, steps_per_call=1)
    assert_same_bits(state, whole[0])


@pytest.mark.slow
def test_what_came_after_the_restored_step_is_dropped(whole, tmp_path):
    train(tmp_path)
    newest = tmp_path / "checkpoints" / "step_00000006"
    next(path for path in newest.rglob("*") if path.name == "manifest.ocdbt").write_bytes(b"")
    with pytest.warns(UserWarning, match="step 6 is damaged.*using step 4"):
        state = train(tmp_path)
    assert_same_bits(state, whole[0])
    assert numbers(tmp_path) == numbers(whole[1])
    assert checkpoint.steps(tmp_path / "checkpoints") == [4, 6]


@pytest.mark.slow
def test_killed_in_mid_run_and_continued_is_the_whole_run(tmp_path):
    script = Path(toy_experiment.__file__)
    settings = ["--steps", "3000", "--save-every", "100", "--log-every", "100", "--sample-every", "1000"]

    def command(workdir):
        return [sys.executable, script, *settings, "--workdir", workdir]

    victim = subprocess.Popen(command(tmp_path / "killed"), stdout=subprocess.DEVNULL)
    saved = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 120
    while len(checkpoint.steps(saved)) < 2 and time.monotonic() < deadline and victim.poll() is None:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert 0 < checkpoint.steps(saved)[-1] < 3000
    for name in ("killed", "whole"):
        subprocess.run(command(tmp_path / name), check=True, stdout=subprocess.DEVNULL)
    like = jax.eval_shape(toy_experiment.build(Config(), None).init, jax.random.key(0))
    killed, uninterrupted = (checkpoint.restore(tmp_path / n / "checkpoints", like)[0] for n in ("killed", "whole"))
    assert int(killed.step) == 3000
    assert_same_bits(killed, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_saves_and_ends_the_run(whole, tmp_path, monkeypatch, number):
    save_png = pictures.save_png

    def interrupt(path, image):
        save_png(path, image)
        if path.stem == "00000003":
            os.kill(os.getpid(), number)

    monkeypatch.setattr(pictures, "save_png", interrupt)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, save_every=100)
    assert stopped.value.code == 128 + number
    assert checkpoint.steps(tmp_path / "checkpoints") == [4]  # the call after the signal was the last
    assert_same_bits(train(tmp_path), whole[0])


@pytest.mark.slow
def test_a_checkpoint_directory_that_can_no_longer_be_written_ends_the_run_and_loses_nothing(
    whole, tmp_path, monkeypatch
):
    saved, away, save_png = tmp_path / "checkpoints", tmp_path / "away", pictures.save_png

    def spoil(path, image):
        save_png(path, image)
        if path.stem == "00000003":
            deadline = time.monotonic() + 60
            while checkpoint.steps(saved) != [2] and time.monotonic() < deadline:  # written beside the steps
                time.sleep(0.01)
            saved.rename(away)
            saved.write_text("no directory any more")

    with monkeypatch.context() as patched, pytest.raises(OSError):
        patched.setattr(pictures, "save_png", spoil)
        train(tmp_path)
    saved.unlink()
    away.rename(saved)
    assert checkpoint.steps(saved) == [2]
    assert_same_bits(train(tmp_path), whole[0])


def test_divergence_stops_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path):
    def build(config, spec):
        return points_game(optimizer=optax.sgd(lambda count: jnp.where(jnp.less(count, 3), 1e-3, 1e38)))

    with pytest.raises(
        FloatingPointError, match=r"/\w+ is nan at step 4; the last good checkpoint, of step 2, is kept"
    ):
        loop.run(build, data.load("ring"), config(tmp_path, steps=20))
    assert checkpoint.steps(tmp_path / "checkpoints") == [2]
    assert log.read(tmp_path)[-1]["event"] == "diverged"
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 5e-4}, "learning_rate=0.001, but this one has learning_rate=0.0005.*--workdir"),
        ({"seed": 1}, "seed=0, but this one has seed=1"),
        ({"batch_size": 15, "devices": 4}, "batch_size=15 is not divisible by 4 devices.*16"),
        ({"devices": 9}, "devices=9: this machine has 4"),
        ({"log_every": 0}, "log_every=0 must be at least 1"),
        ({"batch_size": 10**6}, "batch_size=1000000 exceeds"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_lost(whole, settings, message):
    _, workdir = whole
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path.is_file()}
    fresh = workdir / "other" if "batch_size" in settings else workdir
    with pytest.raises(ValueError, match=message):
        train(fresh, **({"steps": 8} | settings))
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*") if path in before}


def test_a_run_from_before_a_field_existed_goes_on_if_the_field_has_its_default(whole, monkeypatch):
    read_meta = checkpoint.read_meta

    def older(directory):
        meta = read_meta(directory)
        return meta | {"config": {name: value for name, value in meta["config"].items() if name != "learning_rate"}}

    monkeypatch.setattr(checkpoint, "read_meta", older)
    assert_same_bits(train(whole[1]), whole[0])
    with pytest.raises(ValueError, match=r"learning_rate=0\.001, but this one has learning_rate=0\.1"):
        train(whole[1], learning_rate=0.1)


def test_another_experiments_directory_is_refused(whole):
    def build(config, spec):
        raise AssertionError("must not be built")

    with pytest.raises(ValueError, match="holds a run of toy_experiment, but this is a run of test_loop"):
        loop.run(build, data.load("ring"), config(whole[1], steps=8))


def test_other_data_of_the_same_name_is_refused(whole):
    changed = data.load("ring")._replace(fingerprint="other")
    with pytest.raises(ValueError, match="different contents of 'ring'"):
        loop.run(toy_experiment.build, changed, config(whole[1], steps=8))


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [("enable_x64", True, "JAX_ENABLE_X64=0"), ("threefry_partitionable", False, "JAX_THREEFRY_PARTITIONABLE=1")],
)
def test_settings_of_jax_that_change_what_is_drawn_are_refused(whole, setting, value, said):
    with getattr(jax, setting)(value):
        for use in (lambda: runs.open_run(whole[1]), lambda: train(whole[1], steps=8)):
            with pytest.raises(UserError, match=f"gives different numbers.*set {said} in the environment"):
                use()


def test_a_finished_run_is_left_alone(whole, capsys):
    state = train(whole[1])
    assert_same_bits(state, whole[0])
    assert "has already run 6 iterations, and --steps is 6" in capsys.readouterr().out


def tree(directory):
    return {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}


STARTS = list(itertools.product(["build", "init", "grid"], ["nothing", "files", "fresh"]))


@pytest.mark.parametrize("start", few(STARTS, ("init", "nothing"), ("build", "files"), ("grid", "fresh")), ids="-".join)
def test_a_start_that_fails_leaves_nothing_that_was_not_there_before(tmp_path, monkeypatch, start):
    at, before = start

    def build(config, spec):
        if at == "build":
            raise UserError("a setting is wrong")
        return toy_experiment.build(config, spec)

    def fail(*_):
        raise MemoryError(f"full at the {at}")

    workdir = tmp_path / "runs" / "new"
    if before != "nothing":
        workdir.mkdir(parents=True)
        (workdir / ("run.json" if before == "fresh" else "notes.txt")).write_text("{}")
    kept = tree(tmp_path)
    if at != "build":
        monkeypatch.setattr(*((compilation, "_waited") if at == "init" else (pictures, "save_png")), fail)
    with pytest.raises((UserError, MemoryError)):
        loop.run(build, data.load("ring"), config(workdir, fresh=before == "fresh"))
    assert tree(tmp_path) == kept


@pytest.mark.parametrize("number", few([signal.SIGINT, signal.SIGTERM], signal.SIGTERM))
def test_a_signal_before_the_first_iteration_ends_the_program_at_once(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(pictures, "save_png", lambda path, image: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "run")
    assert stopped.value.code == 128 + number and not (tmp_path / "run").exists()
    assert f"stopped by {number.name}: nothing to save" in capsys.readouterr().out


LONG = """
    import jax
    import jax.numpy as jnp

    system = points_game(optimizer=optax.adam(config.learning_rate))

    def update(state, batch, key):
        state, metrics = system.update(state, batch, key)
        x = jnp.ones((8, 8)) * state.step
        for i in range(400):  # a minute to compile
            x = jnp.tanh(x @ x + i * jnp.roll(x, i % 7, 0)[:, ::-1]).at[i % 5].add(jnp.sin(x[3]))
        return state, metrics | {"x": x.sum()}

    return system._replace(update=update)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_compilation(tmp_path, number):
    script, text = tmp_path / "long.py", Path(toy_experiment.__file__).read_text()
    script.write_text(text.replace("    return points_game(optimizer=optax.adam(config.learning_rate))\n", LONG))
    process = subprocess.Popen(
        [sys.executable, script, "--workdir", tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, Path(__file__).parents[1]]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    while "compiling" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(10)  # the program is traced, and compiles
    process.send_signal(number)
    began = time.monotonic()
    said, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + number and time.monotonic() - began < 10 and not errors
    assert f"stopped by {number.name}: nothing to save" in said and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_fresh_moves_the_old_run_aside(tmp_path):
    workdir = tmp_path / "run"
    train(workdir, steps=2)
    train(workdir, steps=1, seed=1, fresh=True)
    assert checkpoint.steps(tmp_path / "run.old-1" / "checkpoints") == [2]
    assert checkpoint.steps(workdir / "checkpoints") == [1]


def test_fresh_moves_nothing_that_is_no_run(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(UserError, match=r"--fresh: .*letters has files but no run"):
        train(tmp_path / "letters", fresh=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["letters", "a.txt"]


def test_an_empty_name_is_no_directory_to_train_in(tmp_path, monkeypatch):
    (tmp_path / "a.txt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--workdir: the current directory"):
        train(Path(""))


def test_a_run_that_is_being_trained_is_neither_joined_nor_moved_aside(whole):
    with lock.held(whole[1]):
        for fresh in (False, True):
            with pytest.raises(UserError, match="is training in"):
                train(whole[1], fresh=fresh)
    assert_same_bits(train(whole[1]), whole[0])


def test_another_seed_has_a_directory_of_its_own_where_there_is_a_run_already(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def directory(seed):
        config = {"config": {"seed": seed}, "data": {"name": "digits"}}
        return directories.default_directory(config | {"experiment": {"module": "experiments.own"}})

    def make(path):
        path.mkdir(parents=True)
        (path / "run.json").write_text(
            json.dumps({"config": {"seed": int(path.name[-1]) if "seed" in path.name else 0}})
        )

    plain, own = Path("runs/own-digits"), Path("runs/own-digits-seed1")
    assert directory(0) == directory(1) == plain
    make(plain)
    assert (directory(0), directory(1)) == (plain, own)
    make(own)
    shutil.rmtree(plain)
    assert (directory(0), directory(1), directory(2)) == (plain, own, plain)  # the same command goes on


def test_a_script_that_trains_when_imported_is_not_trained_by_opening_its_run(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "run")
    script = tmp_path / "run" / "experiment.py"
    script.write_text(
        script.read_text() + f"\n\nmain(Config(run=loop.Run(workdir={str(tmp_path / 'run')!r}, fresh=True)))\n"
    )
    with pytest.raises(UserError, match=r"experiment.py, which starts to train.*__main__"):
        runs.open_run(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_killed_before_its_report_is_reported_by_the_same_command(whole, tmp_path):
    shutil.copytree(whole[1], tmp_path / "run")
    for name in ("report.html", "animation.gif"):
        (tmp_path / "run" / name).unlink()
    train(tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "animation.gif").exists()


@pytest.mark.slow
def test_a_finished_run_that_gets_a_signal_says_that_it_is_done(tmp_path, monkeypatch, capsys):
    save_png = pictures.save_png

    def interrupt(path, image):
        save_png(path, image)
        if path.stem == "00000001":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(pictures, "save_png", interrupt)
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "my run", steps=1)
    assert stopped.value.code == 128 + signal.SIGTERM
    said = capsys.readouterr().out
    assert "done, with" in said and "continues" not in said
    assert f"python -m gan_jax.sample '{tmp_path / 'my run'}'\n" in said  # to be pasted into a shell


def test_a_report_that_cannot_be_written_is_told_and_hides_no_error(tmp_path, capsys):
    with pytest.raises(ZeroDivisionError):
        try:
            _ = 1 / 0
        finally:
            session._shown(SimpleNamespace(notes=tmp_path / "gone", say=print))  # pyright: ignore[reportArgumentType]
    assert "warning: cannot write the report" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_devices(whole, tmp_path):
    train(tmp_path, steps=2, devices=4)
    state = train(tmp_path, devices=1)
    # Adam turns rounding into steps of its own size; six of them at 1e-3 stay far below what another batch would do
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), state.params, whole[0].params)
