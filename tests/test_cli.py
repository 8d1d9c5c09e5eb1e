import os
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from experiments import __main__ as index
from experiments import dcgan, toy2d, vae
from gan_jax import __main__ as commands
from gan_jax import cli
from gan_jax.errors import NotFound
from gan_jax.sample import __main__ as sampling

CODE = """
from gan_jax.cli import cli

def main():
    for _ in range(20_000):
        print("FID 8.96 ± 0.1", flush=True)
    print("done", file=open("done", "w"))

cli(main)
"""


def run(folder, command, **environment):
    (folder / "own.py").write_text(CODE)
    environment = os.environ | environment
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


def test_output_that_nobody_reads_ends_nothing(tmp_path):
    made = run(tmp_path, f"{sys.executable} own.py 2>&1 | head -1")
    assert made.stdout.count("\n") == 1 and not made.stderr
    assert (tmp_path / "done").exists()


def test_a_character_that_the_terminal_has_not_ends_nothing(tmp_path):
    made = run(tmp_path, f"{sys.executable} own.py", PYTHONIOENCODING="ascii")
    assert made.returncode == 0 and made.stdout.startswith("FID 8.96 ? 0.1"), made.stderr


@dataclass(frozen=True)
class Run:
    workdir: Path | None = None


@dataclass(frozen=True)
class Config:
    run: Run = field(default_factory=Run)


def test_the_home_directory_is_meant_in_every_path(tmp_path, monkeypatch):
    given = []

    def command(run: Path, images: tuple[Path, ...] = (), out: Path | None = None, name: str = "") -> None:
        """Takes paths."""
        given.append((run, images, out, name))

    def experiment(config: Config) -> None:
        """Takes a config."""
        given.append(config.run.workdir)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["x", "--run", "~/a b", "--images", "~/1", "2", "--out=~/3", "--name", "~"])
    cli.cli(command)
    monkeypatch.setattr(sys, "argv", ["x", "--workdir", "~/runs"])
    cli.cli(experiment)
    assert given == [(tmp_path / "a b", (tmp_path / "1", Path("2")), tmp_path / "3", "~"), tmp_path / "runs"]


@dataclass(frozen=True)
class Shared(cli.Checkpoint):
    """Shared."""

    seed: int = 0


def squares(run: Path, shared: Shared, side: int = 1) -> None:
    """Squares.

    Args:
        side: Length of a side.
    """
    print("squares", run, shared.step, shared.seed, side)


def circles(run: Path, shared: Shared, radius: float = 1.0) -> None:
    """Circles. They are round."""
    print("circles", run, shared.step, shared.seed, radius)


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("runs/a", "squares runs/a None 0 1"),
        ("runs/a --side 3 --step 2", "squares runs/a 2 0 3"),
        ("runs/a circles", "circles runs/a None 0 1.0"),
        ("circles circles --radius=2 --seed 5", "circles circles None 5 2.0"),
        ("--help", "squares  Squares."),
        ("runs/a --help", "circles  Circles. They are round."),
        ("runs/a --help", "--side INT"),
        ("runs/a circles --help", "--radius FLOAT"),
    ],
)
def test_a_subcommand_follows_its_run_and_the_first_is_the_default(monkeypatch, capsys, given, printed):
    monkeypatch.setattr(sys, "argv", ["x", *given.split()])
    try:
        cli.cli([squares, circles])
    except SystemExit as end:
        assert "--help" in given and not end.code
    told = capsys.readouterr().out
    assert printed in told and ("--radius" in told) == (given == "runs/a circles --help")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "RUN: give a run directory first"),
        ("--side 3 runs/a", "RUN: give a run directory first"),
        ("runs/a triangles", "triangles: there is no such sub-command; give one of squares, circles"),
        ("runs/a circle --radius 3", "Did you mean circles?"),
        ("runs/a circles --side=3", "--side is a flag of squares, not of circles; leave it out"),
        ("runs/a --radius 3", "--radius is a flag of circles, not of squares; leave it out"),
        ("runs/a --colour red", "Unrecognized options: --colour"),
    ],
)
def test_a_wrong_subcommand_or_flag_is_refused_with_those_that_there_are(monkeypatch, capsys, given, message):
    monkeypatch.setattr(sys, "argv", ["x", *given.split()])
    with pytest.raises(SystemExit) as end:
        cli.cli([squares, circles])
    assert end.value.code and message in capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("experiment", [dcgan, vae, toy2d])
def test_the_help_of_an_experiment_fits_the_terminal_and_has_each_field_once_in_its_group(
    monkeypatch, capsys, experiment, columns
):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    with pytest.raises(SystemExit):
        cli.cli(experiment.main, experiment.__doc__)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    assert " ".join(experiment.__doc__.split()) in " ".join(text.split())
    titles = re.findall(r"─ (.*) options ─", text)
    boxes = dict(zip(titles, re.split(r"─ .* options ─", text)[1:], strict=True))
    shown = {title: set(re.findall(r"│ --(?:no-)?([\w-]+)", box)) for title, box in boxes.items()}
    assert sum(map(len, shown.values())) == len(set.union(*shown.values()))
    own, *rest = titles
    if experiment is toy2d:
        assert (own, *rest) == ("experiment", "choice") and shown["experiment"] == {"frames", "workdir"}
    else:
        assert own == "experiment" and rest == ["data", "optimiser", "networks", "run"]
        assert shown["data"] == {"dataset", "resolution", "batch-size"} and {"seed", "steps"} <= shown["run"]
        assert {"ema-decay", "beta1", "decay-steps"} <= shown["optimiser"] and "g-width" in shown["networks"]
    assert (
        shown["experiment"]
        == {
            dcgan: {"d-norm", "d-steps", "g-steps"},
            vae: {"latent-size", "g-learning-rate", "deviation"},
            toy2d: {"frames", "workdir"},
        }[experiment]
    )


