"""Semi-supervised GAN (Salimans et al. 2016, arXiv:1606.03498): a classifier learns from ten labels per class.

    for each iteration, with labelled examples (x', y), unlabelled ones x, K classes, and a (K + 1)-th, fake:
        D minimises -log p(y | x', real) - log p(real | x) - log p(fake | G(z))
        G minimises |E f(x) - E f(G(z))|^2, with f the last hidden layer of D

`--dataset few:10:0:mnist` keeps 10 labels per class, by draw number 0, and hides all others. `--preset mnist` has the
settings of the authors' code, for 300 epochs. No flag sets the rest: images in [0, 1], where the same noise of 0.3 is
twice as strong as here; a generator of softplus units, with sigmoid and weight norm at its output; weight norm in D,
whose hidden scales are initialised from data and then fixed. Samples and predicted classes come from averaged weights
of G and D; the paper averages D's alone.

What to expect: 3 draws of 100 labels of mnist, 18,000 iterations, 22.9 (22.7 to 23.5) minutes on 1 CPU core: 153 (144
to 241) of 10,000 test images wrong; trained on the labels alone, 2455 (2427 to 2690).
"""

from dataclasses import dataclass

import jax.numpy as jnp

from gan_jax import baseline, loop, losses, rules, terms
from gan_jax.cli import cli
from gan_jax.data import Spec
from gan_jax.errors import UserError
from gan_jax.game import Game
from gan_jax.networks import mlp
from gan_jax.networks.semi_supervised import Classifier
from gan_jax.types import GanLoss, System


@dataclass(frozen=True)
class Config(baseline.Adam, baseline.Latents, baseline.Common):
    """Fully connected networks for data of few labels; D is the classifier."""

    dataset: str = "few:10:0:digits"
    supervised: float = 1.0
    """Weight of the classification loss on labelled examples."""
    unsupervised: float = 1.0
    """Weight of the real-or-fake loss; with 0 the classifier learns from the labels alone."""
    feature_matching: float = 1.0
    """Weight of feature matching, the generator's only loss."""
    batch_size: int = 100
    """Unlabelled examples per batch, over all devices, and as many labelled ones."""
    latent_size: int = 100
    d_learning_rate: float = 1e-3


PRESETS = {
    # openai/improved-gan, mnist_svhn_cifar10/train_mnist_feature_matching.py
    "mnist": Config(
        dataset="few:10:0:mnist",
        batch_size=100,
        unsupervised=0.5,
        latent_size=100,
        latent="uniform",
        g_learning_rate=3e-3,
        d_learning_rate=3e-3,
        beta1=0.5,
        beta2=0.999,
        ema_decay=0.9999,
        run=loop.Run(steps=180_000, sample_every=1_000),
    )
}


def build(config: Config, spec: Spec) -> System:
    """Assembles a generator and a classifier, whose logits of K classes also tell real from fake."""
    if not spec.few_labels:
        raise UserError(
            f"dataset={config.dataset}: ssgan needs a data set with few labels; give few:10:0:{config.dataset}, which "
            "keeps 10 per class"
        )
    networks = {
        "generator": baseline.network(config, mlp.Generator(spec.shape, (500, 500)), (config.latent_size,)),
        "discriminator": baseline.network(config, Classifier(spec.classes), spec.shape),
    }
    real_or_fake, weight = losses.non_saturating().discriminator, config.unsupervised
    loss = GanLoss(lambda real, fake: weight * real_or_fake(real, fake), lambda real, fake: jnp.zeros(len(fake)))
    game = Game(networks, loss, baseline.latent(config))
    players = [
        baseline.discriminator(config, game, [terms.few_labels(config.supervised)]),
        baseline.generator(config, game, [terms.feature_matching(config.feature_matching)]),
    ]
    return baseline.system(config, game, rules.alternating(players), averaged=["generator", "discriminator"])


def main(config: Config) -> None:
    """Trains the semi-supervised GAN."""
    baseline.train(build, config)


if __name__ == "__main__":
    cli(main, __doc__, presets=PRESETS)
