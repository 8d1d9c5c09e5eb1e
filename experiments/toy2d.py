"""Points in the plane: any loss, terms and rule on mixtures and curves of known density.

    all seeds at once, in one compiled call:
        for each iteration: update the players of a fully connected GAN by the rule
        at regular intervals: draw samples, and the discriminator's level sets and gradient

On ring and grid, modes are counted by the protocol of Srivastava et al. 2017, "VEEGAN" (arXiv:1705.07761), on 10,000
samples of the averaged generator: the number of modes with a sample within 3 standard deviations, the share of such
samples, and the KL divergence of all samples' nearest modes from uniform. On spiral, swiss_roll and moons only the
share is scored.

The run writes scores.json, and of the first seed the last picture and an animation. `experiments.loss_zoo` makes
tables.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.laboratory import MENU, Choice, networks, play, scores
from gan_jax import data, files, game, pictures, plots, rng
from gan_jax.cli import cli
from gan_jax.data import kinds
from gan_jax.errors import UserError
from gan_jax.types import System, TrainState


@dataclass(frozen=True)
class Config:
    """A game on points, and what is drawn of its first seed."""

    choice: Choice = field(default_factory=Choice)
    frames: int = 40
    """Maximum number of frames in the animation; the actual number is the largest divisor of steps up to this."""
    workdir: Path = Path("runs/toy2d")
    """Directory of the scores and pictures."""


def main(config: Config) -> None:
    """Trains and scores all seeds, and draws the first."""
    choice, dataset = config.choice, data.load(config.choice.dataset)
    if dataset.spec.kind != kinds.points:
        raise UserError(
            f"dataset={choice.dataset}: toy2d draws only points in the plane; give ring or grid, or use "
            "experiments.loss_zoo for images"
        )
    if config.frames < 1:
        raise UserError(f"frames={config.frames}: give at least 1")
    frames = max(n for n in range(1, min(config.frames, choice.steps) + 1) if choice.steps % n == 0)
    real = dataset.arrays["image"][:2048]
    limit = 1.2 * float(np.abs(real).max())
    axis, arrows = jnp.linspace(-limit, limit, 64), jnp.linspace(-limit, limit, 16)
    critic = networks(choice, dataset.spec)["discriminator"].apply

    def watch(system: System, state: TrainState) -> dict[str, Any]:
        def logit(points: jax.Array) -> jax.Array:
            params, stats = state.params["discriminator"], state.stats["discriminator"]
            return critic(params, stats, points, train=False)[0]["logits"]

        keys = rng.numbered(rng.key(0), 1024)
        latent, generate = game.sampler(system)
        fake = generate(state.ema, latent.draw(keys))
        plane, coarse = (jnp.stack(jnp.meshgrid(line, line), -1).reshape(-1, 2) for line in (axis, arrows))
        slope = jax.grad(lambda points: logit(points).sum())(coarse)
        return {"points": fake, "logits": logit(plane).reshape(64, 64), "gradient": slope.reshape(16, 16, 2)}

    print(
        f"{len(choice.seeds)} runs of {choice.steps:,} iterations on {choice.dataset}, in one compiled call", flush=True
    )
    system, last, watched = play(choice, watch, choice.steps // frames)
    results = scores(choice, system, last)
    for seed, line in zip(choice.seeds, results, strict=True):
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in line.items()))
    first = {name: np.asarray(x[0]) for name, x in watched.items()}
    drawn = [
        plots.field(points, real, np.asarray(axis), logits, gradient, limit)
        for points, logits, gradient in zip(first["points"], first["logits"], first["gradient"], strict=True)
    ]
    pictures.save_gif(config.workdir / "animation.gif", drawn)
    pictures.save_png(config.workdir / "samples.png", drawn[-1])
    files.write_json(config.workdir / "scores.json", {"choice": asdict(choice), "scores": results})
    print(f"done: open {config.workdir / 'animation.gif'}")


if __name__ == "__main__":
    cli(main, f"{__doc__}\n{MENU}")
