"""Options of the scoring commands, and checks of them."""

from dataclasses import dataclass
from pathlib import Path

from gan_jax.data import Dataset, Spec
from gan_jax.errors import UserError
from gan_jax.metrics import scoring
from gan_jax.metrics.features import Plan
from gan_jax.metrics.features.inception import Resize
from gan_jax.metrics.menu import Name
from gan_jax.metrics.scoring import FeatureName

DEFAULT: tuple[Name, ...] = ("fid", "kid", "precision", "recall", "density", "coverage")
WITH_CLASSES: tuple[Name, ...] = ("classes", "class_kl")  # default too, if a classifier of the data exists
MOST = 10_000  # samples of a run, by default


@dataclass(frozen=True)
class Request:
    """The scores to compute."""

    metrics: tuple[Name, ...] = ()
    """Metrics to compute; by default all but inception_score, uniform_kl, copying and sliced_wasserstein."""
    features: FeatureName | None = None
    """Features by which images are compared: the data set's own classifier, fitted once (the default); the Inception
    network of published scores; or pixels."""
    count: int | None = None
    """Number of samples; by default that of the real images, up to 10,000, or all images of a folder or file."""
    few: bool = False
    """Compute FID even from fewer images than features, where it is meaningless."""
    inception: Path | None = None
    """File of Inception's weights (pt_inception-2015-12-05-6726825d.pth, or .npz, .safetensors); by default downloaded
    once."""
    resize: Resize | None = None
    """Resizing of images for Inception: as in pytorch-fid (reference, the default), as in clean-fid (clean), or as in
    the original graph (tensorflow)."""


def require_consistent(request: Request) -> None:
    """Refuses flags that contradict each other.

    Raises:
        UserError: Naming the flag.
    """
    if request.features != "inception" and (request.inception or request.resize):
        raise UserError("--inception and --resize need Inception's features; give --features inception too")
    if request.few and request.metrics and "fid" not in request.metrics:
        raise UserError("--few applies only to fid; leave it out, or add fid to --metrics")


def planned(request: Request, name: str, spec: Spec, resolution: int | None, train: Dataset | None = None) -> Plan:
    """Returns the features asked for, not loaded yet; arguments and errors are those of `scoring.planned`."""
    resize = request.resize or "reference"
    return scoring.planned(request.features, name, spec, resolution, request.inception, resize, train)


def metrics_of(request: Request, plan: Plan) -> tuple[Name, ...]:
    """Returns the metrics asked for, or the default ones."""
    votes = plan.classes and request.features != "inception"
    return request.metrics or DEFAULT + (WITH_CLASSES if votes else ())
