"""Watching a run from outside: callbacks, a quiet run, a profile."""

import dataclasses

import pytest
import toy_experiment
from toy_experiment import Config

from gan_jax import data, loop, pictures
from gan_jax.loop import callbacks
from gan_jax.loop.callbacks import Event
from gan_jax.runs import checkpoint, log


def train(workdir, followers=(), **options):
    config = Config()
    run = dataclasses.replace(config.run, workdir=workdir, **options)
    return loop.run(toy_experiment.build, data.load("ring"), dataclasses.replace(config, run=run), followers)


def test_callbacks_see_every_record_grid_and_checkpoint_and_a_failing_one_is_warned_of_once(tmp_path):
    seen, there = [], []

    def follow(event):
        seen.append(event)
        if event.kind == "grid":
            there.append(pictures.load_png(event.path).ndim == 3)
        if event.kind == "checkpoint":
            there.append(checkpoint.read_meta(event.path.parent, event.step)["step"] == event.step)

    def fail(event):
        raise OSError("the service is out of reach")

    with pytest.warns(
        UserWarning, match="callback fail: OSError: the service is out of reach, at the record"
    ) as caught:
        train(tmp_path, [fail, follow])
    assert len([each for each in caught if "callback" in str(each.message)]) == 1
    assert [event.values for event in seen if event.kind == "record"] == log.read(tmp_path)
    assert [event.step for event in seen if event.kind == "grid"] == [0, 3, 6]
    assert [event.step for event in seen if event.kind == "checkpoint"] == [2, 4, 6]
    assert there == [True] * 6
    first, *_, last = (event for event in seen if event.kind == "record")
    assert first.numbers == {} and last.numbers["generator/loss"] == last.values["generator/loss"]


def test_an_interrupt_in_a_callback_is_no_error_of_it():
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        callbacks.guarded([interrupt])(Event("record", 0))


def test_a_quiet_run_prints_its_end_alone(tmp_path, capsys):
    train(tmp_path, quiet=True, eval_every=6, eval_count=64, eval_metrics=("kid",))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("done, with a memory peak")


def test_a_profile_is_of_a_few_iterations_after_warm_up_and_changes_nothing(tmp_path, capsys):
    assert "no profile: it begins 10 iterations after the start" in _told(tmp_path / "short", capsys, steps=6)
    told = _told(tmp_path / "long", capsys, steps=16, sample_every=100, save_every=100)
    (trace,) = (tmp_path / "long" / "profile").rglob("perfetto_trace.json.gz")
    assert f"profile: open {trace} at https://ui.perfetto.dev" in told
    losses = [line["generator/loss"] for line in log.read(tmp_path / "long") if "event" not in line]
    train(tmp_path / "plain", steps=16, sample_every=100, save_every=100)
    assert losses == [line["generator/loss"] for line in log.read(tmp_path / "plain") if "event" not in line]


def _told(workdir, capsys, **options):
    train(workdir, profile=True, **options)
    return capsys.readouterr().out
