"""A table of this repository's scores next to the papers', for systems beyond the plain GAN.

Run by `python -m experiments.reproduce.papers`.

The numbers of this repository are read from the records in `experiments/results/`.
"""

import json
import math
from typing import Any, NamedTuple

from experiments.reproduce import running
from gan_jax.cli import cli


class Paper(NamedTuple):
    """A paper's entry in the table.

    Attributes:
        shows: What the system is known for.
        score: The score in the paper.
        difference: How the paper's protocol differs.
    """

    shows: str
    score: str
    difference: str


PAPERS = {
    "cgan": Paper(
        "images of a requested class",
        "log-likelihood of MNIST by Parzen windows: 132 ± 1.8",
        "no class accuracy in the paper; Parzen-window likelihood says little about samples (Theis et al. 2016)",
    ),
    "acgan": Paper(
        "the same, with a discriminator that classifies",
        "10.1% ± 2.0% of ImageNet samples in the requested class, by Inception; CIFAR-10 Inception score 8.25 ± 0.07",
        "1,000 classes at 128 pixels, 100 games of 10 classes each",
    ),
    "infogan": Paper(
        "classes found without labels",
        "mutual information of 2.30 nats; 5% error on MNIST",
        "networks 4 times as wide; the paper does not state the number of runs",
    ),
    "ssgan": Paper(
        "a classifier from 100 labels",
        "93 ± 6.5 errors on MNIST's 10,000 test images",
        "300 epochs, 30 here; 10 draws of labels",
    ),
    "bigan": Paper(
        "an encoder trained by the game itself",
        "97.4% nearest-neighbour accuracy on MNIST, by the encoder's last hidden layer; by its latents 92.1%, in the "
        "log of the authors' code",
        "fully connected networks; reconstructions were shown, not scored; the accuracy here is by the latents",
    ),
    "vae": Paper(
        "an encoder and a likelihood; blurred samples",
        "curves of the likelihood's bound on MNIST",
        "no score of samples was published",
    ),
    "pix2pix": Paper(
        "L1 and a conditional critic together",
        "labels to Cityscapes, pixel accuracy: 0.42 (L1), 0.57 (cGAN), 0.66 (both)",
        "256-pixel photographs, scored by a segmenter; here smaller networks, scored by the distance to one true "
        "partner, which favours L1",
    ),
    "cyclegan": Paper(
        "translation without pairs",
        "labels to Cityscapes, pixel accuracy: 0.22 (cycle), 0.51 (GAN), 0.52 (both)",
        "128-pixel photographs, scored by a segmenter",
    ),
}


def main() -> None:
    """Prints the table."""
    print(markdown())


def markdown() -> str:
    """Returns the Markdown table."""
    lines = ["| | shows | here | paper | how it differs |", "| --- |" + " --- |" * 4]
    for name, paper in PAPERS.items():
        lines.append(f"| `{name}` | {paper.shows} | {_here(name)} | {paper.score} | {paper.difference} |")
    return "\n".join(lines)


def _here(name: str) -> str:
    """Returns the recorded score of an experiment, as text."""
    if name in ("cgan", "acgan"):
        (record,) = [each for each in _record("conditional") if each["experiment"] == name]
        agreement = record["samples"]["agreement"]
        share, least = agreement["overall"][0], min(agreement["per_class"])
        return (
            f"{share:.1%} of samples in the requested class, {least:.1%} in the worst class ({record['data']['name']})"
        )
    if name == "infogan":
        rows = _record(name)["rows"]
        bound, wrong = [row["bound"] for row in rows], [1 - row["accuracy"] for row in rows]
        return (
            f"at least {running.spread(bound, '.2f')} nats of {math.log(10):.2f}; {running.spread(wrong, '.1%')} "
            f"error on MNIST, {len(rows)} runs"
        )
    if name == "ssgan":
        wrong = [row["semi-supervised"]["wrong"] for row in _record(name)["rows"]]
        return f"{running.spread(wrong, '.0f')} errors on MNIST's 10,000 test images, {len(wrong)} draws of labels"
    if name in ("bigan", "vae"):
        (row,) = [each for each in _record("inference")["rows"] if each["name"] == name]
        return (
            f"{row['neighbour']:.1%} nearest-neighbour accuracy on MNIST; L1 error of reconstructions "
            f"{row['l1']:.3f}; FID of samples {row['fid']:.2f}"
        )
    ways = {row["way"]: row["features"] for row in _record(name)["rows"]}
    far = ", ".join(f"{value:.3f} ({way})" for way, value in ways.items())
    return f"feature distance: {far}"


def _record(name: str) -> Any:
    return json.loads(running.RESULTS.joinpath(f"{name}.json").read_text())


if __name__ == "__main__":
    cli(main, __doc__)
