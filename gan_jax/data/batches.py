"""Batches as a pure function of (key, step): exact epochs in random order, drawn inside the compiled step.

No permutation is stored: a keyed bijection of [0, count) maps position i of an epoch to an example, and is evaluated at
the batch's positions only.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gan_jax import rng
from gan_jax.data import kinds
from gan_jax.data.kinds import Kind
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.types import Array, Batch

PASSES = 6
EXAMPLES = ("image", "source", "few_image")  # arrays of the data set's kind; others are labels and the like


def batches(
    count: int,
    batch_size: int,
    repeats: int = 1,
    apart: tuple[tuple[str, ...], ...] = (),
    kind: Kind = kinds.image,
) -> Callable[[dict[str, Array], Array, Array], Batch]:
    """Makes the function that draws the batches of step t.

    An epoch is a random order of all examples, cut into `count // batch_size` batches; the remainder is dropped, and
    differs between epochs. Step t takes batches t * repeats to t * repeats + repeats - 1, counted from the start. A
    group that is drawn apart has epochs of its own rows, with its own key, so its rows are paired with the others at
    random.

    Args:
        count: Number of examples.
        batch_size: Examples in the global batch, B.
        repeats: Batches per step.
        apart: Groups of arrays, by name, that are drawn independently; rows of one group stay together. See `Dataset`.
        kind: Kind of the examples, which scales them for networks.

    Returns:
        `draw(arrays, key, step)` of arrays `[count, ...]`, a typed key and a step i32[], for use inside jit. It returns
        leaves `[b, ...]`, or `[repeats, b, ...]` if repeats > 1; b = B / devices, this device's rows of the global
        batch, see `for_networks`. While tracing it raises UserError if the number of devices does not divide B, if an
        array does not have `count` rows, or if the arrays of a group are missing, differ in their number of rows, or
        have fewer than B.

    Raises:
        UserError: If batch_size is not in [1, count], repeats is below 1, or an array is in two groups.
    """
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size} must be at least 1")
    if batch_size > count:
        raise UserError(f"batch_size={batch_size} exceeds the {count} examples of the data set; use at most {count}")
    if repeats < 1:
        raise UserError(f"repeats={repeats} must be at least 1")
    grouped = [name for group in apart for name in group]
    if len(set(grouped)) < len(grouped):
        raise UserError(f"apart={apart} has an array twice; name each once")

    def draw(arrays: dict[str, Array], key: Array, step: Array) -> Batch:
        together = [name for name in arrays if name not in grouped]
        for name in together:
            if arrays[name].shape[0] != count:
                raise UserError(
                    f"arrays[{name!r}] has {arrays[name].shape[0]} rows, but batches was made for count={count}"
                )
        counts = [_count(arrays, group, batch_size) for group in apart]
        numbers = jnp.asarray(step, jnp.int32) * repeats + jnp.arange(repeats, dtype=jnp.int32)
        local_rows = (parallel.index() * (rows := _rows(batch_size))) + jnp.arange(rows, dtype=jnp.int32)

        def chosen(key: Array, count: int) -> Array:
            drawn = jax.vmap(lambda number: examples(key, number, count, batch_size, local_rows))(numbers)
            return drawn if repeats > 1 else drawn[0]

        places = dict.fromkeys(together, chosen(key, count))
        for group, rows_of_group in zip(apart, counts, strict=True):
            places |= dict.fromkeys(group, chosen(rng.named(key, f"apart {group[0]}"), rows_of_group))
        rows_of = {
            name: jnp.asarray(array).at[places[name]].get(mode="promise_in_bounds") for name, array in arrays.items()
        }
        return for_networks(rows_of, kind)

    return draw


def for_networks(arrays: dict[str, Array], kind: Kind) -> Batch:
    """Scales a batch: examples (`EXAMPLES`) by their kind, other arrays of uint8 as images; the rest is unchanged."""
    return {name: (kind if name in EXAMPLES else kinds.image).to_network(x) for name, x in arrays.items()}


def examples(key: Array, number: Array, count: int, batch_size: int, rows: Array) -> Array:
    """Returns the indices of the examples in some rows of a batch; `batches` and streams both use it.

    Args:
        key: A typed key.
        number: The number of the batch, counted from the start of training, i32[].
        count: Number of examples in the data set.
        batch_size: Examples in a batch.
        rows: Rows of the batch, i32 `[b]`.
    """
    per_epoch = count // batch_size
    return permutation(jax.random.fold_in(key, number // per_epoch), count, (number % per_epoch) * batch_size + rows)


def permutation(key: Array, count: int, places: Array) -> Array:
    """Evaluates a random permutation of [0, count) at some positions, at a cost independent of `count`.

    Each of `PASSES` passes adds a random offset modulo `count`. It then splits each x < a * b, for a and b near
    sqrt(count), into (x // b, x % b), and adds to each half, modulo its range, a hash of the other half and a key: two
    rounds of a Feistel network (Luby and Rackoff 1988). Fewer than a values, those from a * b up, stay; the next offset
    moves them. Every operation is invertible, so the result is a bijection. Unlike the usual "cycle walking" it has no
    data-dependent loop, which would make an accelerator wait for the host.

    Args:
        key: A typed key; it chooses the permutation.
        count: Number of elements, at least 1 and below 2**31.
        places: Positions `[...]` in [0, count), integers.

    Returns:
        int32 `[...]`: the elements at these positions.
    """
    a = min(count, 2 * max(1, round(math.sqrt(count) / 2)))  # even: else all permutations of 5 would be even ones
    b = count // a
    x = jnp.asarray(places).astype(jnp.uint32)
    for turn, left_key, right_key in jax.random.bits(key, (PASSES, 3), jnp.uint32):
        x = (x + turn % count) % count
        left, right = x // b, x % b
        left = (left + _hash(right + left_key) % a) % a
        right = (right + _hash(left + right_key) % b) % b
        x = jnp.where(x < a * b, left * b + right, x)
    return x.astype(jnp.int32)


def _hash(x: Array) -> Array:
    """Hashes 32 bits (`lowbias32` of C. Wellons' hash-prospector): an input bit flips each output bit half the time."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _count(arrays: dict[str, Array], group: tuple[str, ...], batch_size: int) -> int:
    """Returns the number of rows of a group that is drawn apart."""
    if missing := [name for name in group if name not in arrays]:
        raise UserError(f"apart: there is no array {', '.join(missing)}; the arrays are {', '.join(arrays)}")
    names, rows = ", ".join(group), [arrays[name].shape[0] for name in group]
    if len(set(rows)) > 1:
        raise UserError(
            f"apart: {names} have {', '.join(map(str, rows))} rows; arrays of one group must have the same number"
        )
    if rows[0] < batch_size:
        raise UserError(
            f"batch_size={batch_size} exceeds the {rows[0]} rows of {names}, which are drawn separately; use at "
            f"most {rows[0]}, or data with more of them"
        )
    return rows[0]


def _rows(batch_size: int) -> int:
    """Returns the number of rows of the batch on this device."""
    devices = parallel.size()
    if batch_size % devices:
        below = batch_size - batch_size % devices
        near = f"{below} or {below + devices}" if below else f"{devices}"
        raise UserError(
            f"batch_size={batch_size} is not divisible by {devices} devices: use --batch-size {near}, or another "
            "--devices"
        )
    return batch_size // devices
