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
        "an image of the class asked for",
        "log-likelihood of MNIST by Parzen windows 132 ± 1.8",
        "no share of classes was published; likelihood by windows says little of samples (Theis et al. 2016)",
    ),
    "acgan": Paper(
        "the same by a discriminator that names classes",
        "10.1% ± 2.0% of samples in their class of ImageNet, by Inception; 8.25 ± 0.07 Inception score on CIFAR-10",
        "1,000 classes at 128 pixels, 100 games of 10 classes each",
    ),
    "infogan": Paper(
        "classes found without labels",
        "mutual information of 2.30 nats; 5% of MNIST taken for another digit",
        "networks 4 times as wide; the paper does not say of how many runs",
    ),
    "ssgan": Paper(
        "a classifier from 100 labels",
        "93 ± 6.5 of MNIST's 10,000 test images wrong",
        "300 epochs, of which these runs make 30; 10 draws of labels",
    ),
    "bigan": Paper(
        "an encoder that the game itself teaches",
        "97.4% of MNIST by the nearest neighbour's class, of the encoder's last hidden layer; of its latents 92.1% in "
        "the log of the authors' code",
        "fully connected networks; reconstructions were shown, not scored; the figure here is of the latents",
    ),
    "vae": Paper(
        "an encoder and a likelihood, samples that blur",
        "curves of the likelihood's bound on MNIST",
        "no score of samples was published",
    ),
    "pix2pix": Paper(
        "L1 and a conditional critic together",
        "labels to Cityscapes: 0.42 (L1), 0.57 (cGAN), 0.66 (both) of pixels told rightly from the result",
        "photographs of 256 pixels, judged by a segmenter; here a small network's distance to one true partner, which "
        "L1 suits",
    ),
    "cyclegan": Paper(
        "translation without pairs",
        "labels to Cityscapes: 0.22 (cycle), 0.51 (GAN), 0.52 (both) of pixels told rightly from the result",
        "photographs of 128 pixels, judged by a segmenter",
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
        return f"{share:.1%} of samples in their class, {least:.1%} in the worst ({record['data']['name']})"
    if name == "infogan":
        rows = _record(name)["rows"]
        bound, wrong = [row["bound"] for row in rows], [1 - row["accuracy"] for row in rows]
        return (
            f"at least {running.spread(bound, '.2f')} nats of {math.log(10):.2f}; {running.spread(wrong, '.1%')} of "
            f"MNIST taken for another digit, {len(rows)} runs"
        )
    if name == "ssgan":
        wrong = [row["semi-supervised"]["wrong"] for row in _record(name)["rows"]]
        return f"{running.spread(wrong, '.0f')} of MNIST's 10,000 test images wrong, {len(wrong)} draws of labels"
    if name in ("bigan", "vae"):
        (row,) = [each for each in _record("inference")["rows"] if each["name"] == name]
        return (
            f"{row['neighbour']:.1%} of MNIST by the nearest neighbour's class; reconstructions at an L1 of "
            f"{row['l1']:.3f}; FID of samples {row['fid']:.2f}"
        )
    ways = {row["way"]: row["features"] for row in _record(name)["rows"]}
    far = ", ".join(f"{value:.3f} ({way})" for way, value in ways.items())
    return f"distance by features: {far}"


def _record(name: str) -> Any:
    return json.loads(running.RESULTS.joinpath(f"{name}.json").read_text())


if __name__ == "__main__":
    cli(main, __doc__)
