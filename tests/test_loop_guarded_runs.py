"""Runs that are scored, watched, stopped and rolled back."""

import dataclasses
import os
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy_experiment
from test_loop import assert_same_bits
from toy import points_game
from toy_experiment import Config

from gan_jax import data, loop, pictures, runs
from gan_jax.loop import session
from gan_jax.metrics import protocol
from gan_jax.metrics.protocol import Score
from gan_jax.runs import checkpoint, log
from gan_jax.types import Controller

STEPS = 2_000


def config(workdir, **options):
    run: dict[str, Any] = dict(steps=STEPS, log_every=20, sample_every=1_000, save_every=100, steps_per_call=100)
    return Config(run=loop.Run(workdir=workdir, devices=1, **(run | options)))


def strike(at, chance=1.0, value=0.0):
    """A controller that ruins the generator at a step, if a draw from the run's key says so."""

    def hook(state, metrics, key):
        struck = (state.step == at) & jax.random.bernoulli(key, chance)
        ruined = jax.tree.map(lambda x: jnp.where(struck, value * x, x), state.params["generator"])
        return dataclasses.replace(state, params=state.params | {"generator": ruined}), metrics

    return Controller("blow 56", hook)  # by its name it strikes first, and not after a roll-back


def game(*controllers):
    """A game that learns nothing, so that what a controller does to it stays."""
    return lambda config, spec: points_game(optimizer=optax.sgd(1e-6), g_norm="none", controllers=list(controllers))


def train(build, workdir, **options):
    return loop.run(build, data.load("ring"), config(workdir, **options))


