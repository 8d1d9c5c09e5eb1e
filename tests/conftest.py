"""Four virtual CPU devices for every test, and no trace in the user's cache."""

import os
import shutil
import sys
from pathlib import Path

import environment  # before JAX
import jax
import pytest

LIMIT = 1_500_000_000  # bytes


def pytest_sessionfinish(session):
    compiled = os.environ["JAX_COMPILATION_CACHE_DIR"]
    if compiled == environment.CACHE:  # in the process that started the others
        shutil.rmtree(compiled, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def _own_environment():
    """Undoes changes of the environment, as by commands that set it for the processes they start."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _same_by_every_name(monkeypatch):
    """Makes `python -m pytest` the same program as `pytest` for code that asks by which command it runs."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)


@pytest.fixture(autouse=True, scope="module")
def _memory():
    """Drops the programs of earlier test files from memory once they fill much of it."""
    yield
    try:
        held = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # not on Linux
        held = LIMIT
    if held >= LIMIT:
        jax.clear_caches()
