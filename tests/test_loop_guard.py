import json
import math

import pytest

from gan_jax.loop import guard
from gan_jax.loop.guard import Limits, Memory


def record(step, diversity=0.9, features=0.9, accuracy=0.7, gap=1.0, gradient=1.0):
    return {
        "step": step,
        "discriminator/diversity_real": 1.0,
        "generator/diversity_fake": diversity**2,
        "discriminator/feature_variance_real": 1.0,
        "generator/feature_variance_fake": features**2,
        "discriminator/accuracy_real": accuracy,
        "discriminator/accuracy_fake": accuracy,
        "discriminator/logit_real": gap / 2,
        "discriminator/logit_fake": -gap / 2,
        "discriminator/gradient_norm": gradient,
    }


def alarms(records, steps=5_000, metric="", higher=False):
    memory, raised = Memory(), []
    for each in records:
        memory, alarm = guard.watch(memory, each, steps, metric, higher)
        raised += [alarm] if alarm else []
    return raised


def test_signals_are_ratios_of_deviations():
    found = guard.signals(record(1, diversity=0.25, features=0.5, accuracy=0.8, gap=-3.0, gradient=7.0))
    expected = {"diversity": 0.25, "feature_variance": 0.5, "accuracy": 0.8, "logit_gap": 3.0}
    assert found == pytest.approx(expected | {"discriminator/gradient_norm": 7.0})
    assert guard.signals({"step": 1, "discriminator/diversity_real": 0.0, "generator/diversity_fake": 0.0}) == {}


def test_a_healthy_run_raises_no_alarm():
    wild = [record(s, diversity=0.8 + 0.2 * math.sin(s), accuracy=0.995, gap=1 + s / 100) for s in range(50, 5050, 50)]
    fresh = [record(s, diversity=0.01) for s in range(50, 200, 50)]  # nothing is learnt yet
    assert alarms(fresh + wild[3:]) == []


def test_collapse_alarms_within_a_tenth_of_the_run_and_once_for_each_stretch():
    records = [record(s, diversity=0.01) for s in range(50, 1000, 50)]
    records += [record(s) for s in range(1000, 2000, 50)]
    records += [record(s, diversity=0.1) for s in range(2000, 5050, 50)]
    first, second = alarms(records)
    assert first.signal == second.signal == "collapse" and "0.01 times the variance" in first.message
    assert (first.since, first.step) == (150, 250)  # 3% of grace, 2% of patience
    assert (second.since, second.step) == (1950, 2050)


@pytest.mark.parametrize("log_every", [10, 25, 50])
def test_the_alarm_does_not_wait_for_the_log(log_every):
    (alarm,) = alarms([record(s, diversity=0.0) for s in range(log_every, 5001, log_every)])
    assert alarm.step <= 500


def test_a_short_bad_stretch_is_forgiven():
    assert alarms([record(s, diversity=0.05 if s in (1000, 2000) else 0.9) for s in range(50, 5050, 50)]) == []


@pytest.mark.parametrize(
    ("trouble", "signal"),
    [
        ({"diversity": 0.4, "features": 0.01}, "collapse"),
        ({"diversity": 0.4, "accuracy": 1.0}, "collapse"),
        ({"gradient": 1e4}, "discriminator/gradient_norm"),
        ({"gap": 1e4}, "logit_gap"),
    ],
)
def test_other_troubles_are_told_by_their_signals(trouble, signal):
    records = [record(s) for s in range(50, 2050, 50)] + [record(s, **trouble) for s in range(2050, 2500, 50)]
    (alarm,) = alarms(records)
    assert (alarm.signal, alarm.since) == (signal, 2000) and alarm.step <= 2200


def test_what_wins_but_varies_is_no_trouble():
    assert alarms([record(s, accuracy=1.0, features=0.01) for s in range(50, 5050, 50)]) == []


def test_a_score_that_stays_far_from_its_best_alarms():
    values = [50, 20, 10, 25, 19, 21, 22, 23, 24, 9, 19, 19, 19, 19]
    raised = alarms([{"step": 100 * i, "score/fid": float(v)} for i, v in enumerate(values)], metric="fid")
    assert [(a.signal, a.step) for a in raised] == [("score", 700), ("score", 1200)]
    assert "is 23, far worse than its best, 10" in raised[0].message
    rising = [{"step": 100 * i, "score/recall": v} for i, v in enumerate([0.5, 0.9, 0.4, math.nan, 0.3])]
    assert [a.step for a in alarms(rising, metric="recall", higher=True)] == [400]
    assert alarms(rising) == []  # watched by another name


def test_evaluations_since_the_best_score_are_counted_and_patience_ends_by_them():
    memory, ages = Memory(), []
    for step, value in enumerate([5.0, 4.0, 4.0, 6.0, 3.0, math.nan, 3.5]):
        memory, _ = guard.watch(memory, {"step": step, "score/fid": value}, 100, "fid")
        ages.append(memory.stale)
    assert ages == [0, 0, 1, 2, 0, 1, 2]
    assert guard.stale(memory, 6, "fid", 3) is guard.stale(memory, 6, "fid", 0) is None
    ended = guard.stale(memory, 6, "fid", 2)
    assert ended and ended.message == "the best fid, 3, has not improved for 2 evaluations"
    older = guard.packed(memory)
    del older["stale"]  # as checkpoints from before it was counted have it
    assert guard.unpacked(older) == memory._replace(stale=0)


def test_a_score_within_its_error_or_about_zero_is_no_alarm():
    noise = [-0.5, 1.5, 2.0, 1.0, 3.0]  # an unbiased distance of perfect samples
    assert alarms([{"step": i, "score/kid": v} for i, v in enumerate(noise)], metric="kid") == []
    small = [0.1, 0.5, 0.4, 0.6]
    records = [{"step": i, "score/kid": v, "score/kid_error": 0.2} for i, v in enumerate(small)]
    assert alarms(records, metric="kid") == []
    sure = [record | {"score/kid_error": 0.05} for record in records]
    assert [alarm.step for alarm in alarms(sure, metric="kid")] == [3]


def test_the_guard_remembers_by_its_log_alone():
    records = [record(s, diversity=0.01 if s > 3000 else 0.9, gradient=s) for s in range(50, 5050, 50)]
    records.insert(10, {"step": 500, "event": "resumed"})
    whole = guard.replay(records, 5_000)
    for cut in (0, 1, 30, 62, 100):
        memory = guard.replay(records[:cut], 5_000)
        for each in records[cut:]:
            memory, _ = guard.watch(memory, each, 5_000)
        assert memory == whole
        assert guard.unpacked(json.loads(json.dumps(guard.packed(memory)))) == memory


def test_limits_are_an_argument():
    records = [record(s, diversity=0.4) for s in range(50, 5050, 50)]
    memory, raised = Memory(), []
    for each in records:
        memory, alarm = guard.watch(memory, each, 5_000, limits=Limits(diversity=0.45))
        raised += [alarm] if alarm else []
    assert len(raised) == 1