def events(workdir, *kinds):
    return [line for line in log.read(workdir) if line.get("event") in kinds]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run with scores, and the best of them kept."""
    workdir = tmp_path_factory.mktemp("scored")
    options: dict[str, Any] = dict(
        steps=12, log_every=2, save_every=4, eval_every=3, eval_count=200, best="kid", guard="off"
    )
    state = loop.run(toy_experiment.build, data.load("ring"), config(workdir, **options))
    return state, workdir, options


def test_scores_are_made_when_due_and_the_best_is_kept(scored):
    _, workdir, _ = scored
    found = protocol.read(workdir)
    curve = {s.step: s.value for s in found if s.metric == "kid" and s.weights == "averaged"}
    assert list(curve) == [3, 6, 9, 12] and {s.metric for s in found} == {"kid", "fid"}
    (floor,) = [s for s in found if s.weights == "training images" and s.metric == "kid"]
    assert floor.step is None and floor.value < min(curve.values())
    best = min(curve, key=lambda step: curve[step])
    assert checkpoint.steps(workdir / runs.BEST)[-1] == best
    assert runs.open_run(workdir, best=True).step == best
    logged = {line["step"]: line["score/kid"] for line in log.read(workdir) if "score/kid" in line}
    assert logged == curve
    assert "fid" in (workdir / "report.html").read_text()


@pytest.mark.slow
def test_scores_change_nothing_and_a_run_in_two_parts_has_the_same(scored, tmp_path):
    state, workdir, options = scored
    plain = loop.run(toy_experiment.build, data.load("ring"), config(tmp_path / "plain", steps=12, guard="off"))
    assert_same_bits(plain, state)
    for steps in (7, 12):
        run = config(tmp_path / "parts", **(options | {"steps": steps}))
        state = loop.run(toy_experiment.build, data.load("ring"), run)
    values = [{s.step: s.value for s in protocol.read(d) if s.metric == "kid"} for d in (workdir, tmp_path / "parts")]
    assert values[1] == values[0] | {7: values[1][7]}  # the end of the first part was scored too
    assert_same_bits(plain, state)


@pytest.mark.slow
def test_collapse_stops_the_run_within_a_tenth_at_a_checkpoint_from_before_it(tmp_path):
    state = train(game(strike(400)), tmp_path, guard="stop", save_every=20)
    (stopped,) = events(tmp_path, "stopped")
    assert stopped["from"] <= 400 + STEPS / 10 and "times the variance of real images" in stopped["message"]
    assert int(state.step) == stopped["step"] == 400 == checkpoint.steps(tmp_path / "checkpoints")[-1]
    assert list((tmp_path / "checkpoints").glob("discarded-*")), "later checkpoints are kept aside"
    assert (tmp_path / "metrics-abandoned-1.jsonl").exists()
    assert "times the variance of real images" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_collapse_is_warned_of_once_and_training_goes_on(tmp_path, capsys):
    state = train(game(strike(400)), tmp_path)
    assert int(state.step) == STEPS
    (alarm,) = events(tmp_path, "alarm")
    assert 400 < alarm["step"] <= 400 + STEPS / 10
    assert capsys.readouterr().out.count("warning: ") == 1


@pytest.mark.slow
def test_a_run_without_trouble_hears_nothing(tmp_path):
    train(game(), tmp_path, guard="rollback")
    assert [line["event"] for line in log.read(tmp_path) if "event" in line] == ["started"]


@pytest.fixture(scope="module")
def recovered(tmp_path_factory):
    """A run that its first two keys ruin, and the third does not."""
    workdir = tmp_path_factory.mktemp("recovered")
    return train(game(strike(200, chance=0.5)), workdir, guard="rollback"), workdir


@pytest.mark.slow
def test_rolled_back_a_run_goes_on_with_a_new_key(recovered):
    state, workdir = recovered
    rolled = events(workdir, "rolled back")
    assert len(rolled) == 2 and not events(workdir, "stopped")
    assert all(event["step"] == 200 and event["from"] <= 400 for event in rolled)
    assert int(state.step) == STEPS
    assert len(list(workdir.glob("metrics-abandoned-*.jsonl"))) == len(rolled)
    steps = [line["step"] for line in log.read(workdir) if "event" not in line]
    assert steps == sorted(set(steps)), "the abandoned records are in files of their own"


@pytest.mark.slow
def test_a_rolled_back_run_goes_on_exactly_without_its_log(recovered, tmp_path, monkeypatch):
    save_png = pictures.save_png

    def interrupt(path, image):
        save_png(path, image)
        if path.stem == "00001000":
            os.kill(os.getpid(), signal.SIGTERM)

    build = game(strike(200, chance=0.5))
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "save_png", interrupt)
        with pytest.raises(SystemExit):
            train(build, tmp_path, guard="rollback")
    (tmp_path / "metrics.jsonl").unlink()
    assert_same_bits(train(build, tmp_path, guard="rollback"), recovered[0])


@pytest.mark.slow
def test_what_is_ruined_by_every_key_stops_in_the_end(tmp_path):
    state = train(game(strike(200)), tmp_path, guard="rollback", steps=1_000)
    assert len(events(tmp_path, "rolled back")) == loop.ROLLBACKS
    assert len(events(tmp_path, "stopped")) == 1 and int(state.step) == 200


@pytest.mark.slow
def test_what_is_not_finite_is_rolled_back_too(tmp_path):
    state = train(game(strike(600, chance=0.5, value=np.nan)), tmp_path, guard="rollback", steps=800)
    rolled = events(tmp_path, "rolled back")
    assert int(state.step) == 800 and len(rolled) == 1 and "is nan at step" in rolled[0]["message"]
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


def test_evaluations_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ValueError, match="eval_every=-1"):
        train(game(), tmp_path, eval_every=-1)
    with pytest.raises(ValueError, match="classes needs probabilities, which the features 'points' do not give"):
        train(game(), tmp_path, eval_every=5, eval_metrics=("classes",))


VALUES = {2: 5.0, 4: 4.0, 6: 6.0, 8: 4.5, 10: 4.0, 12: 7.0, 14: 4.1}  # step -> a score that is best at step 4


@pytest.fixture
def given_scores(monkeypatch):
    """Scores that do not depend on the run."""
    about = ("", "", "none", "", "", "ring", "test", 200, 200)

    def scores(ema, weights, step):
        return [Score("fid", VALUES.get(step, 9.0), 0.25, *about, weights, step, 0)]

    monkeypatch.setattr(session.scoring, "in_training", lambda *_: scores)


def patient(workdir, **options):
    run: dict[str, Any] = dict(steps=20, eval_every=2, save_every=100, sample_every=100, patience=3, guard="off")
    return loop.run(toy_experiment.build, data.load("ring"), config(workdir, **(run | options)))


@pytest.mark.slow
def test_a_score_that_no_longer_improves_ends_the_run_as_its_last_iteration_would(given_scores, tmp_path, capsys):
    patient(tmp_path, steps=8)  # continued, it goes on counting
    state = patient(tmp_path)
    assert int(state.step) == 10 == checkpoint.steps(tmp_path / "checkpoints")[-1]
    assert (tmp_path / "samples" / "00000010.png").exists() and (tmp_path / "report.html").exists()
    said = capsys.readouterr().out
    assert "step 4: fid 4 ± 0.25, new best\n" in said and "step 6: fid 6 ± 0.25\n" in said
    why = "the best fid, 4, has not improved for 3 evaluations"
    assert f"ended at step 10: {why}\ndone" in said
    (ended,) = events(tmp_path, "ended early")
    assert (ended["step"], ended["message"]) == (10, why)
    assert int(patient(tmp_path).step) == 10  # the same command
    assert f"has already run 10 iterations, and {why}; give a higher --patience" in capsys.readouterr().out
    assert int(patient(tmp_path, patience=5).step) == 14


def test_patience_without_scores_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--patience 3: .* --eval-every or --best"):
        train(game(), tmp_path, patience=3)
    with pytest.raises(ValueError, match="--patience -1"):
        train(game(), tmp_path, patience=-1, eval_every=5)
