"""JAX's compilation cache on disk."""

import hashlib
import importlib.metadata
from pathlib import Path

import jax

from gan_jax.data.cache import directory


def keep() -> Path:
    """Turns on JAX's compilation cache; returns its directory.

    The directory is named after all that a program is compiled for: platform, device or processor features, and
    jaxlib's version. A similar CPU that lacks an instruction would crash on another's programs.
    """
    device = jax.local_devices()[0]
    built_for = device.device_kind if device.platform != "cpu" else _processor()
    digest = hashlib.sha256(built_for.encode()).hexdigest()[:8]
    path = directory() / "compiled" / f"{device.platform}-{digest}-jaxlib-{importlib.metadata.version('jaxlib')}"
    jax.config.update("jax_compilation_cache_dir", str(path))
    return path


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    relevant = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    return "\n".join(sorted(set(relevant)))
