"""The games of `peers` in plain PyTorch, at its fastest settings. Needs torch.

Networks, losses, updates and optimisers are those of the experiments with the same config. The differences do not slow
PyTorch down: real batches are drawn with replacement rather than in epochs, initial values are PyTorch's, no metrics
are computed, and the discriminator's running moments, which are not used, are updated in every pass.
"""

# pyright: reportMissingImports=false

import itertools
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks.torch_networks import Shape, networks

Objective = Callable[..., torch.Tensor]


def ways(experiment: str, shape: Shape) -> list[str]:
    """Returns the ways of training that apply to a game on this machine; see `peers`."""
    convolves, cuda = experiment != "mlp_gan" and len(shape) == 3, torch.cuda.is_available()
    small = [] if convolves or cuda else ["one_thread"]
    return ["eager", *["channels_last"] * convolves, *small, "compiled", *["graphs"] * cuda]


def start(experiment: str, config: Any, examples: np.ndarray, way: str, precision: str) -> Callable[[int], None]:
    """Starts a game; returns the function that makes a further number of iterations, and waits for them.

    Args:
        experiment: The experiment of the game; see `torch_networks`.
        config: The experiment's config.
        examples: Images `[N, H, W, C]`, uint8, or points `[N, 2]`, float32.
        way: One of `ways`.
        precision: "float32", or "bfloat16" by autocast.
    """
    device = _set_up()
    if way == "one_thread":
        torch.set_num_threads(1)
    layout = torch.channels_last if examples.ndim == 4 and way != "eager" else torch.contiguous_format
    data = torch.from_numpy(examples).to(device)
    if examples.ndim == 4:
        data = data.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    players = networks(experiment, config, data.shape[1:])
    for network in players.values():
        network.to(device, memory_format=layout)
    losses = objectives(experiment, **players)
    if way in ("compiled", "graphs"):
        mode = "reduce-overhead" if way == "graphs" else None
        losses = {name: torch.compile(loss, dynamic=False, mode=mode) for name, loss in losses.items()}
    optimizers = {name: adam(experiment, config, name, network) for name, network in players.items()}
    current = [x for x in players["generator"].state_dict().values() if x.is_floating_point()]
    average = [x.clone() for x in current]
    steps = itertools.count()

    def real() -> torch.Tensor:
        rows = data[torch.randint(len(data), (config.batch_size,), device=device)]
        if rows.dtype != torch.uint8:
            return rows
        return rows.contiguous(memory_format=layout).float().sub_(127.5).div_(127.5)

    def move(name: str, *inputs: torch.Tensor) -> None:
        latents = torch.randn(config.batch_size, config.latent_size, device=device)
        optimizers[name].zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = losses[name](latents, *inputs)
        loss.backward()
        optimizers[name].step()

    def iterate() -> None:
        for _ in range(config.d_steps):
            move("discriminator", real())
        players["discriminator"].requires_grad_(False)  # its gradients would be computed but not used
        move("generator")
        players["discriminator"].requires_grad_(True)
        step = next(steps)
        torch._foreach_lerp_(average, current, 1 - min(config.ema_decay, (1 + step) / (10 + step)))

    def run(count: int) -> None:
        for _ in range(count):
            iterate()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def objectives(experiment: str, generator: nn.Module, discriminator: nn.Module) -> dict[str, Objective]:
    """Returns each player's loss: of the discriminator `(latents, real) -> loss`, of the generator `(latents) ->
    loss`."""

    def critic(x: torch.Tensor) -> torch.Tensor:
        return discriminator(x).float()  # under autocast logits are bfloat16

    def samples(latents: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return generator(latents)

    def cross_entropy(latents: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return functional.softplus(-critic(real)).mean() + functional.softplus(critic(samples(latents))).mean()

    def wasserstein(latents: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        fake = samples(latents)
        mix = torch.rand(len(real), 1, 1, 1, device=real.device)
        slopes = _slopes(critic, mix * real + (1 - mix) * fake)
        penalty = 10 * ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()
        return critic(fake).mean() - critic(real).mean() + penalty

    if experiment == "wgan_gp":
        return {"discriminator": wasserstein, "generator": lambda latents: -critic(generator(latents)).mean()}
    return {
        "discriminator": cross_entropy,
        "generator": lambda latents: functional.softplus(-critic(generator(latents))).mean(),
    }


def adam(experiment: str, config: Any, name: str, network: nn.Module) -> torch.optim.Adam:
    """Returns a player's optimiser, Adam in one fused kernel."""
    if experiment == "mlp_gan":
        rate, betas = config.learning_rate, (config.beta1, 0.999)
    else:
        rate, betas = getattr(config, f"{name[0]}_learning_rate"), (config.beta1, config.beta2)
    return torch.optim.Adam(network.parameters(), rate, betas, fused=True)


def products(size: int, precision: str) -> Callable[[int], None]:
    """Returns the function that multiplies square matrices of a size a number of times."""
    device = _set_up()
    x = torch.randn(size, size, device=device, dtype=getattr(torch, precision))

    def run(count: int) -> None:
        for _ in range(count):
            torch.mm(x, x)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def _set_up() -> Literal["cuda", "cpu"]:
    """Gives PyTorch JAX's settings: as many threads, TF32 if available, no denormals; returns the device."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_float32_matmul_precision("high")
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def _slopes(critic: Objective, x: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():  # torch.compile cannot differentiate autograd.grad again
        return torch.func.grad(lambda x: critic(x).sum())(x)
    x.requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]
