"""The games of the benchmark against PyTorch are the same games: as many parameters, equal outputs, losses and moves.

The comparison with PyTorch is skipped where torch is missing: `pip install torch`.
"""

import dataclasses
import itertools
import json
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import peers, turns
from experiments.benchmarks.peers import GAMES
from gan_jax import losses, optimizers

NAMES = {"Linear": "Dense", "Conv2d": "Conv", "ConvTranspose2d": "ConvTranspose"}
NAMES |= {"BatchNorm1d": "BatchNorm", "BatchNorm2d": "BatchNorm"}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed, with which gan_jax is compared")


@pytest.fixture
def torch_peers(torch) -> Any:
    return peers.torch_peers


def theirs(torch_peers, game):
    """PyTorch's networks of a game."""
    shape = GAMES[game].shape
    return torch_peers.networks(GAMES[game].experiment, peers.build(game)[0], (*shape[2:], *shape[:2]))


def ours(game):
    """Networks of a game, parameters, all of them drawn at random, and statistics."""
    system, draw = peers.build(game)[1], np.random.default_rng(0)
    state = system.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.1 * draw.standard_normal(p.shape, np.float32), state.params)
    return system.networks, params, state.stats


def carry(params, network: Any):
    """Copies parameters of Flax modules to PyTorch's, in the order of their kinds; maps become CHW."""
    modules = [module for module in network.modules() if not list(module.children())]
    counts, channels = dict.fromkeys(NAMES.values(), 0), 0
    for module, following in zip(modules, [*modules[1:], network], strict=True):
        if (kind := NAMES.get(type(module).__name__)) is None:
            continue
        found = params[f"{kind}_{counts[kind]}"]
        counts[kind] += 1
        weight = np.asarray(found["scale" if kind == "BatchNorm" else "kernel"])
        bias = np.asarray(found["bias"]) if "bias" in found else None
        if kind == "Conv":
            weight, channels = weight.transpose(3, 2, 0, 1), weight.shape[3]
        elif kind == "ConvTranspose":
            weight = weight[::-1, ::-1].transpose(2, 3, 0, 1)
        elif kind == "Dense" and type(following).__name__ == "Unflatten" and len(following.unflattened_size) == 3:
            out = np.arange(weight.shape[1]).reshape(-1, following.unflattened_size[0]).T.reshape(-1)
            weight, bias = weight[:, out].T, None if bias is None else bias[out]
        elif kind == "Dense":
            rows = np.arange(len(weight)).reshape(-1, channels or 1).T.reshape(-1)
            weight = weight[rows].T
        for own, value in (("weight", weight), ("bias", bias)):
            if value is not None:
                getattr(module, own).data.copy_(getattr(module, own).data.new_tensor(np.ascontiguousarray(value)))
    assert sum(counts.values()) == len(params)


def played(torch, torch_peers, game, batch=4):
    """What a game needs, with equal parameters: networks of both, and latents and real examples of both."""
    networks, params, stats = ours(game)
    peer = theirs(torch_peers, game)
    for name, network in peer.items():
        carry(params[name], network)
    draw, shape = np.random.default_rng(1), GAMES[game].shape
    latents = draw.standard_normal((batch, peers.build(game)[0].latent_size), np.float32)
    real = np.clip(draw.standard_normal((batch, *shape), np.float32), -1, 1)

    def apply(name, x):
        return networks[name].apply(params[name], stats[name], x, train=True)[0]

    return apply, peer, (latents, real), (torch.tensor(latents), torch.tensor(np.moveaxis(real, -1, 1)))


@pytest.mark.parametrize("game", GAMES)
def test_networks_have_as_many_parameters(torch_peers, game):
    state = jax.eval_shape(peers.build(game)[1].init, jax.random.key(0))
    for name, network in theirs(torch_peers, game).items():
        count = sum(p.numel() for p in network.parameters())
        assert count == sum(p.size for p in jax.tree.leaves(state.params[name])), name


