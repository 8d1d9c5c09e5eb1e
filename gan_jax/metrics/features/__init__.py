"""Features of images, by which scores compare samples with real images.

A new kind of features is a function that returns `Features`: a pure function of images with a name and a fingerprint of
its weights. Without new code, `function` makes features of any function of images. `classifier` and `pretrained` are
the classifiers of data sets, `inception` is the network of published scores; `resize` and `weights` serve it.
"""

from gan_jax.metrics.features.extraction import (
    BATCH,
    Features,
    Stream,
    extractor,
    function,
    of_classifier,
    of_data,
    pixels,
    round8,
)

__all__ = [
    "BATCH",
    "Features",
    "Stream",
    "extractor",
    "function",
    "of_classifier",
    "of_data",
    "pixels",
    "round8",
]
