"""Experiments of notebooks: what is kept of their cells, and that their runs are opened from it."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from gan_jax.runs import notebooks

PAGE = Path(__file__).parents[1] / "gan_jax" / "loop" / "README.md"


@pytest.fixture
def run_cells(monkeypatch):
    """Runs cells as IPython does, which keeps them in `In`; returns their namespace."""
    cells = [""]
    namespace: dict = {"__name__": "__main__"}
    monkeypatch.setattr(sys.modules["__main__"], "In", cells, raising=False)

    def run(*texts):
        for text in texts:
            cells.append(text)
            exec(compile(text, f"<ipython-input-{len(cells)}-abc>", "exec"), namespace)
        return namespace

    return run


def kept(namespace):
    """Returns the source that is kept, and the namespace that it makes."""
    text = notebooks.source(namespace["build"], namespace["Config"]())
    assert text is not None
    made: dict = {"__name__": "again"}
    exec(text, made)
    return text, made


def test_what_build_and_config_need_is_kept_in_order_and_nothing_else(run_cells):
    namespace = run_cells(
        "import math\nimport json as unused\nimport functools",
        "WIDTH = 2\nWIDTH += 1; LEFT_OUT = print('left out')",
        "class Config:\n    width: int = WIDTH",
        "def build(config, spec):\n    return old",
        "trained = []\nfor step in range(3):\n    trained.append(step)",
        "# replaces the first\n\n@functools.cache\ndef build(config=None, spec=None):\n    return inner(Config.width)",
        "def inner(trained):\n    return [math.sqrt(trained) for _ in range(2)]",
    )
    text, made = kept(namespace)
    assert made["build"]() == [3**0.5] * 2
    assert text.count("def build") == 1 and "@functools.cache" in text
    for absent in ("unused", "left out", "trained.append", "return old"):
        assert absent not in text


def test_cells_that_are_run_again_count_when_they_were_run_last(run_cells):
    first, second = (f"def build(config, spec):\n    return {value}" for value in (1, 2))
    namespace = run_cells("class Config: pass", first, second, first)
    assert kept(namespace)[1]["build"](None, None) == 1


def test_other_names_are_known_as_build_and_config_and_imports_from_the_future_come_first(run_cells):
    namespace = run_cells(
        "from math import *",
        "from __future__ import annotations\nclass Settings:\n    def of(self) -> Undefined: ...",
        "def make(config, spec):\n    return floor(1.5)",
    )
    text = notebooks.source(namespace["make"], namespace["Settings"]())
    assert text is not None
    made: dict = {"__name__": "again"}
    exec(text, made)
    assert made["build"](None, None) == 1 and made["Config"] is made["Settings"]


def test_what_no_cell_defines_is_not_kept(run_cells):
    vars(sys.modules["__main__"])["In"].append("echo is no Python")
    namespace = run_cells(
        "def outer():\n    def build(config, spec): ...\n    return build\nbuild = outer()\nclass Config: pass",
    )
    assert notebooks.source(namespace["build"], namespace["Config"]()) is None
    assert notebooks.source(run_cells, namespace["Config"]()) is None


def test_the_readmes_notebook_trains_and_its_run_is_opened_without_it(run_cells, tmp_path, monkeypatch):
    section = PAGE.read_text().split("## Notebooks")[1].split("\n## ")[0]
    define, train, look = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    run_cells(define, train.replace("steps=2000", "steps=2, steps_per_call=2, devices=1"))
    monkeypatch.delattr(sys.modules["__main__"], "In")  # another kernel, which knows the run directory alone
    namespace = run_cells(look.replace("count=1024", "count=8"))
    shown = eval(look.strip().splitlines()[-1].partition("#")[0], namespace)
    assert isinstance(shown, Image.Image) and namespace["samples"].shape == (8, 2)
    text = (tmp_path / "runs" / "notebook-ring" / "experiment.py").read_text()
    assert "def build" in text and "loop.run" not in text and namespace["run"].record["experiment"]["text"] == text
