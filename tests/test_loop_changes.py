"""Change of course: a setting that changes in mid-run, as if its schedule had said so from the start."""

import json
import shutil
from dataclasses import dataclass, field

import jax
import numpy as np
import pytest
from toy import points_game

from gan_jax import data, loop, optimizers, runs
from gan_jax.errors import UserError
from gan_jax.loop import rollback
from gan_jax.loop.guard import Alarm
from gan_jax.loop.settings import Job
from gan_jax.rules import controllers
from gan_jax.runs import checkpoint, log

RING = data.load("ring")
CHANGED_AT, STEPS = 4, 8


@dataclass(frozen=True)
class Config:
    """A game with settings of all kinds."""

    batch_size: int = 16
    learning_rate: float = 1e-3
    later: float | None = None
    """Learning rate from iteration CHANGED_AT on, by a schedule."""
    betas: tuple[float, float] = (0.5, 0.9)
    width: int = 16
    d_steps: int = 1
    unread: float = 0.0
    seed: int = 0
    run: loop.Run = field(default_factory=loop.Run)


def build(config, spec):
    if config.learning_rate > 1:
        raise UserError(f"learning_rate={config.learning_rate}: too high")
    rate = config.learning_rate
    if config.later is not None:
        rate = optimizers.piecewise({0: rate, CHANGED_AT: config.later})
    adam = optimizers.adam(rate, *config.betas)
    repeats = {"discriminator": config.d_steps} if config.d_steps > 1 else None
    mean = [controllers.accuracy()] if config.width != 16 else []  # another state
    return points_game(optimizer=adam, repeats=repeats, controllers=mean)


def train(workdir, steps=STEPS, change=(), run=None, **settings):
    options = {"steps": steps, "log_every": 2, "sample_every": 100, "save_every": 2, "devices": 1, "change": change}
    return loop.run(build, RING, Config(run=loop.Run(workdir=workdir, **options | (run or {})), **settings))


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def record(workdir):
    return json.loads((workdir / "run.json").read_text())


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """The last state of a run whose schedule had the change from the start."""
    return train(tmp_path_factory.mktemp("scheduled"), later=1e-4)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("begun")
    train(workdir, CHANGED_AT)
    return workdir


