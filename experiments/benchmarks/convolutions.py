"""Where a convolution's time goes on a CPU: `python -m experiments.benchmarks.convolutions`.

Of each convolution of a game's networks, forward and backward as training runs them: the time of the whole, and that of
its three matrix products alone, on patches that are laid out already. The rest is what laying out patches costs, and
putting their gradients together again: memory traffic, `(k / stride)^2` times the image, which a library with
convolution kernels of its own does not have. Both are medians over rounds, in turns.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from experiments.benchmarks.peers import GAMES, build
from gan_jax import records, rng
from gan_jax.cli import cli
from gan_jax.networks.conv import Conv, ConvTranspose, conv, conv_transpose
from gan_jax.pictures import atomic
from gan_jax.types import Array

HEAD = ["game", "batch", "convolutions", "products alone", "products' share", "GFLOP/s of the whole", "of the products"]


def main(
    games: tuple[str, ...] = ("dcgan 28", "dcgan 32", "dcgan 64"),
    rounds: int = 7,
    out: Path = Path("runs/convolutions.json"),
) -> None:
    """Times the convolutions of games and prints and writes a table.

    Args:
        games: Names in `peers.GAMES`.
        rounds: Turns of each.
        out: The JSON file.
    """
    record = {"rows": [_row(game, rounds) for game in games], "rounds": rounds, "environment": records.environment()}
    with atomic(out) as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())
    print(markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """Returns the table as README.md shows it; times are of one pass of real or fake through either network."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for row in record["rows"]:
        whole, products = (row[name] for name in ("whole", "products"))
        shares = f"{products / whole:.0%}"
        speeds = [f"{row['gflop'] / seconds:.0f}" for seconds in (whole, products)]
        lines.append([row["game"], str(row["batch_size"]), f"{whole * 1e3:.0f} ms", f"{products * 1e3:.0f} ms", shares])
        lines[-1] += speeds
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(game: str, rounds: int) -> dict[str, Any]:
    config, system = build(game)
    shape = GAMES[game].shape
    found = [layer for name, each in system.networks.items() for layer in _layers(each, config, shape, name)]
    wholes, products = zip(*[_ways(*layer) for layer in found], strict=True)
    times: dict[str, list[float]] = {"whole": [], "products": []}
    for _ in range(rounds):
        for name, ways in (("whole", wholes), ("products", products)):
            times[name].append(sum(way() for way in ways))
    flop = sum(6 * _rows(*layer) * int(np.prod(layer[2])) for layer in found)
    row = {"game": game, "batch_size": config.batch_size, "gflop": round(flop / 1e9, 3)}
    return row | {name: float(np.median(each)) for name, each in times.items()}


def _layers(network: Any, config: Any, shape: Sequence[int], name: str) -> list[tuple[type, tuple, tuple, Any, Any]]:
    """Returns class, input's shape, kernel's shape, strides and padding of each convolution of a network."""
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
    """Returns how many windows there are: rows of the products."""
    if kind is ConvTranspose:
        return int(np.prod(shape[:3]))
    made = jax.eval_shape(lambda x, k: conv(x, k, strides, padding), *_arrays(shape, kernel))
    return int(np.prod(made.shape[:3]))


def _arrays(*shapes: tuple) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


def _ways(kind: type, shape: tuple, kernel: tuple, strides: Any, padding: Any) -> tuple[Callable[[], float], ...]:
    """Returns what times the whole convolution, and its products: forward, and by both arguments."""
    operator = conv_transpose if kind is ConvTranspose else conv
    rows = _rows(kind, shape, kernel, strides, padding)
    inner = kernel[2] if kind is ConvTranspose else int(np.prod(kernel[:3]))
    outer = int(np.prod(kernel)) // inner

    def whole(x: Array, w: Array) -> Array:
        return operator(x, w, strides, padding, "matmul")

    return _timed(whole, shape, kernel), _timed(jnp.matmul, (rows, inner), (inner, outer))


def _timed(function: Callable[[Array, Array], Array], *shapes: tuple) -> Callable[[], float]:
    x, w = (jax.random.normal(rng.key(i), shape) for i, shape in enumerate(shapes))
    cotangent = jnp.ones_like(function(x, w))

    @jax.jit
    def both(x: Array, w: Array, g: Array) -> Any:
        made, pull = jax.vjp(function, x, w)
        return made, pull(g)

    jax.block_until_ready(both(x, w, cotangent))

    def turn() -> float:
        began = time.perf_counter()
        for _ in range(3):
            jax.block_until_ready(both(x, w, cotangent))
        return (time.perf_counter() - began) / 3

    return turn


if __name__ == "__main__":
    cli(main, __doc__)
