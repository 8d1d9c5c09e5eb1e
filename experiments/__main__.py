"""Lists the experiments by family: `python -m experiments`."""

import ast
import re
from pathlib import Path

import tyro

from gan_jax.cli import cli, listing
from gan_jax.errors import NotFound, nearest

FAMILIES = {
    "basics": ("mlp_gan", "dcgan"),
    "image networks": ("progan", "stylegan2", "fastgan", "r3gan"),
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
    "mixtures": ("mix_gan", "adagan"),
    "labels, codes": ("cgan", "acgan", "projection_gan", "sagan", "biggan", "infogan", "ssgan"),
    "encoders": ("bigan", "vae"),
    "translation": ("pix2pix", "cyclegan"),
    "laboratory": ("toy2d", "loss_zoo"),
}
"""Family -> experiments, as in the index of README.md."""


def line(name: str) -> str:
    """Returns the first line of an experiment's docstring, without the paper; imports nothing."""
    text = ast.get_docstring(ast.parse((Path(__file__).parent / f"{name}.py").read_text()))
    return re.sub(r" \([^()]*\d{4}[^()]*\)", "", (text or "").split("\n")[0])


def main(name: tyro.conf.Positional[str] = "") -> None:
    """Lists the experiments by family.

    Args:
        name: An experiment, to list it alone.

    Raises:
        NotFound: If there is no such experiment.
    """
    known = [each for names in FAMILIES.values() for each in names]
    if name and name not in known:
        raise NotFound(f"{name}: there is no such experiment; leave the name out to list them.{nearest(name, known)}")
    for family, names in FAMILIES.items():
        if not name or name in names:
            print(f"{family}\n{listing((each, line(each)) for each in names if name in ('', each))}\n")
    print("python -m experiments.NAME trains one, and with --help lists its settings")


if __name__ == "__main__":
    cli(main)
