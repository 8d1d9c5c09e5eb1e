"""Four virtual CPU devices for every test, set before JAX starts, and no trace in the user's cache."""

import os
import shutil
import tempfile
from pathlib import Path

# most of the tests' time is compiling, which is half as long without optimisation; given flags come last and win
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# compiled programs are shared by all processes of a session, as many tests run the same small games
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{tempfile.gettempdir()}/gan_jax-tests-{os.getpid()}")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax
import pytest

LIMIT = 1_500_000_000  # bytes


def pytest_sessionfinish(session):
    compiled = os.environ["JAX_COMPILATION_CACHE_DIR"]
    if compiled.endswith(f"gan_jax-tests-{os.getpid()}"):  # in the process that started the others
        shutil.rmtree(compiled, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))


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
