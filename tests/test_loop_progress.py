"""Progress: lines that stay, in a pipe, a notebook and on a terminal, which keep step, share and time left."""

import io
import re

import pytest
from rich.console import Console

from gan_jax.loop import progress

RECORD = {
    "step": 50,
    "images_per_second": 640.0,
    "discriminator/loss": 1.25,
    "discriminator/accuracy_real": 0.75,
    "discriminator/probability_fake": 0.25,
    "generator/loss": 0.5,
}
PARTS = ["640 images/s", "discriminator loss 1.25", "acc real 0.75", "D(G(z)) 0.25", "generator loss 0.50"]


def test_a_record_is_told_in_parts():
    assert progress.summary(RECORD) == PARTS


@pytest.mark.parametrize("notebook", [False, True])
def test_without_a_terminal_and_in_a_notebook_there_is_a_whole_line_for_each_record(capsys, monkeypatch, notebook):
    console = Console(force_jupyter=notebook)
    monkeypatch.setattr(progress, "Console", lambda: console)
    with progress.shown(0, 100) as show:
        for step in (50, 75, 100):
            show(RECORD | {"step": step})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["50/100", "50%"], ["75/100", "75%"], ["100/100", "100%"]]
    assert "left" not in lines[0] and "0 s left" in lines[2]
    assert all(line.endswith("  ".join(PARTS)) for line in lines)


@pytest.mark.parametrize("width", [40, 80, 100, 120, 300])
def test_on_a_terminal_the_lines_stay_and_step_share_and_time_left_always_fit(monkeypatch, width):
    shown = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda: Console(file=shown, force_terminal=True, width=width))
    with progress.shown(0, 200_000) as show:
        for step in (50_000, 100_000, 199_999):
            show(RECORD | {"step": step})
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n")
    lines = [line for line in text.splitlines() if re.match(r"^ *\d+/200000 +\d+% ", line) and " left" in line]
    stay = [line.split()[:2] for line in lines if "━" not in line]
    assert stay[-2:] == [["100000/200000", "50%"], ["199999/200000", "99%"]]
    for line in text.splitlines():
        assert len(line.rstrip()) <= width
    (half,) = [line for line in lines if line.split()[0] == "100000/200000" and "━" not in line]
    parts = re.split("  +", half.strip())[3:]
    assert parts == PARTS[: len(parts)]  # never a part of a number
    assert len(half) + 2 + len(PARTS[len(parts)]) > width if len(parts) < len(PARTS) else width >= 120


def test_a_quiet_run_shows_no_progress(capsys):
    with progress.shown(0, 100, quiet=True) as show:
        show(RECORD)
    assert capsys.readouterr().out == ""
