"""Four virtual CPU devices for every test, set before JAX starts, and no trace in the user's cache."""

import os

# most of the tests' time is compiling, which is half as long without optimisation; given flags come last and win
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
