"""Memory: sizes, limits, peak use, and errors that say what to lower."""

import math
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax

from gan_jax.errors import OutOfMemory
from gan_jax.types import PyTree

# a container's memory limit: control groups, version 2 and 1
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def size(tree: PyTree) -> int:
    """Returns the size in bytes of a tree of arrays or shapes; copies on several devices count once."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def host() -> int:
    """Returns this machine's memory in bytes, or its container's limit if that is lower."""
    limits = [sys.maxsize]
    with suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # no such file, or no number but "max"
            limits.append(int(Path(file).read_text()))
    return min(limits)


def require(count: int, what: str, remedy: str) -> None:
    """Checks that this machine's memory can hold something, before it is allocated.

    Args:
        count: Lower bound of the memory needed, in bytes.
        what: What needs the memory, for the message.
        remedy: What the user can do, for the message.

    Raises:
        OutOfMemory: If the machine has less; the message states both numbers.
    """
    if count > (limit := host()):
        raise OutOfMemory(
            f"{what}: at least {text(count)} is needed, but this machine has {text(limit)} of memory; {remedy}"
        )


def peak() -> int:
    """Returns the peak memory use in bytes: of this process's first device, or on CPUs of the process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def text(count: int) -> str:
    """Formats a number of bytes, such as "1.5 GB"."""
    unit = next((n for n in (3, 2, 1) if count >= 0.995 * 1000**n), 1)
    return f"{count / 1000**unit:.3g} {('kB', 'MB', 'GB')[unit - 1]}"


@contextmanager
def explained() -> Iterator[None]:
    """Context manager that turns JAX's out-of-memory error into one that says which settings to lower.

    Raises:
        OutOfMemory: Instead of JAX's error.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        first = str(error).strip().splitlines()[0][:200].rstrip(".")
        raise OutOfMemory(
            f"out of memory: {first}. Lower --batch-size, and raise --accumulate to keep the number of examples "
            "per update; or store fewer activations, with --activations layers or --activations nothing; or lower the "
            "widths of the networks. On accelerators, --precision bfloat16 halves the memory for activations, and more "
            "--devices share it"
        ) from error
