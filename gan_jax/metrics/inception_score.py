"""The Inception score: whether each sample has a clear class, and samples cover all classes evenly."""

import numpy as np

from gan_jax.errors import UserError
from gan_jax.metrics.estimate import Estimate, average
from gan_jax.metrics.statistics import Summary


def inception_score(fake: Summary) -> Estimate:
    """Returns the Inception score (Salimans et al. 2016, arXiv:1606.03498), in [1, K].

    exp(mean_x KL(p(y | x) || p(y))) of each group, averaged over the groups. The error is std / sqrt(groups); papers
    often quote the std. It rises with the size of a group: papers use 10 groups of 5,000.

    It ignores the data: one perfect image per class, repeated, has the best score, and a classifier of other classes
    than the data's says little (Barratt & Sharma 2018, arXiv:1801.01973).

    Args:
        fake: The samples, with probabilities.

    Raises:
        UserError: If there are no probabilities.
    """
    if not fake.mass.shape[1]:
        raise UserError("fake has no probabilities: summarise it with the features of a classifier")
    counts = np.array([group.count for group in fake.groups])
    share = fake.mass / counts[:, None]
    entropy = -np.sum(share * np.log(share, where=share > 0, out=np.zeros_like(share)), axis=1)
    return average(np.exp(fake.certainty / counts + entropy))
