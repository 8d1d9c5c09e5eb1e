"""Change of course: a setting that changes in mid-run, as if its schedule had said so from the start."""

import dataclasses
import functools
import json
import shutil
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pytest
from toy import gan

from gan_jax import data, latents, loop, losses, optimizers, runs
from gan_jax.errors import UserError
from gan_jax.loop import changes, rollback
from gan_jax.loop.guard import Alarm
from gan_jax.loop.settings import Job
from gan_jax.networks import linen, mlp
from gan_jax.rules import controllers
from gan_jax.runs import checkpoint, log, records

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
    networks = {
        "generator": linen(mlp.Generator((2,), (8,), "none", bounded=False), (2,)),
        "discriminator": linen(mlp.Discriminator((8,)), (2,)),
    }
    loss, latent = losses.non_saturating(), latents.normal(2)
    return gan(networks, loss, latent, adam, repeats=repeats, controllers=mean)


def train(workdir, steps=STEPS, change=(), run=None, **settings):
    options = {"steps": steps, "log_every": 2, "sample_every": 100, "save_every": 2, "devices": 1, "change": change}
    return loop.run(build, RING, Config(run=loop.Run(workdir=workdir, **options | (run or {})), **settings))


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def record(workdir):
    return json.loads((workdir / "run.json").read_text())


def make(workdir, change):
    """Makes changes at the newest checkpoint, without training."""
    config = Config(run=loop.Run(workdir=workdir, change=change))
    described = records.describe(build, RING, config)
    job = Job(config, config.run, workdir, workdir, described, jax.devices()[:1])
    meta = checkpoint.read_meta(workdir / "checkpoints")
    job, new = changes.continued(job, meta, build, RING.spec)
    return changes.noted(job, new, meta["step"])


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """The last state of a run whose schedule had the change from the start."""
    return train(tmp_path_factory.mktemp("scheduled"), later=1e-4)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("begun")
    train(workdir, CHANGED_AT)
    return workdir


@pytest.fixture(scope="module")
def changed(begun, tmp_path_factory):
    """A run that was changed in its middle, and its last state."""
    workdir = shutil.copytree(begun, tmp_path_factory.mktemp("changed") / "run")
    return train(workdir, change=("learning_rate=1e-4",)), workdir


@pytest.fixture
def copied(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


HISTORY = [{"step": CHANGED_AT, "field": "learning_rate", "old": 1e-3, "new": 1e-4}]


def test_a_changed_run_is_to_the_bit_the_run_of_that_schedule(scheduled, changed):
    assert_same_bits(changed[0].params, scheduled.params)
    assert_same_bits(changed[0].opt_state, scheduled.opt_state)


def test_record_checkpoints_log_and_report_have_the_change(changed):
    _, workdir = changed
    for kept in (record(workdir), *(checkpoint.read_meta(workdir / "checkpoints", step) for step in (6, 8))):
        assert kept["config"]["learning_rate"] == 1e-3 and kept["changes"] == HISTORY
    assert [line for line in log.read(workdir) if line.get("event") == "changed"] == [{"event": "changed"} | HISTORY[0]]
    page = (workdir / "report.html").read_text()
    assert "from step 4: 0.0001" in page and "4 changed" in page


def test_a_changed_run_is_resumed_by_the_old_command_by_the_new_one_and_by_the_same(changed):
    state, workdir = changed
    change: dict[str, Any] = {"change": ("learning_rate=1e-4",)}
    accepted: list[dict[str, Any]] = [{}, {"learning_rate": 1e-4}, change, change | {"learning_rate": 1e-4}]
    for settings in accepted:
        assert_same_bits(train(workdir, **settings), state)  # accepted; it has all its iterations
    assert record(workdir)["changes"] == HISTORY
    with pytest.raises(
        UserError, match=r"holds a run with learning_rate=0\.0001, but this one has learning_rate=0\.01"
    ):
        train(workdir, learning_rate=1e-2)


def test_a_run_that_dies_before_its_next_checkpoint_remembers_the_change(copied):
    make(copied, ("learning_rate=1e-4",))
    job = make(copied, ())
    assert records.fields(job.config)["learning_rate"] == 1e-4 and job.record["changes"] == HISTORY
    assert job.record["config"]["learning_rate"] == 1e-3


def test_a_run_that_goes_back_before_a_change_keeps_it(changed, tmp_path):
    workdir = shutil.copytree(changed[1], tmp_path / "run")
    job = make(workdir, ("betas=0.5,0.99",))
    first = functools.partial(build(job.config, RING.spec).init, jax.random.key(0))
    options = dataclasses.replace(job.options, guard="rollback")
    state, _ = rollback.go_back(job._replace(options=options), Alarm(8, 6, "x", "bad"), rollback.Past(), first)
    assert int(state.step) == 6
    kept = checkpoint.read_meta(workdir / "checkpoints")["changes"]
    assert [(each["step"], each["field"], each["new"]) for each in kept] == [
        (4, "learning_rate", 1e-4), (8, "betas", [0.5, 0.99]),
    ]  # fmt: skip


def test_a_history_of_several_changes_is_opened_with_the_newest_values(copied):
    make(copied, ("learning_rate=1e-4",))
    make(copied, ("learning_rate=1e-5", "later=1e-6"))
    run = runs.open_run(copied)
    assert [(each["field"], each["old"], each["new"]) for each in run.record["changes"]] == [
        ("learning_rate", 1e-3, 1e-4), ("learning_rate", 1e-4, 1e-5), ("later", None, 1e-6),
    ]  # fmt: skip
    (discriminator, _) = run.system.players
    rates = [float(discriminator.optimizer.learning_rate(step)) for step in (0, CHANGED_AT)]
    assert rates == pytest.approx([1e-5, 1e-6])
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
        ("learning_rate", "give FIELD=VALUE, where FIELD is a setting that leaves"),
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
    others: list[dict[str, Any]] = [
        {"width": 8},
        {"batch_size": 8},
        {"unread": 1.0},
        {"learning_rate": 1e-4, "seed": 1},
    ]
    for settings in others:
        with pytest.raises(UserError) as refused:
            train(begun, **settings)
        assert "--change" not in str(refused.value) and "holds a run with" in str(refused.value)


def test_piecewise_schedules_hold_each_value_from_its_iteration():
    schedule = optimizers.piecewise({0: 3.0, 10: 1.0, 20: 2.0})
    values = [float(schedule(jax.numpy.int32(step))) for step in (0, 9, 10, 19, 20, 10**6)]
    assert values == [3.0, 3.0, 1.0, 1.0, 2.0, 2.0]
    with pytest.raises(UserError, match="give a value for iteration 0"):
        optimizers.piecewise({5: 1.0})


def test_a_misspelt_setting_is_answered_by_the_nearest_and_by_those_that_may_change():
    with pytest.raises(UserError) as refused:
        changes._parsed("learning_rat=1e-4", Config())
    said = str(refused.value)
    assert "such as learning_rate, later, betas, unread. Did you mean learning_rate?" in said
    assert "batch_size" not in said and "width" not in said
