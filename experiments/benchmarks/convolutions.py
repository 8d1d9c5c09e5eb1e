"""Time of convolutions and of their matrix products on a CPU: `python -m experiments.benchmarks.convolutions`.

For each convolution of a game's networks, inside a loop as in training: the time of its three operations (forward, and
the gradients by images and by kernels; see `gan_jax.networks.layers.formulations`), and of the three matrix products
alone, on patches that are already extracted. Both are medians over rounds, measured in turns.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from experiments.benchmarks.peers import GAMES, build
from gan_jax import rng
from gan_jax.cli import cli
from gan_jax.files import write_json
from gan_jax.networks.layers.conv import Conv, ConvTranspose
from gan_jax.networks.layers.convolutions import conv, conv_transpose
from gan_jax.runs import records
from gan_jax.types import Array

LOOPS = 3  # iterations in one call
WAYS = ("convolutions", "products")
HEAD = ["game", "batch", "convolutions", "products alone", "GFLOP/s, convolutions", "GFLOP/s, products"]


def main(
    games: tuple[str, ...] = ("dcgan 28", "dcgan 32", "dcgan 64"),
    rounds: int = 7,
    out: Path = Path("runs/convolutions.json"),
) -> None:
    """Times the convolutions of games, and prints and writes a table.

    Args:
        games: Names in `peers.GAMES`.
        rounds: Rounds of timing.
        out: The JSON file.
    """
    record = {"rows": [_row(game, rounds) for game in games], "rounds": rounds, "environment": records.environment()}
    write_json(out, record)
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table, as in README.md; times are for one pass of real or fake through each network."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for row in record["rows"]:
        times = [f"{row[way] * 1e3:.0f} ms" for way in WAYS]
        speeds = [f"{row['gflop'] / row[way]:.0f}" for way in WAYS]
        lines.append([row["game"], str(row["batch_size"]), *times, *speeds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(game: str, rounds: int) -> dict[str, Any]:
    config, system = build(game)
    shape = GAMES[game].shape
    geometries = [layer for name, each in system.networks.items() for layer in _layers(each, config, shape, name)]
    ways = [_ways(*layer) for layer in geometries]
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name in WAYS:
            times[name].append(sum(layer[name]() for layer in ways))
    flop = sum(6 * _rows(*layer) * int(np.prod(layer[2])) for layer in geometries)
    row = {"game": game, "batch_size": config.batch_size, "gflop": round(flop / 1e9, 3)}
    return row | {name: float(np.median(each)) for name, each in times.items()}


def _layers(network: Any, config: Any, shape: Sequence[int], name: str) -> list[tuple[type, tuple, tuple, Any, Any]]:
    """Returns class, input shape, kernel shape, strides and padding of each convolution of a network."""
    layers = []

    def note(method: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if isinstance(module, Conv) and context.method_name == "__call__":
            size = module.kernel_size if isinstance(module.kernel_size, tuple) else (module.kernel_size,) * 2
            kernel = (*size, args[0].shape[-1], module.features)
            layers.append((type(module), args[0].shape, kernel, module.strides, module.padding))
        return method(*args, **kwargs)

    inputs = (config.batch_size, config.latent_size) if name == "generator" else (config.batch_size, *shape)
    params, stats = jax.eval_shape(network.init, rng.key(0))
    layers.clear()
    with nn.intercept_methods(note):
        jax.eval_shape(
            lambda p, s, x: network.apply(p, s, x, train=True)[0],
            params,
            stats,
            jax.ShapeDtypeStruct(inputs, "float32"),
        )
    return layers


def _rows(kind: type, shape: tuple, kernel: tuple, strides: Any, padding: Any) -> int:
    """Returns the number of windows, which are the rows of the products."""
    if kind is ConvTranspose:
        return int(np.prod(shape[:3]))
    output = jax.eval_shape(lambda x, k: conv(x, k, strides, padding), *_arrays(shape, kernel))
    return int(np.prod(output.shape[:3]))


def _arrays(*shapes: tuple) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


def _ways(kind: type, shape: tuple, kernel: tuple, strides: Any, padding: Any) -> dict[str, Callable[[], float]]:
    """Returns, for each way, a timer of a convolution's three operations."""
    operator = conv_transpose if kind is ConvTranspose else conv
    rows = _rows(kind, shape, kernel, strides, padding)
    inner = kernel[2] if kind is ConvTranspose else int(np.prod(kernel[:3]))
    outer = int(np.prod(kernel)) // inner
    return {
        "convolutions": _timed(partial(operator, strides=strides, padding=padding), shape, kernel),
        "products": _timed(jnp.matmul, (rows, inner), (inner, outer)),
    }


def _timed(function: Callable[[Array, Array], Array], *shapes: tuple) -> Callable[[], float]:
    x, w = (jax.random.normal(rng.key(i), shape) for i, shape in enumerate(shapes))
    cotangent = jnp.ones_like(function(x, w))

    @jax.jit
    def several(x: Array, w: Array, g: Array) -> Any:
        def body(i: Array, carry: list[Array]) -> list[Array]:
            output, pull = jax.vjp(function, *carry[:2])
            # makes every iteration depend on the last, at the least cost
            return [a + 1e-20 * b for a, b in zip(carry, (*pull(carry[2]), output), strict=True)]

        return lax.fori_loop(0, LOOPS, body, [x, w, g])

    jax.block_until_ready(several(x, w, cotangent))

    def turn() -> float:
        began = time.perf_counter()
        jax.block_until_ready(several(x, w, cotangent))
        return (time.perf_counter() - began) / LOOPS

    return turn


if __name__ == "__main__":
    cli(main, __doc__)
