"""What a checkpoint promises: the same bits back, damage found, mistakes refused, earlier steps never harmed."""

import errno
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.devices import cluster, parallel
from gan_jax.errors import UserError
from gan_jax.runs import checkpoint
from gan_jax.runs.checkpoint import reading
from gan_jax.types import TrainState


def make_state(step: int = 1, width: int = 64) -> TrainState:
    """A state with every dtype, container and empty corner that a method may bring."""
    rng = np.random.default_rng(step)

    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    params = {
        "generator": {"Dense_0": {"kernel": normal(32, width), "bias": normal(width).astype(jnp.bfloat16)}},
        "discriminator": {"Conv_0": {"kernel": normal(4, 4, 3, width)}, "Activation_0": {}},
    }
    optimizers = {
        "generator": optax.adam(1e-3),
        "discriminator": optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)),
    }
    average = {"params": {"Dense_0": {"kernel": normal(32, width), "bias": normal(width)}}, "stats": {}}
    return TrainState(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        stats={"generator": {}, "discriminator": {"Conv_0/kernel/sigma": normal(), "Conv_0/kernel/u": normal(1, 8)}},
        opt_state={name: optimizer.init(params[name]) for name, optimizer in optimizers.items()},
        ema={"generator": average, "encoder": {}},
        extra={
            "pool": jnp.asarray(rng.integers(0, 256, (5, 2, 2, 3)), jnp.uint8),
            "seeds": jnp.asarray(rng.integers(0, 2**32, 4), jnp.uint32),
            "on": jnp.asarray([True, False]),
            "half": jnp.asarray([-0.0, 6e-8, 65504.0], jnp.float16),
            "minus_zero": jnp.full((3,), -0.0),
            "no_rows": jnp.zeros((0, 3)),
            "nothing": {},
        },
    )


def assert_same(actual: Any, expected: Any) -> None:
    """Equal bits, shapes, dtypes and containers, down to the types of optax's tuples."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (e.shape, e.dtype)
        assert np.asarray(a).tobytes() == np.asarray(e).tobytes()


def save(directory: Path, *states: TrainState, keep: int = 2) -> None:
    with checkpoint.writer(directory, keep) as write:
        for state in states:
            write(state, {"config": {"width": 64, "betas": (0.5, 0.9)}})


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("checkpoint") / "two"
    save(directory, make_state(1), make_state(2))
    return directory


@pytest.fixture
def run(two_steps: Path, tmp_path: Path) -> Path:
    """A copy of a run with steps 1 and 2, to be damaged."""
    return Path(shutil.copytree(two_steps, tmp_path / "run"))


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is printed or logged, whatever happens."""
    yield
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []


def test_round_trip_is_bitwise_for_concrete_and_abstract_targets(run):
    for like in (make_state(7), jax.eval_shape(make_state)):
        state, meta = checkpoint.restore(run, like)
        assert_same(state, make_state(2))
        assert meta == {"config": {"width": 64, "betas": [0.5, 0.9]}, "step": 2}
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(state))
    assert isinstance(state.opt_state["generator"][0], optax.ScaleByAdamState)


def test_a_given_step_is_restored(run):
    assert_same(checkpoint.restore(run, make_state(), step=1)[0], make_state(1))
    assert checkpoint.read_meta(run, step=1)["step"] == 1


def test_averaged_networks_are_read_alone(run):
    shutil.rmtree(run / "step_00000002" / "state")
    averaged, meta = checkpoint.restore_averaged(run)
    assert_same(averaged, make_state(2).ema)
    assert meta == checkpoint.read_meta(run)


def test_a_state_without_averages(tmp_path):
    state = replace(make_state(), ema={})
    save(tmp_path, state)
    assert_same(checkpoint.restore(tmp_path, state)[0], state)
    assert checkpoint.restore_averaged(tmp_path)[0] == {}


def test_the_newest_are_kept(tmp_path):
    save(tmp_path, *(make_state(step) for step in (1, 2, 5, 10)), keep=3)
    assert checkpoint.steps(tmp_path) == [2, 5, 10]
    save(tmp_path, make_state(11), keep=1)
    assert checkpoint.steps(tmp_path) == [11]
    with pytest.raises(ValueError, match="keep=0"), checkpoint.writer(tmp_path, keep=0):
        pass