@pytest.mark.slow
@pytest.mark.parametrize("game", [game for game in GAMES if not game.endswith("wide")])
def test_equal_parameters_give_equal_samples_logits_and_losses(torch, torch_peers, game, monkeypatch):
    apply, peer, (latents, real), (torch_latents, torch_real) = played(torch, torch_peers, game)
    fake, torch_fake = apply("generator", latents), peer["generator"](torch_latents)
    np.testing.assert_allclose(np.moveaxis(torch_fake.detach().numpy(), 1, -1), fake, rtol=1e-3, atol=1e-4)
    logits = {"real": apply("discriminator", real), "fake": apply("discriminator", fake)}
    np.testing.assert_allclose(peer["discriminator"](torch_real).detach(), logits["real"], rtol=1e-3, atol=1e-3)

    monkeypatch.setattr(torch, "rand", torch.ones)  # the penalty is taken at the real examples
    residual = GAMES[game].experiment == "wgan_gp"
    loss = losses.wasserstein() if residual else losses.non_saturating()
    slopes = jax.grad(lambda x: apply("discriminator", x).sum())(jnp.asarray(real)) if residual else None
    penalty = 0 if slopes is None else 10 * np.mean((np.linalg.norm(slopes.reshape(len(real), -1), axis=1) - 1) ** 2)
    wanted = loss.discriminator(logits["real"], logits["fake"]).mean() + penalty
    objectives = torch_peers.objectives(GAMES[game].experiment, **peer)
    np.testing.assert_allclose(objectives["discriminator"](torch_latents, torch_real).item(), wanted, rtol=1e-3)
    wanted = loss.generator(logits["real"], logits["fake"]).mean()
    np.testing.assert_allclose(objectives["generator"](torch_latents).item(), wanted, rtol=1e-3, atol=1e-3)


def test_the_penalty_reaches_the_critics_parameters(torch, torch_peers):
    _, peer, _, (latents, real) = played(torch, torch_peers, "wgan_gp 32", batch=2)
    loss = torch_peers.objectives("wgan_gp", **peer)["discriminator"](latents, real)
    loss.backward()
    kernel = next(peer["discriminator"].parameters())
    whole = kernel.grad.clone()
    kernel.grad = None
    with torch.no_grad():
        fake = peer["generator"](latents)
    (peer["discriminator"](fake).mean() - peer["discriminator"](real).mean()).backward()
    assert (whole - kernel.grad).norm() > 0.1 * whole.norm()


@pytest.mark.parametrize("game", ["toy", "mlp_gan", "wgan_gp 32"])
def test_optimisers_move_alike(torch, torch_peers, game):
    config, system = peers.build(game)
    slopes = np.random.default_rng(0).standard_normal((3, 5), np.float32)
    for player in system.players:
        module = torch.nn.Linear(5, 1, bias=False)
        x: Any = jnp.asarray(module.weight.detach().numpy()[0])
        optimizer, state = (
            torch_peers.adam(GAMES[game].experiment, config, player.name, module),
            player.optimizer.init(x),
        )
        for slope in slopes:
            module.weight.grad = torch.tensor(slope)[None]
            optimizer.step()
            x, state = optimizers.moved(player.optimizer, jnp.asarray(slope), state, x, 0)
        np.testing.assert_allclose(module.weight.detach()[0], x, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("game", "way", "precision"),
    [
        ("toy", "one_thread", "float32"),
        ("mlp_gan", "eager", "bfloat16"),
        ("dcgan 28", "channels_last", "bfloat16"),
        ("wgan_gp 32", "channels_last", "float32"),
    ],
)
def test_players_make_as_many_moves(torch_peers, game, way, precision, monkeypatch):
    experiment, shape, *_ = GAMES[game]
    config = dataclasses.replace(peers.build(game)[0], batch_size=2)
    made, adam = {}, torch_peers.adam
    monkeypatch.setattr(torch_peers, "adam", lambda *all: made.setdefault(all[2], adam(*all)))
    examples = np.zeros((8, *shape), np.uint8 if len(shape) == 3 else np.float32)
    torch_peers.start(experiment, config, examples, way, precision)(2)
    moves = {name: {int(each["step"]) for each in made[name].state.values()} for name in made}
    assert moves == {"discriminator": {2 * config.d_steps}, "generator": {2}}


