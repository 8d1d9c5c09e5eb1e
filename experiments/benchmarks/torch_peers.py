"""The games of `peers` in plain PyTorch, at its fastest settings. Needs torch.

Networks, losses, moves and optimisers are those of the experiments of the same config. What differs costs PyTorch
nothing: real batches are drawn with replacement rather than in epochs, initial values are its own, no metrics are kept,
and the discriminator's running moments, which no one reads, see every pass.
"""

# pyright: reportMissingImports=false

import itertools
import math
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gan_jax.networks.dcgan import SIDES
from gan_jax.networks.resnet import FIRST, LAST, PLAIN

Shape = tuple[int, ...]  # of one example; of images (C, H, W)
Objective = Callable[..., torch.Tensor]


def ways(experiment: str, shape: Shape) -> list[str]:
    """Returns the ways to play a game that make sense here; see `peers`."""
    convolves, cuda = experiment != "mlp_gan" and len(shape) == 3, torch.cuda.is_available()
    small = [] if convolves or cuda else ["one_thread"]
    return ["eager", *["channels_last"] * convolves, *small, "compiled", *["graphs"] * cuda]


def start(experiment: str, config: Any, examples: np.ndarray, way: str, precision: str) -> Callable[[int], None]:
    """Starts a game, and returns the function that makes some more iterations of it, and waits for them.

    Args:
        experiment: Whose game; see `networks`.
        config: Its config.
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
        players["discriminator"].requires_grad_(False)  # its gradients would be computed, and not used
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


def networks(experiment: str, config: Any, shape: Shape) -> dict[str, nn.Module]:
    """Returns "generator" and "discriminator" of an experiment: of mlp_gan, of dcgan, or wgan_gp's residual ones."""
    size = config.latent_size
    if experiment == "mlp_gan":
        generator, discriminator = mlp_generator(size, shape, (256, 512, 1024)), mlp_discriminator(shape, (512, 256))
    elif len(shape) == 1:
        generator = mlp_generator(size, shape, (4 * config.g_width,) * 2)
        discriminator = mlp_discriminator(shape, (4 * config.d_width,) * 2)
    else:
        residual = experiment == "wgan_gp"
        generator = (resnet_generator if residual else dcgan_generator)(size, shape, config.g_width)
        discriminator = (resnet_discriminator if residual else dcgan_discriminator)(shape, config.d_width)
    return {"generator": generator, "discriminator": discriminator}


def objectives(experiment: str, generator: nn.Module, discriminator: nn.Module) -> dict[str, Objective]:
    """Returns what each player descends: the discriminator `(latents, real) -> loss`, the generator `(latents)`."""

    def critic(x: torch.Tensor) -> torch.Tensor:
        return discriminator(x).float()  # under autocast it is not

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
    """Returns a player's optimiser, all of whose work is one fused kernel."""
    if experiment == "mlp_gan":
        rate, betas = config.learning_rate, (config.beta1, 0.999)
    else:
        rate, betas = getattr(config, f"{name[0]}_learning_rate"), (config.beta1, config.beta2)
    return torch.optim.Adam(network.parameters(), rate, betas, fused=True)


def mlp_generator(size: int, shape: Shape, widths: tuple[int, ...]) -> nn.Module:
    """Returns `mlp.Generator`: with batch norm and tanh for images, without for points."""
    image, layers = len(shape) == 3, []
    for before, width in itertools.pairwise((size, *widths)):
        layers += [nn.Linear(before, width), nn.LeakyReLU(0.2, inplace=True)]
        layers += [nn.BatchNorm1d(width, momentum=0.2)] * image
    layers += [nn.Linear(widths[-1], math.prod(shape)), *[nn.Tanh()] * image]
    return nn.Sequential(*layers, nn.Unflatten(1, shape))


def mlp_discriminator(shape: Shape, widths: tuple[int, ...]) -> nn.Module:
    """Returns `mlp.Discriminator` without norm."""
    layers = [nn.Flatten()]
    for before, width in itertools.pairwise((math.prod(shape), *widths)):
        layers += [nn.Linear(before, width), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))