def test_the_state_may_be_donated_and_overwritten_after_save(tmp_path):
    state, original = make_state(), make_state()
    borrowed = np.zeros((512, 512), np.float32)
    state = replace(state, extra={**state.extra, "borrowed": borrowed})
    original = replace(original, extra={**original.extra, "borrowed": borrowed.copy()})
    advance = jax.jit(lambda s: jax.tree.map(lambda x: x + jnp.ones_like(x), s), donate_argnums=0)
    meta = {"note": "before"}
    with checkpoint.writer(tmp_path) as write:
        moved = advance(jax.tree.map(jnp.array, state))  # compiles: the overwriting below must not come too late
        write(state, meta)
        borrowed[:] = 7
        meta["note"] = "after"
        for _ in range(5):
            state = advance(state)
    assert not np.array_equal(moved.params["generator"]["Dense_0"]["kernel"], original.extra["borrowed"])
    restored, meta = checkpoint.restore(tmp_path, original)
    assert_same(restored, original)
    assert meta["note"] == "before"


# Damage


def data_file(item: Path) -> Path:
    return max(item.glob("**/d/*"), key=lambda path: path.stat().st_size)


def flip(path: Path, where: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def reword(path: Path) -> None:
    text = path.read_text()
    assert '"width": 64' in text
    path.write_text(text.replace('"width": 64', '"width": 65'))


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "flipped bit in the state": lambda step: flip(data_file(step / "state")),
    "flipped bit in the averages": lambda step: flip(data_file(step / "ema")),
    "truncated data": lambda step: truncate(data_file(step / "state")),
    "deleted data": lambda step: data_file(step / "state").unlink(),
    "deleted manifest": lambda step: (step / "state/manifest.ocdbt").unlink(),
    "truncated manifest": lambda step: truncate(step / "state/manifest.ocdbt"),
    "deleted _METADATA": lambda step: (step / "state/_METADATA").unlink(),
    "truncated _METADATA": lambda step: truncate(step / "state/_METADATA"),
    "deleted meta": lambda step: (step / "meta/metadata").unlink(),
    "truncated meta": lambda step: truncate(step / "meta/metadata"),
    "another digit in meta": lambda step: reword(step / "meta/metadata"),
    "deleted state": lambda step: shutil.rmtree(step / "state"),
    "deleted averages": lambda step: shutil.rmtree(step / "ema"),
    "deleted everything": lambda step: [shutil.rmtree(path) for path in step.iterdir() if path.is_dir()],
}
damages = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())


@damages
def test_damage_is_found_and_the_step_before_is_used(run, damage):
    damage(run / "step_00000002")
    with pytest.warns(UserWarning, match=r"step 2 is damaged \(.+\); using step 1 instead") as caught:
        state, meta = checkpoint.restore(run, make_state())
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 200 + 200 + len(str(run))
    assert caught[0].filename == __file__
    assert_same(state, make_state(1))
    assert meta["step"] == 1
    with pytest.raises(ValueError, match="step 2 is damaged"):
        checkpoint.restore(run, make_state(), step=2)


@pytest.mark.parametrize("where", [0.0, 0.1, 0.3, 0.7, 0.9, 0.999])
def test_no_flipped_bit_gives_wrong_values(run, where):
    flip(data_file(run / "step_00000002/state"), where)
    try:
        state = checkpoint.restore(run, make_state(), step=2)[0]
    except ValueError as error:
        assert "step 2 is damaged" in str(error)
    else:
        assert_same(state, make_state(2))  # the bit was in a part of the file that is no longer in use


@pytest.mark.parametrize("name", ["state/_sharding", "_CHECKPOINT_METADATA", "commit_success.txt"])
def test_files_that_hold_nothing_of_ours_are_not_missed(run, name):
    (run / "step_00000002" / name).unlink(missing_ok=True)
    assert_same(checkpoint.restore(run, make_state())[0], make_state(2))


def test_all_damaged_is_an_error_that_lists_them(run):
    for step in (1, 2):
        flip(data_file(run / f"step_0000000{step}/ema"))
    for read in (lambda: checkpoint.restore(run, make_state()), lambda: checkpoint.restore_averaged(run)):
        with pytest.raises(ValueError, match=r"step 2 is damaged.*step 1 is damaged.*train again"):
            read()
    assert checkpoint.read_meta(run)["step"] == 2


def test_training_goes_on_after_damage_and_nothing_is_lost(run):
    flip(data_file(run / "step_00000002/state"))
    before = {path.name: path.read_bytes() for path in (run / "step_00000002").glob("**/*") if path.is_file()}
    with pytest.raises(ValueError, match=r"step 2 was not saved.*\[1, 2\].*discard_after"):
        save(run, make_state(2))
    for expected in ("discarded-step_00000002", "discarded-step_00000002-1"):
        (moved,) = checkpoint.discard_after(run, 1)
        assert moved == run / expected
        assert checkpoint.steps(run) == [1]
        save(run, make_state(2))
        assert_same(checkpoint.restore(run, make_state())[0], make_state(2))
    first = run / "discarded-step_00000002"
    assert before == {path.name: path.read_bytes() for path in first.glob("**/*") if path.is_file()}
    assert checkpoint.discard_after(run, 2) == []


# What is no damage


