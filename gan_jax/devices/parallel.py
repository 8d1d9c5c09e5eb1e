"""Data parallelism over one named axis; no other module knows how many devices share a batch.

Code inside a step calls `pmean`, `gather` and `local`, which are the identity where the axis, `AXIS`, is unbound.
`single`, `pmapped`, `sharded` and `simulated` take `f(state, *args) -> (state, ...)` and return a compiled function of
the same arguments with the same results, up to rounding. State and arguments are replicated; devices differ only in the
rows of the batch, which each draws by its `index()`.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gan_jax.devices import cluster
from gan_jax.types import Array, PyTree

AXIS = "data"
Devices = Sequence[Any]  # JAX devices
WHOLE = P()
ROWS = P(None, None, AXIS)  # layout of `[steps, repeats, B, ...]`


def axis() -> str | None:
    """Returns `AXIS` if it is bound where this is traced, else None."""
    try:
        lax.axis_size(AXIS)
    except NameError:
        return None
    return AXIS


def size() -> int:
    """Returns the number of devices on the axis, 1 where it is unbound."""
    return lax.axis_size(AXIS) if axis() else 1


def index() -> Array | int:
    """Returns this device's place on the axis, 0 where it is unbound."""
    return lax.axis_index(AXIS) if axis() else 0


def pmean(tree: PyTree) -> PyTree:
    """Averages every leaf over the axis; the identity where it is unbound."""
    return lax.pmean(tree, AXIS) if axis() else tree


def gather(tree: PyTree) -> PyTree:
    """Joins the local rows `[b, ...]` of every leaf to the global `[B, ...]`; the identity where `AXIS` is unbound."""
    if axis() is None:
        return tree
    return jax.tree.map(lambda x: lax.all_gather(x, AXIS, tiled=True), tree)


def local(tree: PyTree) -> PyTree:
    """Takes this device's rows `[b, ...]` of global leaves `[B, ...]`."""

    def rows(x: Array) -> Array:
        count = x.shape[0] // size()
        return lax.dynamic_slice_in_dim(x, index() * count, count)

    return jax.tree.map(rows, tree) if axis() else tree


def spread(f: Callable, devices: Devices, specs: Any = WHOLE) -> Callable:
    """Compiles `f` for one device, several local ones, or those of several processes.

    Args:
        f: `(state, *args) -> pytree`.
        devices: The devices of all processes.
        specs: Layout of the arguments, if they are not all replicated; see `sharded`.
    """
    if len(devices) > 1 and (cluster.several() or specs != WHOLE):
        return sharded(f, devices, specs)
    return single(f) if len(devices) == 1 else pmapped(f, devices)


def single(f: Callable) -> Callable:
    """Compiles `f` for one device; the state is donated."""
    return jax.jit(f, donate_argnums=0)


def pmapped(f: Callable, devices: Devices | None = None) -> Callable:
    """Compiles `f` for several local devices by `jax.pmap`, the default there.

    The state goes in and out unstacked, as on one device, and is donated. The devices' results are equal as long as the
    step averages everything that it must; only `assert_replicated` checks this.

    Args:
        f: `(state, *args) -> pytree`.
        devices: Local devices to use; all by default.

    Returns:
        A function of the same arguments. Place the state with `replicate` first, or it compiles twice.
    """
    devices = list(devices or jax.local_devices())
    mapped = jax.pmap(
        lambda _, state, rest: f(state, *rest),
        axis_name=AXIS,
        in_axes=(0, None, None),
        out_axes=None,  # pyright: ignore[reportArgumentType]  takes the first copy
        donate_argnums=1,
        devices=devices,
    )
    return _Mapped(mapped, np.arange(len(devices)))


class _Mapped(NamedTuple):
    """A function from `jax.pmap` in the form of one from `jax.jit`; `places` is the mapped argument that pmap needs."""

    mapped: Any
    places: np.ndarray

    def __call__(self, state: PyTree, *args: Any) -> Any:
        return self.mapped(self.places, state, args)

    def lower(self, state: PyTree, *args: Any) -> Any:
        return self.mapped.lower(self.places, state, args)


def sharded(f: Callable, devices: Devices | None = None, specs: Any = WHOLE) -> Callable:
    """Compiles `f` for devices of one or several processes by `shard_map`, donating the state.

    `check_vma=False`: with the check, gradients of replicated parameters come summed, and `pmean` would be wrong.

    Args:
        f: `(state, *args) -> pytree`.
        devices: Devices of all processes; all by default.
        specs: Layout of the arguments: `WHOLE`, replicated, or `ROWS`, split along the batch; one, or one for each.
    """
    return jax.jit(
        jax.shard_map(f, mesh=mesh(devices or jax.devices()), in_specs=specs, out_specs=P(), check_vma=False),
        donate_argnums=0,
    )


def simulated(f: Callable, count: int) -> Callable:
    """Compiles `f` to simulate `count` devices on one, by `vmap` over the axis.

    Raises:
        ValueError: From JAX, while tracing, if the results are not provably equal on all devices.
    """
    return jax.jit(
        jax.vmap(f, axis_name=AXIS, axis_size=count, in_axes=None, out_axes=None),  # pyright: ignore[reportArgumentType]
        donate_argnums=0,
    )


def replicate(tree: PyTree, devices: Devices | None = None) -> PyTree:
    """Copies a host or single-device tree to each of the devices (all local ones by default).

    If the devices belong to several processes, every process must pass the same tree.
    """
    sharding = NamedSharding(mesh(devices or jax.local_devices()), P())
    if sharding.is_fully_addressable:
        return jax.tree.map(lambda x: jax.device_put(jnp.array(x), sharding), tree)

    def everywhere(x: Any) -> Array:
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(everywhere(jax.random.key_data(x)), impl=jax.random.key_impl(x))
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(everywhere, tree)


def split(tree: PyTree, devices: Devices) -> PyTree:
    """Splits leaves `[steps, repeats, b, ...]`, b this process's rows of each batch, over its devices."""
    sharding = NamedSharding(mesh(devices), ROWS)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), tree)


def first(tree: PyTree) -> PyTree:
    """Returns the first device's copy of a replicated tree."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def assert_replicated(tree: PyTree) -> None:
    """Checks that every leaf is the same, to the bit, on every device of every process.

    Raises:
        AssertionError: Names the first leaf that differs on this process; somewhere a `pmean` or `gather` is missing.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if len(leaf.addressable_shards) == 1:
            continue  # nothing to compare, so nothing to fetch
        one, *others = (np.asarray(shard.data) for shard in leaf.addressable_shards)
        if not all(np.array_equal(one, other, equal_nan=True) for other in others):
            raise AssertionError(f"devices disagree on {jax.tree_util.keystr(path)}: a mean over the axis is missing")
    if cluster.several():
        checksum = 0
        for leaf in jax.tree.leaves(first(tree)):
            checksum = zlib.crc32(np.asarray(leaf).tobytes(), checksum)
        cluster.require_equal(checksum, "the state")


def mesh(devices: Devices) -> Mesh:
    """Returns a mesh of devices with the one axis `AXIS`."""
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
