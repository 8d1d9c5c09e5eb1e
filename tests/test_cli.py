import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from gan_jax import cli

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