def out_of_reach(path: Path) -> None:
    """Makes the system refuse to open a file, for any user: a link to itself."""
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", ["meta/metadata", "state/_METADATA", "state/manifest.ocdbt", "data"])
def test_a_file_that_the_system_cannot_read_is_no_damage(run, name):
    step = run / "step_00000002"
    out_of_reach(data_file(step / "state") if name == "data" else step / name)
    with pytest.raises(OSError) as caught:
        checkpoint.restore(run, make_state())
    assert caught.value.errno == errno.ELOOP
    assert checkpoint.steps(run) == [1, 2]


@pytest.mark.parametrize("error", [MemoryError, TimeoutError, ImportError, AttributeError, PermissionError])
def test_what_fails_while_reading_is_raised_as_what_it_is(run, monkeypatch, error):
    import orbax.checkpoint as ocp

    def fail(*args: Any) -> None:
        raise error("not today")

    monkeypatch.setattr(ocp.Checkpointer, "restore", fail)
    with pytest.raises(error, match="not today"):
        checkpoint.restore(run, make_state())


def test_a_step_that_is_deleted_while_it_is_read_gives_way_to_the_newer_one(run, monkeypatch):
    read = reading._read

    def late(*args: Any) -> Any:
        monkeypatch.undo()
        save(run, make_state(3), keep=1)
        return read(*args)

    monkeypatch.setattr(reading, "_read", late)
    assert_same(checkpoint.restore(run, make_state())[0], make_state(3))
    monkeypatch.setattr(reading, "_read", lambda *args: shutil.rmtree(args[0]) or read(*args))
    with pytest.raises(FileNotFoundError, match="is not a directory of checkpoints"):
        checkpoint.restore(run, make_state(), step=3)


def test_other_files_among_the_steps_are_not_taken_for_steps(run):
    (run / "step_00000009").write_text("a file")
    for name in (".DS_Store", "._step_00000002", "notes.txt"):
        (run / name).write_text("")
    for name in (
        "step_7",
        "step_000000052",
        "step_00000050.orbax-checkpoint-tmp",
        "discarded-step_00000060",
        "step_٠٠٠٠٠٠٠٨",
    ):
        (run / name).mkdir()
    assert checkpoint.steps(run) == [1, 2]
    save(run, make_state(3))
    assert checkpoint.steps(run) == [2, 3]
    assert_same(checkpoint.restore(run, make_state())[0], make_state(3))


def test_processes_restore_one_step_or_all_end_with_an_error(run, monkeypatch):
    def others(end: int) -> None:
        monkeypatch.setattr(cluster, "several", lambda: True)
        monkeypatch.setattr(cluster, "gathered", lambda own: [int(own), end])

    others(1)
    assert_same(checkpoint.restore(run, make_state())[0], make_state(1))
    others(-1)
    with pytest.raises(checkpoint.Damaged, match="process 1 cannot restore"):
        checkpoint.restore(run, make_state(), step=2)
    others(-2)
    with pytest.raises(UserError, match=r"process 1 cannot restore .*see its error message"):
        checkpoint.restore(run, make_state())
    others(2)
    flip(data_file(run / "step_00000001/state"))
    with pytest.raises(checkpoint.Damaged, match="step 1 is damaged"):
        checkpoint.restore(run, make_state(), step=1)


def test_the_meta_can_be_amended(run):
    checkpoint.amend(run, 2, {"past": {"rollbacks": 1}})
    state, meta = checkpoint.restore(run, make_state())
    assert_same(state, make_state(2))
    assert meta == {**checkpoint.read_meta(run, 1), "step": 2, "past": {"rollbacks": 1}}


# Mistakes


@pytest.mark.parametrize("name", ["back\\slash", "brack[e]t", "bytes\udcff"])
def test_a_path_from_which_nothing_could_be_read_back_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"cannot be read back .* give another directory"):
        save(tmp_path / name, make_state())
    assert not list(tmp_path.iterdir())


def test_a_directory_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file" / "checkpoints"):
        with pytest.raises(UserError, match=r"cannot be written there \(.+\); give another directory"):
            save(directory, make_state())

    def refuse(*args: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UserError, match=r"cannot be written there \(Permission denied\)"):
        save(tmp_path, make_state())


def wider(state: TrainState) -> TrainState:
    return make_state(width=128)


def cast(state: TrainState) -> TrainState:
    return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x, state)


