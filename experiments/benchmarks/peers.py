"""Training speed against PyTorch: `pip install torch; python -m experiments.benchmarks.peers`.

Networks, batches, losses, updates, Adam, the generator's average and the number of threads are the same
(`torch_peers`); gan_jax computes its metrics too. The ways of training, timed by `turns`:

    gan_jax        many iterations per call, as in `gan_jax.loop`
    eager          PyTorch's default, with fused Adam
    channels_last  eager with channels innermost, for networks with convolutions
    one_thread     eager in one thread, on a CPU, for networks without: small products may not gain from more
    compiled       PyTorch's losses through torch.compile
    graphs         compiled, and replayed as CUDA graphs, on a GPU

A speed is the median over rounds. A ratio is gan_jax's speed to another way's, or to that of each round's fastest other
way: the median over rounds, with the range. FLOP/s are given as a share of the peak: those of a large matrix product in
the same precision, the better of JAX's and PyTorch's. Without torch, gan_jax is measured alone.
"""

import dataclasses
import importlib
import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.throughput import looped
from experiments.benchmarks.turns import Run, enter, race
from gan_jax import data, rng, rules
from gan_jax.cli import cli
from gan_jax.data import Spec, kinds
from gan_jax.devices import parallel
from gan_jax.errors import UserError
from gan_jax.files import write_json
from gan_jax.networks.layers.conv import native
from gan_jax.runs import records
from gan_jax.types import Player, System, TrainState

TORCH = "experiments.benchmarks.torch_peers"
torch_peers: Any = importlib.import_module(TORCH) if importlib.util.find_spec("torch") else None

Precision = Literal["float32", "bfloat16"]


class Game(NamedTuple):
    """A game to time.

    Attributes:
        experiment: Module in experiments/.
        shape: Shape of one example.
        changes: Fields of the config that differ from the defaults.
        goals: Targets for the ratio to PyTorch's fastest way on a CPU, ascending.
    """

    experiment: str
    shape: tuple[int, ...]
    changes: dict[str, Any]
    goals: tuple[float, ...] = ()


_DCGAN = {"batch_size": 64, "g_width": 64, "d_width": 64}
_WGAN = {"batch_size": 64, "network": "resnet"}
GAMES = {
    "toy": Game("dcgan", (2,), {"batch_size": 256, "latent_size": 2, "d_width": 32}, (1.8, 2.0)),  # points: no dcgan
    "mlp_gan": Game("mlp_gan", (28, 28, 1), {"batch_size": 32}, (1.5, 2.0)),
    "dcgan 28": Game("dcgan", (28, 28, 1), _DCGAN, (0.85, 1.0)),
    "dcgan 32": Game("dcgan", (32, 32, 3), _DCGAN, (0.85, 1.0)),
    "dcgan 64": Game("dcgan", (64, 64, 3), _DCGAN, (0.85, 1.0)),
    "wgan_gp 32": Game("wgan_gp", (32, 32, 3), _WGAN | {"g_width": 32, "d_width": 32}, (1.0,)),
    "wgan_gp 32 wide": Game("wgan_gp", (32, 32, 3), _WGAN | {"g_width": 128, "d_width": 128}),  # the paper's
}
GPU_GOALS = {"eager": (1.5,), "channels_last": (1.5,), "compiled": (1.2,), "graphs": (1.2,)}


def main(
    games: tuple[str, ...] = tuple(GAMES)[:-1],
    precisions: tuple[Precision, ...] = ("float32",),
    rounds: int = 7,
    seconds: float = 2.0,
    out: Path = Path("runs/peers.json"),
) -> None:
    """Times games, and prints and writes a table.

    Args:
        games: Names in `GAMES`; by default all but the last, which takes minutes on a CPU.
        precisions: Precisions of each game; bfloat16 is meant for GPUs.
        rounds: Turns of each way.
        seconds: Approximate length of one turn, which has at least one iteration.
        out: The JSON file.
    """
    if unknown := sorted(set(games) - set(GAMES)):
        raise UserError(f"games: unknown {', '.join(unknown)}; choose from {', '.join(GAMES)}")
    with tempfile.TemporaryDirectory() as empty:
        # the processes share the GPU, and each compiles its programs anew
        os.environ |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_ENABLE_COMPILATION_CACHE": "false"}
        os.environ |= {"TORCHINDUCTOR_CACHE_DIR": empty}
        peaks = {precision: _peak(precision) for precision in precisions}
        rows = [_row(game, p, peaks[p], rounds, seconds) for game in games for p in precisions]
    record = {"rows": rows, "rounds": rounds, "peak_gflops": {name: round(x / 1e9) for name, x in peaks.items()}}
    record |= {"torch": torch_peers and torch_peers.torch.__version__, "platform": jax.default_backend()}
    record |= {"environment": records.environment()}
    write_json(out, record)
    titles, *lines = _cells(record)
    table = Table(*titles)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    if torch_peers is None:
        print("torch is not installed, so only gan_jax was timed; to compare, pip install torch")


def markdown(record: dict[str, Any]) -> str:
    """Returns the Markdown table, as in README.md."""
    titles, *lines = _cells(record)
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---"] * len(titles), *lines))


