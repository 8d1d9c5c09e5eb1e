"""Going back to a checkpoint, and what decides how a run goes on from it."""

import json
import shutil

import pytest
from test_runs_checkpoint import assert_same, data_file, flip, make_state
from toy_experiment import Config

from gan_jax import runs
from gan_jax.loop import rollback
from gan_jax.loop.guard import Alarm, Memory, Policy
from gan_jax.loop.rollback import Past
from gan_jax.loop.settings import Job, Run
from gan_jax.runs import checkpoint, log

MEMORY = Memory(at=2, since={"collapse": 1}, told=frozenset({"collapse"}), past={"logit_gap": (1.5, 0.1)}, best=0.25)
PAST = Past(1, MEMORY)


def save(directory, *states):
    with checkpoint.writer(directory) as write:
        for state in states:
            write(state, rollback.noted(PAST, "fid"))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A run with two checkpoints, and the best one of another step."""
    workdir = tmp_path_factory.mktemp("both")
    save(workdir / "checkpoints", make_state(2), make_state(4))
    save(workdir / runs.BEST, make_state(3))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps({"step": step}) + "\n" for step in range(6)))
    return workdir


@pytest.fixture
def workdir(both, tmp_path):
    return shutil.copytree(both, tmp_path / "run")


def job(workdir, guard: Policy = "rollback"):
    return Job(Config(), Run(steps=10, guard=guard), workdir, workdir, {}, [])


def go_back(workdir, since=3, guard: Policy = "rollback"):
    alarm = Alarm(5, since, "collapse", "samples vary little")
    return rollback.go_back(job(workdir, guard), alarm, Past(2, Memory(at=5)), make_state)


def test_the_best_is_gone_back_to_and_holds_the_roll_back(workdir):
    state, past = go_back(workdir)
    assert_same(state, make_state(3))
    assert past == Past(3, MEMORY)
    saved = workdir / "checkpoints"
    assert checkpoint.steps(saved) == [2, 3]
    (workdir / "metrics.jsonl").unlink()
    assert rollback.recalled(checkpoint.read_meta(saved), job(workdir)) == past
    assert_same(checkpoint.restore(saved, make_state())[0], make_state(3))


@pytest.mark.parametrize(("since", "step"), [(3, 2), (4, 4), (1, 2)])
def test_past_a_damaged_best_one_the_newest_from_before_the_trouble_is_taken(workdir, since, step):
    flip(data_file(workdir / runs.BEST / "step_00000003/state"))
    with pytest.warns(UserWarning, match="skipped a damaged checkpoint: .*step 3 is damaged"):
        state, past = go_back(workdir, since)
    assert_same(state, make_state(step))
    assert past.rollbacks == 3
    assert checkpoint.steps(workdir / "checkpoints")[-1] == step
    assert [record["step"] for record in log.read(workdir)] == [*range(step + 1), step]


def test_where_all_are_damaged_nothing_is_moved(workdir):
    for path in workdir.glob("*/step_*"):
        flip(data_file(path / "state"))
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(checkpoint.Damaged, match="step 4 is damaged"):
        go_back(workdir)
    assert checkpoint.steps(workdir / "checkpoints") == [2, 4]


def test_a_stop_is_no_roll_back(workdir):
    assert go_back(workdir, guard="stop")[1].rollbacks == 2


def test_without_a_checkpoint_the_beginning_is_gone_back_to(tmp_path):
    state, past = go_back(tmp_path)
    assert_same(state, make_state())
    assert past == Past(3)


def test_a_checkpoint_from_before_it_held_the_past_leaves_it_to_the_log(tmp_path):
    records = [{"step": 1, "score/fid": 2.0}, {"step": 1, "event": "rolled back"}, {"step": 2, "score/fid": 3.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert rollback.recalled({"step": 1}, job(tmp_path)) == Past(1, Memory(best=2.0))
    meta = {"step": 2, **rollback.noted(PAST, "kid")}  # by another score: the roll-backs count, its best does not
    assert rollback.recalled(meta, job(tmp_path)) == Past(1, Memory(best=2.0, stale=1))
