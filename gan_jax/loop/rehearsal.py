"""Checks before a run computes anything: that shapes match, that layers are suitable, and that memory suffices."""

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax import game, rng
from gan_jax.data import Dataset, Spec, Stream
from gan_jax.data.batches import for_networks
from gan_jax.devices import memory
from gan_jax.errors import OutOfMemory, UserError, listed
from gan_jax.networks.wrappers import stock, unfit
from gan_jax.types import Array, PyTree, System, TrainState

WIDEST = 2**31  # array sizes and counts are 32-bit integers
LOWER = "make the networks smaller, by lower widths or --latent-size"


def require_sizes(config: Any) -> None:
    """Checks that integers of a config fit in 32 bits, except the seed.

    Raises:
        UserError: Naming the flag.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int) and field.name != "seed" and abs(value) >= WIDEST:
            raise UserError(f"--{field.name.replace('_', '-')} {value}: give a number below 2**31")


def state(system: System, spec: Spec) -> TrainState:
    """Checks the shapes of a system's samples, and returns those of its initial state; computes no array.

    Warns about Flax layers that have a replacement here.

    Args:
        system: The system to train.
        spec: The spec of its data.

    Returns:
        The state's shapes and dtypes, as from `jax.eval_shape`.

    Raises:
        UserError: If the generator's samples have another shape than the data, or an array is too large to exist.
    """
    with stock.noticed() as layers:
        try:
            like = jax.eval_shape(system.init, rng.key(0))
        except (OverflowError, NotImplementedError) as error:  # JAX's, of sizes beyond 64 bits
            raise UserError(f"the networks have an array that is too large for JAX ({error}): {LOWER}") from error
        finally:
            for advice, places in layers.items():
                warnings.warn(stock.text(advice, places), stacklevel=3)
    with unfit.noted() as classes:
        shape = _sample_shape(system, like, spec)
    if shape != spec.shape:
        resized = ", or resize the data with --resolution" if spec.kind.is_image and len(shape) == 3 else ""
        name = f", {listed(list(dict.fromkeys(classes)))}," if classes else ""
        raise UserError(
            f"the generator{name} makes examples of shape {shape}, but the data have {spec.shape}; build its network "
            f"for spec.shape{resized}"
        )
    return like


def update(system: System, like: TrainState, dataset: Dataset | Stream, batch_size: int) -> None:
    """Traces one iteration for its shapes alone, so that shape errors are raised before anything is compiled.

    Args:
        system: The system to train.
        like: Its state's shapes, from `state`.
        dataset: The training data.
        batch_size: Examples per batch.

    Raises:
        UserError: If a network does not fit its inputs, or the discriminator does not return one row of logits per
            example; the message names the network.
    """
    if isinstance(dataset, Stream):
        stored: dict[str, tuple[tuple[int, ...], Any]] = {"image": (dataset.spec.shape, jnp.uint8)}
        stored |= {"label": ((), jnp.int32)} if dataset.spec.classes else {}
    else:
        stored = {name: (array.shape[1:], array.dtype) for name, array in dataset.arrays.items()}
    lead = (system.batches, batch_size) if system.batches > 1 else (batch_size,)
    batch = {name: jax.ShapeDtypeStruct((*lead, *shape), dtype) for name, (shape, dtype) in stored.items()}
    scaled = jax.eval_shape(lambda arrays: for_networks(arrays, dataset.spec.kind), batch)
    jax.eval_shape(system.update, like, scaled, rng.key(0))


def require_memory(like: TrainState, data: int, devices: Sequence[Any]) -> None:
    """Checks that memory can hold a run's state and data; activations are not counted.

    Args:
        like: The state, or its shapes.
        data: Bytes of the data that each device holds.
        devices: The devices that share the batches; each holds the whole state.

    Raises:
        OutOfMemory: If it cannot, with the number of bytes.
    """
    size = memory.size(like)
    local = [device for device in devices if device.process_index == jax.process_index()]
    on_cpu = local[0].platform == "cpu"
    held = f"the state ({memory.text(size)}: parameters, optimisers, averages) and the data ({memory.text(data)})"
    if not on_cpu:
        limit = (local[0].memory_stats() or {}).get("bytes_limit")
        if limit and size + data > limit:
            raise OutOfMemory(f"{held} exceed a device's memory of {memory.text(limit)}: {LOWER}, or give --stream")
    memory.require((size + data) * (len(local) if on_cpu else 1), held, LOWER)


def _sample_shape(system: System, like: TrainState, spec: Spec) -> tuple[int, ...]:
    """Returns the shape of one sample or translation, as stored."""

    def stored(ema: PyTree, key: Array) -> Array:
        if system.translate is not None:
            return spec.kind.from_network(system.translate(ema, jnp.zeros((2, *(spec.source or spec.shape)))))
        latent, generate = game.sampler(system)
        return spec.kind.from_network(generate(ema, latent.draw(rng.numbered(key, 2))))

    return jax.eval_shape(stored, like.ema, rng.key(0)).shape[1:]
