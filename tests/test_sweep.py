"""Sweeps: which runs they have, how they go on, and what their table says."""

import csv
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import toy_experiment
from toy_experiment import Config

from experiments import dcgan
from gan_jax import cli, runs, sweep
from gan_jax.errors import UserError
from gan_jax.loop import signals
from gan_jax.metrics import protocol
from gan_jax.runs import log
from gan_jax.sweep import __main__ as command
from gan_jax.sweep import table

ROOT = Path(__file__).parents[1]


def planned(out, flags, experiment="toy_experiment"):
    return sweep.planned(experiment, shlex.split(flags), out)


def complete(member, step=6):
    """Makes a member look finished."""
    (member.directory / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)


def log_losses(run, value):
    with log.writer(run, 0) as write:
        write.record({"step": 6, "generator/loss": value, "seconds": 1.0})


def scored(member, value, step=6, metric="fid", weights="averaged"):
    protocol.write(
        member.directory,
        [
            protocol.Score(
                metric, value, 0.1, "abc", "digits", "none", "", "d", "digits", "test", 10, 20, weights, step, 0
            )
        ],
    )


def test_a_sweep_has_every_combination_with_the_settings_in_config_and_name(tmp_path):
    members = planned(
        tmp_path, "--learning_rate 1e-3 2e-3 --seed 0 1 2 --batch-size=8 --steps 4 --eval-metrics fid kid"
    )
    assert len(members) == len({member.directory for member in members}) == 6
    made = {(member.config.learning_rate, member.config.seed) for member in members}
    assert made == {(rate, seed) for rate in (1e-3, 2e-3) for seed in (0, 1, 2)}
    for member in members:
        config = member.config
        assert config.batch_size == 8 and config.run.steps == 4 and config.run.eval_metrics == ("fid", "kid")
        assert member.settings == {
            "learning_rate": f"{config.learning_rate:.0e}".replace("-0", "-"),
            "seed": str(config.seed),
        }
        assert config.run.workdir == member.directory
        assert member.directory.name == ",".join(f"{name}={value}" for name, value in member.settings.items())
        assert member.command[:2] == ["-m", "toy_experiment"]
        assert cli.parsed(Config, member.command[2:], "x") == config  # the command line is the config


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--seed 0", "no flag has several values"),
        ("--seed 0 1 --seed 2", "--seed is given twice"),
        ("--seed 0 1 1", "--seed 0 1 1: a value is given twice"),
        ("--seed 0 1 --workdir x", "--workdir: a sweep gives each run"),
        ("--seed 0 1 --fresh", "--fresh: a sweep gives each run"),
    ],
)
def test_flags_that_make_no_sweep_are_refused(tmp_path, flags, message):
    with pytest.raises(UserError, match=message):
        planned(tmp_path, flags)


