"""Trains an experiment at every combination of settings, and tabulates results: `python -m gan_jax.sweep EXPERIMENT`.

    python -m gan_jax.sweep experiments.dcgan --d_width 16 32 --seed 0 1 2

EXPERIMENT is a module or a Python file, and all flags except those below are its own. A flag with several values is
swept, unless it takes several words itself; other flags go to every run. The runs train one after another, each by the
experiment's own command in a directory named by its settings. Repeating the command continues where it stopped;
finished runs are not trained again.

The table, table.md and table.csv, has a row for each setting, with mean and standard deviation over seeds: of the
newest scores of each run (by --evaluate, or by the experiment's --eval-every), otherwise of its last logged losses.
"""

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import jax
import tyro

from gan_jax.cli import cli
from gan_jax.loop import signals
from gan_jax.runs import checkpoint
from gan_jax.sweep import Member, finished, planned, table

OWN = ("out", "evaluate", "dry_run", "help")  # flags of the sweep


def main(
    words: Sequence[str],
    experiment: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="EXPERIMENT")],
    out: Path | None = None,
    evaluate: bool = False,
    dry_run: bool = False,
) -> None:
    """Trains an experiment at every combination of settings.

    Args:
        words: The experiment's flags.
        experiment: Module, such as experiments.dcgan, or Python file.
        out: Directory of the sweep; by default runs/sweep-EXPERIMENT-FLAGS, FLAGS those with several values.
        evaluate: Score each finished run by python -m gan_jax.evaluate.
        dry_run: Print the command of each run, one per line, and train none: line N is task N of a job array.
    """
    jax.config.update("jax_platforms", "cpu")  # this process must not occupy the devices of the runs
    members = planned(experiment, words, out)
    if dry_run:
        for member in members:
            print(shlex.join(["python", *member.command]))
        return
    asked: list[int] = []
    for number in signals.asking():
        signal.signal(number, lambda n, frame: asked.append(n))
    failed = []
    for place, member in enumerate(members, 1):
        if not finished(member):
            print(f"run {place} of {len(members)}: {shlex.join(['python', *member.command])}", flush=True)
            failed += [member] * (train(member.command, asked) != 0)
        if evaluate and finished(member) and not _scored(member):
            failed += [member] * (train(["-m", "gan_jax.evaluate", str(member.directory)], asked) != 0)
        text = table.write(members, member.directory.parent)
        if asked:
            print(f"stopped by {signal.Signals(asked[0]).name}; the same command continues the sweep")
            raise SystemExit(128 + asked[0])
    print(f"{text}\n{members[0].directory.parent / 'table.md'}, and table.csv")
    if failed:
        names = ", ".join(str(member.directory) for member in failed)
        print(f"error: {len(failed)} commands failed, see above: {names}", file=sys.stderr)
        raise SystemExit(1)


def train(command: Sequence[str], asked: Sequence[int]) -> int:
    """Runs a command of Python to its end, and passes on signals that ask this program to end; returns its status."""
    process, passed = subprocess.Popen([sys.executable, *command], start_new_session=True), 0
    while process.poll() is None:
        if len(asked) > passed:
            process.send_signal(asked[passed])  # the same signal, so that the run names it as the cause
            passed += 1
        time.sleep(0.1)
    return process.returncode


def _scored(member: Member) -> bool:
    """Returns whether the last checkpoint of a run has a score."""
    last = checkpoint.steps(member.directory / "checkpoints")[-1]
    return any(score.step == last for score in table.newest(member.directory))


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits words of the command line into those of the sweep and the experiment's flags, each with its values."""
    sweep_options: list[str] = []
    swept: list[str] = []
    target = sweep_options
    for word in words:
        if word.startswith("--") or word == "-h":
            target = sweep_options if word == "-h" or word[2:].partition("=")[0].replace("-", "_") in OWN else swept
        target.append(word)
    return sweep_options, swept


if __name__ == "__main__":
    sweep_options, swept = split(sys.argv[1:])
    cli(partial(main, swept), __doc__, sweep_options)
