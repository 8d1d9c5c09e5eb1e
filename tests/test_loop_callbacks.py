"""Watching a run from outside: callbacks, a quiet run, a profile."""

import dataclasses
import re

import jax.numpy as jnp
import pytest
import toy_experiment
from toy_experiment import Config

from gan_jax import data, loop, pictures
from gan_jax.devices import memory
from gan_jax.loop import callbacks, profiling
from gan_jax.loop.callbacks import Event
from gan_jax.runs import checkpoint, log


def train(workdir, followers=(), **options):
    config = Config()
    run = dataclasses.replace(config.run, workdir=workdir, **options)
    return loop.run(toy_experiment.build, data.load("ring"), dataclasses.replace(config, run=run), followers)


def test_callbacks_see_every_record_grid_and_checkpoint_and_the_error_of_one_is_printed_once(tmp_path, capsys):
    seen, there = [], []

    def follow(event):
        seen.append(event)
        if event.kind == "grid":
            there.append(pictures.load_png(event.path).ndim == 3)
        if event.kind == "checkpoint":
            there.append(checkpoint.read_meta(event.path.parent, event.step)["step"] == event.step)

    def fail(event):
        raise OSError("the service is out of reach")

    train(tmp_path, [fail, follow])
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "callback" in line]
    where = rf"\({re.escape(__file__)}, line \d+\), at the record of step 0; training goes on"
    assert re.match(rf"error: callback fail: OSError: the service is out of reach {where}", said)
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


def test_a_quiet_run_prints_its_end_alone_and_a_profile_is_of_a_few_iterations_after_warm_up(tmp_path, capsys):
    train(tmp_path, quiet=True, profile=True, steps=16, sample_every=100, save_every=100)
    (trace,) = (tmp_path / "profile").rglob("perfetto_trace.json.gz")
    peak = memory.text(log.peak(log.read(tmp_path)) or 0)
    done, profile = capsys.readouterr().out.splitlines()
    assert done.startswith(f"done, with a memory peak of {peak}: ")
    assert f"<dt>peak memory</dt><dd>{peak}</dd>" in (tmp_path / "report.html").read_text()
    assert profile.startswith(f"profile: open {trace} at https://ui.perfetto.dev")


def test_a_run_that_is_too_short_has_no_profile(tmp_path):
    with profiling.traced(tmp_path, 3) as (bounds, mark):
        mark(3, None)
        assert bounds == (13, 18)
    assert profiling.use(tmp_path).startswith("no profile: it begins 10 iterations after the start")


def test_a_traced_run_that_ends_early_still_has_its_trace(tmp_path):
    with profiling.traced(tmp_path / profiling.FOLDER, 0) as (_, mark):
        mark(10, jnp.zeros(2) + 1)
    assert profiling.use(tmp_path).startswith("profile: open")