def dcgan_generator(size: int, shape: Shape, width: int) -> nn.Module:
    """Returns `dcgan.Generator` with batch norm."""
    first, *sides = SIDES[shape[1]]
    width *= 2 ** (len(sides) - 1)
    layers = [nn.Linear(size, first * first * width, bias=False), nn.Unflatten(1, (width, first, first))]
    for side in sides[:-1]:
        layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(width, width // 2, _window(side), stride=2, padding=1, bias=False)]
        width //= 2
    last = nn.ConvTranspose2d(width, shape[0], _window(sides[-1]), stride=2, padding=1)
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), last, nn.Tanh())


def dcgan_discriminator(shape: Shape, width: int) -> nn.Module:
    """Returns `dcgan.Discriminator` with batch norm."""
    first, *sides = SIDES[shape[1]]
    layers, channels = [], shape[0]
    for depth, side in enumerate(reversed(sides)):
        layers += [nn.Conv2d(channels, width, _window(side), stride=2, padding=1, bias=depth == 0)]
        layers += [*[nn.BatchNorm2d(width)] * (depth > 0), nn.LeakyReLU(0.2, inplace=True)]
        channels, width = width, 2 * width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(first * first * channels, 1), nn.Flatten(0))


def resnet_generator(size: int, shape: Shape, width: int) -> nn.Module:
    """Returns `resnet.Generator` with batch norm."""
    first = FIRST[shape[1]]
    layers = [nn.Linear(size, first * first * width), nn.Unflatten(1, (width, first, first))]
    layers += [Block(width, width, "up", nn.BatchNorm2d) for _ in range(int(math.log2(shape[1] // first)))]
    last = nn.Conv2d(width, shape[0], 3, padding=1)
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True), last, nn.Tanh())


def resnet_discriminator(shape: Shape, width: int) -> nn.Module:
    """Returns `resnet.Discriminator` without norm."""
    halvings = math.ceil(math.log2(shape[1] / LAST))
    layers = [Block(shape[0], width, "down", rectified=False)]
    layers += [Block(width, width, "down") for _ in range(halvings - 1)]
    layers += [Block(width, width, "none") for _ in range(PLAIN)]
    pool = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(width, 1), nn.Flatten(0))


class Block(nn.Module):
    """A residual block of `resnet`; `rectified` is whether it begins with norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        width: int,
        resample: Literal["up", "down", "none"],
        norm: Callable[[int], nn.Module] = nn.Identity,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        self.before = nn.Sequential(norm(inputs), nn.ReLU()) if rectified else nn.Identity()
        double = nn.Upsample(scale_factor=2) if resample == "up" else nn.Identity()
        halve = nn.AvgPool2d(2) if resample == "down" else nn.Identity()
        first, second = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.convolve = nn.Sequential(double, first, norm(width), nn.ReLU(), second, halve)
        change = nn.Identity() if resample == "none" else nn.Conv2d(inputs, width, 1)
        self.shortcut = nn.Sequential(halve, change, double)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps `[b, inputs, h, w]` to `[b, width, h', w']`."""
        return self.convolve(self.before(x)) + self.shortcut(x)


def products(size: int, precision: str) -> Callable[[int], None]:
    """Returns the function that multiplies large square matrices so many times."""
    device = _set_up()
    x = torch.randn(size, size, device=device, dtype=getattr(torch, precision))

    def run(count: int) -> None:
        for _ in range(count):
            torch.mm(x, x)
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def _set_up() -> Literal["cuda", "cpu"]:
    """Gives PyTorch what JAX has: as many threads, TF32 where there is any, no denormals; returns the device."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_float32_matmul_precision("high")
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    return "cuda" if torch.cuda.is_available() else "cpu"


def _slopes(critic: Objective, x: torch.Tensor) -> torch.Tensor:
    if torch.compiler.is_compiling():  # which refuses to differentiate twice what autograd.grad gives
        return torch.func.grad(lambda x: critic(x).sum())(x)
    x.requires_grad_()
    return torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0]


def _window(side: int) -> int:
    return 3 if side % 2 else 4
