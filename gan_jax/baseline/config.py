"""Configuration of the classic experiments, in groups: an experiment extends those that it uses.

Bases are listed last group first, as dataclasses collect fields from the last base on: `class Config(Widths, Common)`
has the common settings first. `GROUP` is the title under which `--help` shows the fields that a class introduces.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from gan_jax import latents, loop
from gan_jax.networks.layers.sides import MAX_WIDENING
from gan_jax.networks.wrappers import remat

Precision = Literal["float32", "bfloat16"]


def lasting(steps: int) -> Any:
    """Returns the `run` field of a config: this many iterations, logged every 100, with sample grids every 250."""
    return field(default_factory=lambda: loop.Run(steps=steps, log_every=100, sample_every=250))


@dataclass(frozen=True)
class Data:
    """The data set and its batches."""

    GROUP: ClassVar[str] = "data"
    dataset: str = "digits"
    """Data set: digits (included), a TFDS name such as fashion_mnist, a folder of images, hf:NAME from Hugging Face,
    tar:PATTERN, your own FILE.py:FUNCTION, or points in the plane such as ring or grid. For translation: edges:NAME,
    grey:NAME, inverted:NAME, recoloured:NAME or pairs:DIRECTORY:DIRECTORY, each with the prefix unpaired: to train
    without pairs. For semi-supervised learning: few:10:0:NAME, with 10 labels per class, draw number 0."""
    resolution: int | None = None
    """Side to resize images to, in pixels: for most networks 4, 5, 6 or 7 times a power of 2, from 8 to 1024, such as
    28, 32, 48, 64, 96, 128, 256 or 1024; an error names the nearest that fit."""
    batch_size: int = 32
    """Examples per batch, over all devices."""


@dataclass(frozen=True)
class Average:
    """The average of the generator's weights."""

    GROUP: ClassVar[str] = "optimiser"
    ema_decay: float = 0.999
    """Decay of the moving average of the generator, which draws the samples, in [0, 1); 0 for no averaging."""


@dataclass(frozen=True)
class Updates:
    """Gradient accumulation."""

    GROUP: ClassVar[str] = "optimiser"
    accumulate: int = 1
    """Gradient accumulation: number of batches averaged per update, one in memory at a time."""


@dataclass(frozen=True)
class Computation:
    """Precision and memory of the networks' computations."""

    GROUP: ClassVar[str] = "networks"
    precision: Precision = "float32"
    """Precision of the networks' computations; parameters, statistics and losses stay float32. bfloat16 is faster on
    accelerators."""
    activations: remat.Kept = "everything"
    """Activations kept for the backward pass: everything, the outputs of layers with weights, or nothing. Keeping less
    saves memory on accelerators and takes longer."""


@dataclass(frozen=True)
class Essentials(Computation, Updates, Data):
    """Data, batch size, precision, seed and run: settings of every experiment."""

    GROUP: ClassVar[str] = "run"
    seed: int = 0
    """Seed of all randomness."""
    run: loop.Run = lasting(11_000)


@dataclass(frozen=True)
class Common(Average, Essentials):
    """Settings of every experiment, and an average with constant decay."""


@dataclass(frozen=True)
class Latents:
    """The distribution of latents."""

    GROUP: ClassVar[str] = "networks"
    latent_size: int = 32
    """Dimensions of the generator's latent input."""
    latent: latents.Distribution = "normal"
    """Distribution of latents: normal; uniform on [0, 1]; or symmetric, uniform on [-1, 1] as in DCGAN's paper."""


@dataclass(frozen=True)
class Widths:
    """Widths of both networks."""

    GROUP: ClassVar[str] = "networks"
    g_width: int = 32
    """Channels of the generator's largest hidden map; doubled in each smaller map, except in residual networks. For
    points, each of two hidden layers has four times as many units."""
    d_width: int = 24
    """Channels of the discriminator's largest hidden map; the rest as for g_width."""


@dataclass(frozen=True)
class Widening(Widths):
    """Widths of networks whose smaller maps have more channels."""

    GROUP: ClassVar[str] = "networks"

    max_widening: int = MAX_WIDENING
    """Cap on the channels of a map, in multiples of g_width or d_width; images of side 64 reach the default."""


@dataclass(frozen=True)
class ResidualNetworks(Widths, Latents, Common):
    """Settings of the baseline's residual networks, whose maps have the same number of channels at every side."""


@dataclass(frozen=True)
class ConditionalNetworks(Widths, Latents, Common):
    """Settings of class-conditional residual networks, `networks.biggan`."""

    GROUP: ClassVar[str] = "networks"
    g_width: int = 6
    """Unit of the generator's channels: maps have 4 times as many for images below side 64, else 1 to 16 times."""
    d_width: int = 6
    """Unit of the discriminator's channels, as for g_width."""


@dataclass(frozen=True)
class Networks(Widening, Latents, Common):
    """Settings of the baseline's networks."""


@dataclass(frozen=True)
class Rates:
    """Initial learning rates of both players."""

    GROUP: ClassVar[str] = "optimiser"
    g_learning_rate: float = 1e-3
    """Learning rate of the generator."""
    d_learning_rate: float = 3e-4
    """Learning rate of the discriminator."""


@dataclass(frozen=True)
class Schedule:
    """Schedule of all learning rates."""

    GROUP: ClassVar[str] = "optimiser"
    decay_steps: int = 0
    """Iterations over which the learning rates decay to 0; 0 keeps them constant."""
    decay_start: int = 0
    """Iterations before the decay; needs decay_steps. In CycleGAN's paper, half of the run."""
    decay: Literal["linear", "cosine"] = "linear"
    """Shape of the decay: linear, or half a period of a cosine."""
    warm_up: int = 0
    """Iterations of linear warm-up of the learning rates; 0 for none."""


@dataclass(frozen=True)
class Betas:
    """Adam's decays."""

    GROUP: ClassVar[str] = "optimiser"
    beta1: float = 0.5
    """Adam's beta1, the decay of the average of gradients, in [0, 1)."""
    beta2: float = 0.99
    """Adam's beta2, the decay of the average of squared gradients, in [0, 1)."""


@dataclass(frozen=True)
class Adam(Betas, Schedule, Rates):
    """Adam for both players."""


@dataclass(frozen=True)
class Baseline(Adam, Networks):
    """Configuration of the classic experiments: the baseline's networks, trained by Adam."""
