"""What a run holds in memory, and what to do when it is too much."""

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

# where a container says what it may use: control groups, version 2 and 1
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def size(tree: PyTree) -> int:
    """Returns the bytes of a tree's arrays or shapes, each counted once, however many devices hold it."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def host() -> int:
    """Returns the bytes of memory that this machine has, or its container may use."""
    limits = [sys.maxsize]
    with suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # there is none, or it says "max"
            limits.append(int(Path(file).read_text()))
    return min(limits)


def require(count: int, what: str, mend: str) -> None:
    """Refuses what this machine's memory cannot hold, before it is allocated.

    Args:
        count: Bytes that are needed, at least.
        what: What needs them, for the message.
        mend: What the user can do about it.

    Raises:
        OutOfMemory: With both numbers.
    """
    if count > (limit := host()):
        raise OutOfMemory(f"{what}: {text(count)} at least, and this machine has {text(limit)} of memory; {mend}")


def peak() -> int:
    """Returns the most bytes that were in use at once: of this process's first device, or on a CPU of the process."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def text(count: int) -> str:
    """Returns a number of bytes to read."""
    unit = next((n for n in (3, 2, 1) if count >= 0.995 * 1000**n), 1)
    return f"{count / 1000**unit:.3g} {('kB', 'MB', 'GB')[unit - 1]}"


@contextmanager
def explained() -> Iterator[None]:
    """Answers a device that is out of memory with what to lower.

    Raises:
        OutOfMemory: In place of JAX's error.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        first = str(error).strip().splitlines()[0]
        raise OutOfMemory(
            f"out of memory: {first[:200]}. Lower --batch-size, with --accumulate raised to keep what a move sees; or "
            "keep less of a forward pass, --activations layers or nothing; or the widths. On accelerators --precision "
            "bfloat16 halves the activations, and more --devices share them"
        ) from error
