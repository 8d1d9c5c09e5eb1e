"""A complete experiment on points in the plane, small enough to train within tests, also as a process of its own."""

from dataclasses import dataclass, field

import optax
from toy import points_game

from gan_jax import data, loop
from gan_jax.cli import cli


@dataclass(frozen=True)
class Config:
    batch_size: int = 16
    learning_rate: float = 1e-3
    seed: int = 0
    run: loop.Run = field(
        default_factory=lambda: loop.Run(steps=6, log_every=2, sample_every=3, save_every=2, devices=1)
    )


def build(config, spec):
    return points_game(optimizer=optax.adam(config.learning_rate))


def main(config: Config):
    return loop.run(build, data.load("ring"), config)


if __name__ == "__main__":
    cli(main)
