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


def test_a_record_is_told_in_a_line():
    told = progress.summary(RECORD)
    assert told == "640 images/s  discriminator loss 1.25  acc real 0.75  D(G(z)) 0.25  generator loss 0.50"


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(capsys):
    with progress.shown(0, 100, every=1e9) as show:
        show(RECORD)
        show(RECORD | {"step": 75})
        show(RECORD | {"step": 100})
    first, line = capsys.readouterr().out.splitlines()
    assert first.split()[0] == "50/100" and "left" not in first
    assert line.split()[:2] == ["100/100", "0"] and line.endswith(progress.summary(RECORD))


@pytest.mark.parametrize("width", [40, 80, 100, 120, 300])
def test_on_a_terminal_step_and_time_left_always_fit(monkeypatch, width):
    shown = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda: Console(file=shown, force_terminal=True, width=width))
    with progress.shown(0, 200_000) as show:
        for step in (50_000, 100_000):
            show(RECORD | {"step": step})
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n").strip().splitlines()[-1]
    assert len(last) <= width and re.match(r" *100000/200000 +\S+ left ", last)
    assert ("generator loss 0.50" in last) == (width == 300) and "640" in last