def another_optimizer(state: TrainState) -> TrainState:
    return replace(state, opt_state={**state.opt_state, "generator": optax.sgd(0.1).init(state.params["generator"])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wider, r"Dense_0/kernel is float32\[32, 64\] in the checkpoint, but float32\[32, 128\] in this system"),
        (cast, r"params/generator/Dense_0/bias is bfloat16\[64\] in the checkpoint, but float32\[64\] in this system"),
        (another_optimizer, r"opt_state/generator/0/count is int32\[\] in the checkpoint, but absent in this system"),
        (
            lambda s: replace(s, extra={**s.extra, "p": jnp.zeros(())}),
            r"extra/p is absent .*, but float32\[\] in this system",
        ),
    ],
    ids=["shape", "dtype", "missing", "new"],
)
def test_another_configuration_is_a_mistake_and_not_damage(run, change, message):
    for like in (change(make_state()), jax.eval_shape(lambda: change(make_state()))):
        with pytest.raises(ValueError, match=f"step 2 of .* undamaged, but does not fit.*{message}.*read_meta"):
            checkpoint.restore(run, like)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_diverged_state_is_refused(run, value, dtype):
    bad = jnp.zeros((4, 2), dtype).at[1, 1].set(value)
    state = replace(make_state(3), extra={"ada": bad})
    with pytest.raises(FloatingPointError, match="extra/ada is NaN or infinite in 1 of 8 entries at step 3"):
        save(run, state)
    assert checkpoint.steps(run) == [1, 2]
    assert_same(checkpoint.restore(run, make_state())[0], make_state(2))


def test_what_is_already_being_written_survives_a_refusal(tmp_path):
    bad = replace(make_state(2), extra={"k": jnp.asarray(jnp.nan)})
    with pytest.raises(FloatingPointError, match="extra/k"):
        save(tmp_path, make_state(1), bad)
    assert_same(checkpoint.restore(tmp_path, make_state())[0], make_state(1))


def test_no_checkpoint_is_a_clear_error(run, tmp_path):
    for directory in (tmp_path / "nowhere", tmp_path):
        assert checkpoint.steps(directory) == []
        for read in (checkpoint.read_meta, checkpoint.restore_averaged, lambda d: checkpoint.restore(d, make_state())):
            with pytest.raises(FileNotFoundError, match=f"{directory} is not a directory of checkpoints"):
                read(directory)
    with pytest.raises(FileNotFoundError, match=r"step 3 is not in .* steps \[1, 2\]"):
        checkpoint.restore(run, make_state(), step=3)


def test_paths_that_coincide_are_refused(tmp_path):
    state = replace(make_state(), extra={"a/b": jnp.zeros(1), "a": {"b": jnp.ones(1)}})
    with pytest.raises(ValueError, match="same path"):
        save(tmp_path, state)


# Machines


def python(code: str, devices: int, *args: Any) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{code}"
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_saved_on_four_devices_and_restored_on_one(tmp_path):
    assert jax.device_count() >= 4
    save(tmp_path, parallel.replicate(make_state(), jax.devices()[:4]))
    assert_same(checkpoint.restore(tmp_path, make_state())[0], make_state())
    code = """
from pathlib import Path
import jax
from gan_jax.runs import checkpoint
assert jax.device_count() == 1
assert not any(name.startswith("orbax") for name in sys.modules), "a sampler's --help would wait for Orbax"
from test_runs_checkpoint import assert_same, make_state
assert_same(jax.device_put(checkpoint.restore(Path(sys.argv[1]), make_state())[0]), make_state())
"""
    done = python(code, 1, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_killed_while_writing(tmp_path):
    code = """
import os, signal
from dataclasses import replace
from pathlib import Path
import numpy as np
from gan_jax.runs import checkpoint
from test_runs_checkpoint import make_state
with checkpoint.writer(Path(sys.argv[1])) as write:
    write(make_state(1), {})
with checkpoint.writer(Path(sys.argv[1])) as write:
    large = np.random.default_rng(0).normal(size=(4000, 2000))
    write(replace(make_state(2), extra={"large": large}), {})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, 1, tmp_path).returncode == -9
    assert checkpoint.steps(tmp_path) == [1]
    assert_same(checkpoint.restore(tmp_path, make_state())[0], make_state(1))
    save(tmp_path, make_state(2))
    assert_same(checkpoint.restore(tmp_path, make_state())[0], make_state(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000001", "step_00000002"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("fails", ["on leaving", "at the next save", "at once"])
def test_full_disk(small_disk, fails):
    directory = small_disk / "run"
    save(directory, make_state(1))
    large = replace(make_state(2), extra={"large": np.random.default_rng(0).normal(size=300_000)})
    filler = small_disk / "filler"
    if fails == "at once":
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(4_000_000))
    states = [large, make_state(3)] if fails == "at the next save" else [large]
    with pytest.raises(OSError, match=r"disk full.*earlier ones are intact") as caught:
        save(directory, *states)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(directory))
    assert checkpoint.steps(directory) == [1]
    assert_same(checkpoint.restore(directory, make_state())[0], make_state(1))
    filler.unlink(missing_ok=True)
    save(directory, make_state(2))
    assert_same(checkpoint.restore(directory, make_state())[0], make_state(2))