def test_flops_are_those_of_the_products():
    layers = {"generator": (100, 256, 512, 1024, 784), "discriminator": (784, 512, 256, 1)}
    sizes = {name: sum(a * b for a, b in itertools.pairwise(each)) for name, each in layers.items()}
    g, d, first_g, first_d = sizes["generator"], sizes["discriminator"], 100 * 256, 784 * 512
    # forward; gradients of weights; gradients of inputs, which the first layer of who moves needs not
    critic = g + 2 * d + 2 * d + 2 * (d - first_d)
    generator = (g + d) + g + (d + g - first_g)
    wanted = 2 * 32 * (critic + generator)
    assert wanted <= peers.iteration_flops("mlp_gan") < 1.1 * wanted  # Adam


def test_a_ratio_is_taken_in_each_round():
    found = peers.ratios({"gan_jax": [2.0, 4.0], "eager": [1.0, 1.0], "compiled": [2.0, 0.5]})
    assert found == {"eager": [3, 2, 4], "compiled": [4.5, 1, 8], "fastest": [2.5, 1, 4]}
    assert peers.ratios({"gan_jax": [1.0]}) == {}


def test_the_table_says_what_is_met_missed_and_failed():
    figures = {"speed": 1000, "share": 0.25, "megabytes": 300, "compiling": 1.0}
    ways = {"gan_jax": figures, "eager": figures | {"speed": 1100}, "compiled": {"failed": "RuntimeError: no compiler"}}
    row = {"game": "dcgan 28", "precision": "bfloat16", "config": {"batch_size": 64}, "ways": ways}
    row |= {"ratios": {"eager": [0.9, 0.8, 1.6], "fastest": [0.9, 0.8, 1.6]}}
    table = peers.markdown({"rows": [row], "platform": "cpu"})
    assert "| dcgan 28 bfloat16 | 64 | eager | 1,100 | 25% | 300 | 1.0 | 0.90 (0.80 to 1.60) |  |" in table
    assert "| fastest |  |  |  |  | 0.90 (0.80 to 1.60) | 0.85 met, 1.0 missed |" in table
    assert "| compiled | RuntimeError: no compiler |  |  |  |  |  |" in table
    assert "| 0.90 (0.80 to 1.60) | 1.5 missed |" in peers.markdown({"rows": [row], "platform": "gpu"})


def sleeper(seconds):
    if seconds < 0:
        raise ValueError("seconds: they are\nnegative")
    return lambda count: time.sleep(count * seconds)


@pytest.mark.slow
def test_racers_are_timed_by_themselves_and_may_fail():
    racers = {"slow": turns.enter(sleeper, 0.02), "fast": turns.enter(sleeper, 0.01)}
    assert set(racers["slow"].costs) == {"megabytes", "compiling"}
    speeds = turns.race(racers, rounds=3, seconds=0.1)
    assert [len(each) for each in speeds.values()] == [3, 3]
    assert max(speeds["slow"]) <= 50 and max(speeds["fast"]) <= 100 and min(speeds["fast"]) > 10
    assert turns.enter(sleeper, -1).costs == {"failed": "ValueError: seconds: they are"}


@pytest.mark.slow
def test_without_torch_gan_jax_is_measured_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "torch_peers", None)
    peers.main(("toy",), rounds=1, seconds=0.01, out=tmp_path / "peers.json")
    (row,) = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert set(row["ways"]) == {"gan_jax"} and row["ratios"] == {}
    assert row["ways"]["gan_jax"]["speed"] > 0 and row["ways"]["gan_jax"]["megabytes"] > 0
    assert "pip install torch" in capsys.readouterr().out


def test_a_game_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="games: unknown chess; choose from toy, mlp_gan"):
        peers.main(("chess",))