@pytest.mark.parametrize("flags", ["--seed 0 x", "--seed 0 1 --colour red", "--learning_rate 1e-3 fast"])
def test_flags_that_the_experiment_does_not_have_are_refused_before_the_first_run(tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as end:
        planned(tmp_path, flags)
    assert end.value.code == 2 and flags.split()[-1].split()[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_no_experiment_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"experiments\.dcgann: there is no such module.* Did you mean dcgan"):
        planned(tmp_path, "--seed 0 1", "experiments.dcgann")
    with pytest.raises(UserError, match=r"experiments\.nothing: there is no such module"):
        planned(tmp_path, "--seed 0 1", "experiments.nothing")
    with pytest.raises(UserError, match=r"nothing\.py: there is no such file"):
        planned(tmp_path, "--seed 0 1", "nothing.py")
    with pytest.raises(UserError, match="loss_zoo has no Config with a field run"):
        planned(tmp_path, "--seed 0 1", "experiments.loss_zoo")


def test_a_script_is_swept_by_its_own_command_and_not_trained_by_planning_it(tmp_path):
    script = tmp_path / "own.py"
    text = Path(toy_experiment.__file__).read_text()
    script.write_text(text)
    members = planned(tmp_path / "out", "--seed 0 1", str(script))
    assert [member.command[0] for member in members] == [str(script)] * 2 and not (tmp_path / "out").exists()
    script.write_text(text + "\n\nmain(Config())\n")
    with pytest.raises(UserError, match=r"own\.py, which starts to train when imported.*__main__"):
        planned(tmp_path / "out", "--seed 0 1", str(script))


def test_a_directory_of_a_run_of_other_settings_is_refused(tmp_path):
    first = planned(tmp_path, "--seed 0 1 --batch_size 8")[0]
    first.directory.mkdir(parents=True)
    (first.directory / "run.json").write_text('{"config": {"batch_size": 16, "learning_rate": 0.001, "seed": 0}}')
    with pytest.raises(UserError, match="seed=0 has a run with batch_size=16"):
        planned(tmp_path, "--seed 0 1 --batch_size 8")
    planned(tmp_path, "--seed 0 1 --batch_size 16")


def test_the_words_of_the_sweep_and_of_the_experiment_are_told_apart():
    own, swept = command.split(shlex.split("experiments.dcgan --seed 0 1 --out x --d_width 4 --dry-run --evaluate -h"))
    assert own == ["experiments.dcgan", "--out", "x", "--dry-run", "--evaluate", "-h"]
    assert swept == ["--seed", "0", "1", "--d_width", "4"]


def test_a_sweep_goes_on_where_it_was_stopped_and_trains_no_finished_run_again(tmp_path, monkeypatch, capsys):
    commands = []

    def train(words, asked):  # in this process; the first time it is asked to end
        commands.append(words)
        if len(commands) == 1:
            asked.append(signal.SIGTERM)
            return 143
        toy_experiment.main(cli.parsed(Config, words[2:], "x"))
        return 0

    monkeypatch.setattr(command, "train", train)
    monkeypatch.setattr(signals, "asking", list)
    flags = shlex.split("--seed 0 1 --steps 2")
    with pytest.raises(SystemExit) as end:
        command.main(flags, "toy_experiment", tmp_path)
    assert end.value.code == 128 + signal.SIGTERM and len(commands) == 1
    assert "stopped by SIGTERM; the same command continues the sweep" in capsys.readouterr().out
    assert "Not finished: seed=0; seed=1." in (tmp_path / "table.md").read_text()
    members = planned(tmp_path, "--seed 0 1 --steps 2")
    complete(members[1], 2)
    log_losses(members[1].directory, 0.5)
    for _ in range(2):
        command.main(flags, "toy_experiment", tmp_path)
    assert commands == [members[0].command] * 2
    record = json.loads((members[0].directory / "run.json").read_text())
    assert record["config"]["seed"] == 0 and sweep.finished(members[0])
    (row,) = table.rows(members)
    losses = [log.read(members[0].directory)[-1]["generator/loss"], 0.5]
    assert row.settings == {} and row.runs == 2
    assert row.means["generator/loss"] == pytest.approx(statistics.fmean(losses))
    assert row.spreads["generator/loss"] == pytest.approx(statistics.stdev(losses))
    text = (tmp_path / "table.md").read_text()
    assert text in capsys.readouterr().out
    assert set(text.splitlines()[0].split()) - {"|"} == {"runs", "discriminator/loss", "generator/loss"}
    assert "accuracy" in (tmp_path / "table.csv").read_text()  # of what else is logged


def test_a_run_is_ended_by_the_signal_that_ends_the_sweep(tmp_path):
    class Asked(list):
        """The signals, of which the first arrives when the command is ready for it."""

        def __len__(self):
            return int((tmp_path / "ready").exists())

    code = "import signal, sys, time; signal.signal(signal.SIGINT, lambda n, f: sys.exit(n)); "
    code += f"open({str(tmp_path / 'ready')!r}, 'w'); time.sleep(60)"
    assert command.train(["-c", code], Asked([signal.SIGINT])) == signal.SIGINT


def test_a_run_that_fails_stops_no_other_and_the_sweep_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(signals, "asking", list)
    monkeypatch.setattr(command, "train", lambda words, asked: 1)
    with pytest.raises(SystemExit) as end:
        command.main(["--seed", "0", "1"], "toy_experiment", tmp_path)
    assert end.value.code == 1 and "2 commands failed" in capsys.readouterr().err


def test_finished_runs_are_evaluated_once(tmp_path, monkeypatch):
    evaluated = []

    def train(words, asked):
        evaluated.append(words)
        scored(members[0], 1.0)
        return 0

    members = planned(tmp_path, "--seed 0 1")
    complete(members[0])
    complete(members[1])
    scored(members[1], 2.0)
    monkeypatch.setattr(signals, "asking", list)
    monkeypatch.setattr(command, "train", train)
    for _ in range(2):
        command.main(["--seed", "0", "1"], "toy_experiment", tmp_path, evaluate=True)
    assert evaluated == [["-m", "gan_jax.evaluate", str(tmp_path / "seed=0")]]


def test_the_table_has_mean_and_spread_of_the_newest_scores_over_seeds(tmp_path):
    members = planned(tmp_path, "--learning_rate 1e-3 2e-3 --seed 0 1 2")
    for place, member in enumerate(members[:5]):
        complete(member)
        scored(member, 100.0, step=3)
        scored(member, 200.0, weights="raw")
        scored(member, float(place + 1))
    text = table.write(members, tmp_path)
    assert text.splitlines()[:4] == [
        "| learning_rate | runs | fid |",
        "| --- | --- | --- |",
        "| 1e-3 | 3 | 2 ± 1 |",
        "| 2e-3 | 2 | 4.5 ± 0.71 |",
    ]
    assert "fid: digits abc, 10 test examples of digits, 20 samples." in text
    assert text.endswith("Not finished: learning_rate=2e-3,seed=2.\n") and text == (tmp_path / "table.md").read_text()
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(row["learning_rate"], row["runs"]) for row in rows] == [("1e-3", "3"), ("2e-3", "2")]
    assert float(rows[1]["fid"]) == 4.5 and float(rows[1]["fid spread"]) == pytest.approx(0.5**0.5)


