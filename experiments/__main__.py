"""Lists the experiments by family: `python -m experiments`."""

import ast
import re
from pathlib import Path

from gan_jax.cli import cli, listing

FAMILIES = {
    "basics": ("mlp_gan", "dcgan"),
    "losses": ("lsgan", "ebgan", "began", "bgan"),
    "critic regularisation": ("wgan", "wgan_gp", "dragan", "sngan", "principled"),
    "training, modes": (
        "improved_gan",
        "unrolled_gan",
        "pacgan",
        "mode_regularized_gan",
        "denoising_feature_matching",
        "stacked_mnist",
    ),
    "modern baseline": ("r3gan",),
    "small data": ("fastgan",),
    "mixtures": ("mix_gan", "adagan"),
    "labels, codes": ("cgan", "acgan", "infogan", "ssgan"),
    "encoders": ("bigan", "vae"),
    "styles": ("stylegan2",),
    "translation": ("pix2pix", "cyclegan"),
    "laboratory": ("toy2d", "loss_zoo"),
}
"""Family -> experiments, as in the index of README.md."""


def line(name: str) -> str:
    """Returns the first line of an experiment's docstring, without the paper; imports nothing."""
    text = ast.get_docstring(ast.parse((Path(__file__).parent / f"{name}.py").read_text()))
    return re.sub(r" \([^()]*\d{4}[^()]*\)", "", (text or "").split("\n")[0])


def main() -> None:
    """Lists the experiments by family."""
    for family, names in FAMILIES.items():
        print(f"{family}\n{listing((name, line(name)) for name in names)}\n")
    print("python -m experiments.NAME trains one, and with --help lists its settings")


if __name__ == "__main__":
    cli(main)
