import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.devices import memory


def test_sizes_are_told_in_bytes_and_read_in_units():
    assert memory.size({"a": jnp.zeros((3, 5)), "b": np.zeros(7, np.uint8)}) == 3 * 5 * 4 + 7
    told = [memory.text(count) for count in (12, 4_560, 999_999, 16_500_000, 2_340_000_000)]
    assert told == ["0.012 kB", "4.56 kB", "1 MB", "16.5 MB", "2.34 GB"]
    assert memory.peak() > 50e6  # JAX alone is more


def test_a_device_out_of_memory_is_answered_with_what_to_lower():
    said = r"RESOURCE_EXHAUSTED.*--batch-size.*--accumulate.*--activations.*bfloat16"
    with pytest.raises(MemoryError, match=said), memory.explained():
        jax.block_until_ready(jax.jit(lambda: jnp.ones((2**46,)))())
    with pytest.raises(ZeroDivisionError), memory.explained():
        _ = 1 / 0


@pytest.mark.slow
def test_compiled_programs_are_kept_for_the_next_start(tmp_path):
    command = [sys.executable, "-m", "experiments.dcgan", "--dataset", "ring", "--steps", "1"]
    command += ["--compilation-cache", "on"]
    environment = os.environ | {"GAN_JAX_CACHE": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    environment["XLA_FLAGS"] = ""  # as users compile
    kept = []
    for name in ("first", "second"):
        made = subprocess.run(
            [*command, "--workdir", str(tmp_path / name)], env=environment, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
        (directory,) = (tmp_path / "compiled").iterdir()
        kept.append({path.name for path in directory.iterdir() if path.name.endswith("-cache")})
    assert directory.name.startswith("cpu-") and "jaxlib" in directory.name
    assert kept[0] and kept[1] == kept[0]  # the second compiled nothing that was not there