def test_the_readmes_sweep_is_six_runs_whose_commands_a_job_array_takes_one_by_one(tmp_path, monkeypatch, capsys):
    page = (ROOT / "gan_jax" / "loop" / "README.md").read_text()
    (shown,) = [line for line in page.splitlines() if line.endswith("--dry-run > members")]
    words = shlex.split(shown.partition(" > ")[0])
    assert words[:3] == ["python", "-m", "gan_jax.sweep"]
    own, swept = command.split(words[3:])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x"])
    cli.cli(partial(command.main, swept), None, own)
    lines = capsys.readouterr().out.splitlines()
    configs = [cli.parsed(dcgan.Config, shlex.split(line)[3:], "x") for line in lines]
    assert len(lines) == len(set(lines)) == 6 and "--array 1-6 " in page
    expected = {(rate, seed) for rate in (1e-4, 3e-4) for seed in range(3)}
    assert {(config.d_learning_rate, config.seed) for config in configs} == expected
    assert configs[0].run.workdir == Path("runs/sweep-dcgan-d_learning_rate-seed/d_learning_rate=1e-4,seed=0")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sweep_that_is_asked_to_end_saves_its_run_and_goes_on(tmp_path):
    words = [
        sys.executable,
        "-m",
        "gan_jax.sweep",
        "toy_experiment",
        "--seed",
        "0",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen([*words, "--steps", "200000"], env=environment, cwd=tmp_path)
    deadline = time.monotonic() + 300
    while len(log.read(tmp_path / "out" / "seed=0")) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    step = log.read(tmp_path / "out" / "seed=0")[-1]["step"]
    subprocess.run([*words, "--steps", str(step + 2)], env=environment, cwd=tmp_path, check=True)
    assert {member.name for member in (tmp_path / "out").iterdir()} == {"seed=0", "seed=1", "table.md", "table.csv"}
    assert [runs.open_run(tmp_path / "out" / f"seed={seed}").step for seed in (0, 1)] == [step + 2] * 2
