"""What scores look at: features of images, by a classifier, by Inception, or pixels themselves."""

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
