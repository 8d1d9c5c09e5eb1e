"""The environment of all tests; imported before JAX, which reads it when it starts."""

import importlib.metadata
import os
import tempfile

# Most of the tests' time is compiling, which takes half as long without optimisation, and half of that without the
# emitters of fused loops, which jaxlib 0.11 cannot do without. If XLA_FLAGS sets a level, tests compile as users do.
GIVEN = os.environ.setdefault("GAN_JAX_TESTS_XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # for all processes
FLAGS = f"--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 {GIVEN}"
if importlib.metadata.version("jaxlib") < "0.11":
    FLAGS = f"--xla_cpu_use_fusion_emitters=false {FLAGS}"
if "xla_backend_optimization_level" in GIVEN:
    FLAGS = GIVEN
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=4 {FLAGS}"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# compiled programs are shared by all processes of a session, as many tests run the same small games
CACHE = f"{tempfile.gettempdir()}/gan_jax-tests-{os.getpid()}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