def start(way: str, game: str, precision: Precision) -> Run:
    """Starts a game in one of the ways; returns the function that makes a number of iterations."""
    random, shape = np.random.default_rng(0), GAMES[game].shape
    size = (4096, *shape)
    images = len(shape) == 3
    examples = random.integers(0, 256, size, np.uint8) if images else random.standard_normal(size, np.float32)
    config, system = build(game, precision)
    if way != "gan_jax":
        return torch_peers.start(GAMES[game].experiment, config, examples, way, precision)
    key, device = rng.key(0), jax.local_devices()[:1]
    draw = data.batches(len(examples), config.batch_size, system.batches)
    iterate = looped(system, draw, parallel.replicate(({"image": examples}, key), device))
    held = [parallel.replicate(system.init(key), device)]

    def run(count: int) -> None:
        held[0] = jax.block_until_ready(iterate(held[0], count))

    return run


def build(game: str, precision: Precision = "float32") -> tuple[Any, System]:
    """Returns a game's config, and its experiment's system."""
    module = importlib.import_module(f"experiments.{GAMES[game].experiment}")
    changes = GAMES[game].changes | ({"precision": precision} if precision != "float32" else {})
    config = dataclasses.replace(module.Config(), **changes)
    kind = kinds.points if game == "toy" else kinds.image
    return config, module.build(config, Spec(GAMES[game].shape, 0, kind=kind))


def iteration_flops(game: str) -> float:
    """Counts the FLOPs of an iteration's updates by XLA's analysis, with XLA's convolutions on any platform.

    Metrics, random draws and the average are left out.
    """
    config, system = build(game)
    state = jax.eval_shape(system.init, rng.key(0))
    batch = {"image": jax.ShapeDtypeStruct((config.batch_size, *GAMES[game].shape), jnp.float32)}

    def once(player: Player) -> float:
        def move(*arguments: Any) -> TrainState:
            with native():
                return rules.descend(player)(*arguments)[0]

        return jax.jit(move).lower(state, batch, rng.key(0)).cost_analysis()["flops"]  # pyright: ignore[reportOptionalSubscript]

    # update by update, as XLA counts the body of a loop once
    return sum(once(player) * (config.d_steps if player.name == "discriminator" else 1) for player in system.players)


def ratios(speeds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Returns ratios of gan_jax's speed to each other way's, and to each round's fastest: median, least and most."""
    others = {way: np.array(each) for way, each in speeds.items() if way != "gan_jax"}
    if others:
        others["fastest"] = np.max(list(others.values()), axis=0)
    quotients = {way: np.array(speeds["gan_jax"]) / each for way, each in others.items()}
    return {way: [round(float(f(x)), 2) for f in (np.median, np.min, np.max)] for way, x in quotients.items()}


def _row(game: str, precision: Precision, peak: float, rounds: int, seconds: float) -> dict[str, Any]:
    torch_ways = torch_peers.ways(GAMES[game].experiment, GAMES[game].shape) if torch_peers else []
    racers = {way: enter(start, way, game, precision) for way in ("gan_jax", *torch_ways)}
    if why := racers["gan_jax"].costs.get("failed"):
        raise UserError(f"{game}: gan_jax failed: {why}")
    speeds = race({way: racer for way, racer in racers.items() if "failed" not in racer.costs}, rounds, seconds)
    config, flops = build(game)[0], iteration_flops(game)
    ways = {way: racer.costs for way, racer in racers.items()}
    for way, each in speeds.items():
        speed = float(np.median(each))
        ways[way] |= {"speed": round(speed * config.batch_size), "share": round(speed * flops / peak, 3)}
    row = {"game": game, "precision": precision, "config": records.fields(config), "gflop": round(flops / 1e9, 3)}
    return row | {"ways": ways, "ratios": ratios(speeds)}


def _peak(precision: Precision) -> float:
    """Returns the peak FLOP/s: the best of several products of large matrices."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    racers = {way: enter(_products, way, size, precision) for way in ("gan_jax", *["eager"] * bool(torch_peers))}
    return 2 * size**3 * max(max(each) for each in race(racers, rounds=10, seconds=0.1).values())


def _products(way: str, size: int, precision: Precision) -> Run:
    if way != "gan_jax":
        return torch_peers.products(size, precision)
    x, product = jax.random.normal(rng.key(0), (size, size), precision), jax.jit(jnp.matmul)
    return lambda count: jax.block_until_ready([product(x, x) for _ in range(count)])


def _cells(record: dict[str, Any]) -> list[list[str]]:
    """Returns the table's head, and a row for each way of each game."""
    lines = [["game", "batch", "way", "images/s", "share of peak", "MB", "compile, s", "gan_jax speed-up", "goals"]]
    for row in record["rows"]:
        name, compared = row["game"] + " bfloat16" * (row["precision"] == "bfloat16"), row["ratios"]
        for way in (*row["ways"], *["fastest"] * ("fastest" in compared)):
            result, spread = row["ways"].get(way, {}), compared.get(way)
            figures = [result.get("failed", ""), "", "", ""]
            if "speed" in result:
                figures = [f"{result['speed']:,}", f"{result['share']:.0%}", f"{result['megabytes']:,}"]
                figures += [f"{result['compiling']:.1f}"]
            ratio = "{:.2f} ({:.2f} to {:.2f})".format(*spread) if spread else ""
            of_cpu = {"fastest": GAMES[row["game"]].goals}
            asked = (of_cpu if record["platform"] == "cpu" else GPU_GOALS).get(way, ()) if spread else ()
            goals = ", ".join(f"{goal} {'met' if spread[0] >= goal else 'missed'}" for goal in asked)
            lines.append([name, str(row["config"]["batch_size"]), way, *figures, ratio, goals])
    return lines


if __name__ == "__main__":
    cli(main, __doc__)