def test_a_grouped_config_is_parsed_as_it_is():
    words = "--latent_size 8 --d-norm spectral --dataset ring --seed 3 --steps 7 --eval-metrics fid kid"
    run = replace(dcgan.Config().run, steps=7, eval_metrics=("fid", "kid"))
    expected = dcgan.Config(latent_size=8, d_norm="spectral", dataset="ring", seed=3, run=run)
    assert cli.parsed(dcgan.Config, words.split(), "x") == expected
    assert cli.parsed(dcgan.Config, [], "x") == dcgan.Config()


@pytest.mark.parametrize("words", ["--help", "runs/a grid --help", "runs/a traversal --help"])
def test_the_help_of_sub_commands_fits_the_terminal(monkeypatch, capsys, words):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["x", *words.split()])
    with pytest.raises(SystemExit):
        cli.cli([sampling.grid, sampling.traversal], "Samples from a checkpoint of the run directory RUN. " * 3)
    text = capsys.readouterr().out
    assert text.startswith("usage: x RUN") and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("main", [commands.main, index.main])
def test_the_indices_have_a_line_for_each_command_and_each_experiment(monkeypatch, capsys, main):
    monkeypatch.setenv("COLUMNS", "80")
    main()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    listed = re.findall(r"^  (\S.*?)  +(\w.*)$", text, re.MULTILINE)
    if main is index.main:
        assert [name for name, _ in listed] == [name for names in index.FAMILIES.values() for name in names]
        assert not re.search(r"arXiv|\d{4}", text.replace("1,000", ""))
    else:
        names = {name.removeprefix("python -m gan_jax.") for name, _ in listed}
        assert {"sample", "evaluate", "explore", "translate", "launch", "sweep", "runs.report"} <= names
        assert not any("python" in line for _, line in listed)


def both(first: str, second: str, /, side: int = 1) -> None:
    """Both."""
    print("both", first, second, side)


def table(runs: tuple[Path, ...], /, out: Path | None = None) -> None:
    """A table."""
    print("table", *runs, out)


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("runs/a --radius 2", "circles runs/a None 0 2.0"),
        ("runs/a runs/b --side 2", "both runs/a runs/b 2"),
        ("a b both", "both a b 1"),
        ("a b c table --out d", "table a b c d"),
        ("a table", "table a None"),
        ("a --help", "FIRST SECOND both  Both."),
        ("a both --help", "--side INT"),
        ("a b table --help", "--out"),
    ],
)
def test_a_subcommand_may_take_several_names_whose_number_selects_it(monkeypatch, capsys, given, printed):
    monkeypatch.setattr(sys, "argv", ["x", *given.split()])
    try:
        cli.cli([circles, both, table])
    except SystemExit as end:
        assert "--help" in given and not end.code
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a b c", "c: there is no such sub-command; give one of circles, both, table"),
        ("a circels", "circels: there is no such sub-command; give one of circles, both, table"),
        ("a b circles", "a b: 2 names instead of 1; give x RUN circles"),
        ("table a b", "table: a sub-command comes last: x RUNS ... table"),
    ],
)
def test_a_wrong_number_of_names_is_refused(monkeypatch, capsys, given, message):
    monkeypatch.setattr(sys, "argv", ["x", *given.split()])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    with pytest.raises(SystemExit):
        cli.cli([circles, both, table])
    assert message in capsys.readouterr().err


def test_warnings_come_when_they_are_given_though_python_does_not_buffer():
    code = (
        "import sys, time, warnings\nfrom gan_jax.cli import cli\n\n\ndef main() -> None:\n    warnings.warn('early')\n"
        "    print('late', flush=True)\n    time.sleep(0.2)\n\n\ncli(main)\n"
    )
    both = subprocess.run(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert both.stdout.split() == ["warning:", "early", "late"]


def test_a_misspelt_experiment_is_answered_by_the_nearest_and_one_alone_is_listed(capsys):
    with pytest.raises(NotFound, match=r"dcgann: there is no such experiment.* Did you mean dcgan"):
        index.main("dcgann")
    index.main("dcgan")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line][:2] == ["basics", "dcgan"]


def test_an_argument_without_a_type_is_refused(monkeypatch, capsys):
    def main(config):
        raise AssertionError

    monkeypatch.setattr(sys, "argv", ["x", "--steps", "3"])
    with pytest.raises(SystemExit):
        cli.cli(main)
    assert "error: main(config): flags are made from an argument's type" in capsys.readouterr().err


@dataclass(frozen=True)
class Switches:
    bright_colours: bool = True
    """Bright colours."""
    mirror: bool = False
    """Mirror images."""


def test_the_help_of_a_flag_that_turns_something_off_says_so(monkeypatch, capsys):
    def main(config: Switches) -> None:
        """Draws."""

    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        cli.cli(main, presets={"plain": Switches(), "mirrored": Switches(mirror=True)})
    shown = capsys.readouterr().out
    assert "Bright colours. --no-bright-colours turns it off. (default: True)" in shown
    assert "Mirror images. (default: False)" in shown
    monkeypatch.setattr(sys, "argv", ["x", "--preset", "mirrored", "--help"])
    with pytest.raises(SystemExit):
        cli.cli(main, presets={"mirrored": Switches(mirror=True)})
    assert "Mirror images. --no-mirror turns it off. (default: True)" in capsys.readouterr().out
