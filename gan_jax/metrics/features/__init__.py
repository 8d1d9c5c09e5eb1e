"""Features of images, by which scores compare samples with real images.

A new kind of features is a function that returns `Features`: a pure function of images with a name and a fingerprint of
its weights. `function` makes features from any function of images, without new code. `classifier` and `pretrained` are
the classifiers of data sets; `inception` is the network of published scores, with its `resize` and `weights`. `lpips`
and `distance` are distances between two images, which path lengths use.
"""

from gan_jax.metrics.features.extraction import (
    BATCH,
    Features,
    Plan,
    Stream,
    extractor,
    function,
    of_classifier,
    of_data,
    of_samples,
    raw,
)

__all__ = [
    "BATCH",
    "Features",
    "Plan",
    "Stream",
    "extractor",
    "function",
    "of_classifier",
    "of_data",
    "of_samples",
    "raw",
]