@pytest.fixture
def copied(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


def test_a_changed_run_is_to_the_bit_the_run_of_that_schedule(scheduled, copied, capsys):
    state = train(copied, change=("learning_rate=1e-4",))
    assert_same_bits(state.params, scheduled.params)
    assert_same_bits(state.opt_state, scheduled.opt_state)
    history = [{"step": CHANGED_AT, "field": "learning_rate", "old": 1e-3, "new": 1e-4}]
    assert "changed: learning_rate from 0.001 to 0.0001" in capsys.readouterr().out
    for kept in (record(copied), checkpoint.read_meta(copied / "checkpoints")):
        assert kept["config"]["learning_rate"] == 1e-3 and kept["changes"] == history
    assert [line for line in log.read(copied) if line.get("event") == "changed"] == [{"event": "changed"} | history[0]]
    page = (copied / "report.html").read_text()
    assert "from step 4: 0.0001" in page and "4 changed" in page


def test_a_changed_run_goes_on_by_the_old_command_by_the_new_one_and_by_the_same(scheduled, copied):
    train(copied, 6, change=("learning_rate=1e-4",))
    for name, settings in {
        "old": {},
        "new": {"learning_rate": 1e-4},
        "same": {"change": ("learning_rate=1e-4",)},
        "both": {"change": ("learning_rate=1e-4",), "learning_rate": 1e-4},
    }.items():
        workdir = shutil.copytree(copied, copied.with_name(name))
        assert_same_bits(train(workdir, **settings).params, scheduled.params)
        assert len(record(workdir)["changes"]) == 1 and record(workdir)["config"]["learning_rate"] == 1e-3
    with pytest.raises(
        UserError, match=r"holds a run with learning_rate=0\.0001, but this one has learning_rate=0\.01"
    ):
        train(copied, learning_rate=1e-2)


def test_a_run_that_dies_before_its_next_checkpoint_remembers_the_change(scheduled, copied):
    train(copied, 5, change=("learning_rate=1e-4",))
    for folder in (copied / "checkpoints").glob("*5"):
        shutil.rmtree(folder)
    assert_same_bits(train(copied).params, scheduled.params)


def test_a_run_that_goes_back_before_a_change_keeps_it(copied):
    train(copied, 6, change=("learning_rate=1e-4", "betas=0.5,0.99"))
    config = Config(run=loop.Run(workdir=copied, guard="rollback"))
    job = Job(config, config.run, copied, copied, record(copied), jax.devices()[:1])
    shutil.rmtree(copied / "checkpoints" / "step_00000006")
    state, _ = rollback.go_back(
        job, Alarm(6, 4, "x", "bad"), rollback.Past(), lambda: build(config, None).init(jax.random.key(0))
    )
    assert int(state.step) == CHANGED_AT
    changes = checkpoint.read_meta(copied / "checkpoints")["changes"]
    assert [(each["field"], each["new"]) for each in changes] == [("learning_rate", 1e-4), ("betas", [0.5, 0.99])]


def test_a_history_of_several_changes_is_opened_with_the_newest_values(copied):
    train(copied, 6, change=("learning_rate=1e-4",))
    train(copied, STEPS, change=("learning_rate=1e-5", "betas=0.5,0.99"))
    assert [(each["step"], each["field"], each["new"]) for each in record(copied)["changes"]] == [
        (4, "learning_rate", 1e-4), (6, "learning_rate", 1e-5), (6, "betas", [0.5, 0.99]),
    ]  # fmt: skip
    (discriminator, _) = runs.open_run(copied).system.players
    assert discriminator.optimizer.learning_rate == 1e-5
    with pytest.raises(UserError, match=r"learning_rate=1e-05, but this one has learning_rate=0\.0001"):
        train(copied, learning_rate=1e-4)  # neither the first value nor the newest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("batch_size=32", "the order of the data depends on it"),
        ("seed=1", "all randomness depends on it"),
        ("width=8", r"the state would change, extra/accuracy from absent to float32\[\].*--init-from"),
        ("d_steps=2", "take 2 batches instead of 1, and the order"),
        ("unread=1", "build does not read it"),
        ("steps=9", "give --steps itself"),
        ("learning_rate=fast", "'fast' is no value of learning_rate, which is of type float"),
        ("learning_rate", "give FIELD=VALUE, where FIELD is one of batch_size"),
        ("speed=1", "give FIELD=VALUE"),
        ("learning_rate=2", "too high"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_lost(begun, change, said):
    before = {path: path.stat().st_mtime_ns for path in begun.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=said):
        train(begun, change=(change,))
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_new_run_has_nothing_to_change(tmp_path):
    with pytest.raises(UserError, match="has no checkpoint to continue"):
        train(tmp_path, change=("learning_rate=1e-4",))


def test_the_refusal_of_another_setting_names_the_change_where_it_is_possible(begun):
    with pytest.raises(UserError) as refused:
        train(begun, learning_rate=1e-4)
    assert "--learning-rate 0.001 to continue it" in str(refused.value)
    assert "--change learning_rate=0.0001 to change it" in str(refused.value)
    for settings in ({"width": 8}, {"batch_size": 8}, {"unread": 1.0}, {"learning_rate": 1e-4, "seed": 1}):
        with pytest.raises(UserError) as refused:
            train(begun, **settings)
        assert "--change" not in str(refused.value) and "holds a run with" in str(refused.value)


def test_piecewise_schedules_hold_each_value_from_its_iteration():
    schedule = optimizers.piecewise({0: 3.0, 10: 1.0, 20: 2.0})
    values = [float(schedule(jax.numpy.int32(step))) for step in (0, 9, 10, 19, 20, 10**6)]
    assert values == [3.0, 3.0, 1.0, 1.0, 2.0, 2.0]
    with pytest.raises(UserError, match="give a value for iteration 0"):
        optimizers.piecewise({5: 1.0})
