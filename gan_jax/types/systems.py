"""Latents, the options of a game, and the system assembled from it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gan_jax.types.networks import Network
from gan_jax.types.players import Player
from gan_jax.types.state import Array, Batch, PyTree, TrainState, Update


class Part(NamedTuple):
    """A named part of a latent: a label or a code.

    Attributes:
        name: Such as "label".
        start: Its first dimension in the latent.
        size: Its number of dimensions.
        categorical: Whether it is the one-hot vector of one of `size` classes; if not, each value is a separate code.
    """

    name: str
    start: int
    size: int
    categorical: bool


class Latent(NamedTuple):
    """A distribution of latents.

    Attributes:
        size: Number of dimensions.
        draw: `(keys [n], truncation=None) -> [n, size]`: latent i depends on key i alone.
        parts: Labels and codes among the dimensions; see `latents.joined`.
        name: What is drawn, in words, such as "standard normal".
    """

    size: int
    draw: Callable[..., Array]
    parts: tuple[Part, ...] = ()
    name: str = ""


Inputs = Callable[[Array, Batch], Array]  # (keys [b], batch) -> what the generator is given in training, [b, ...]

Condition = Callable[[TrainState, Batch, Array], tuple[tuple[Array, ...], tuple[Array, ...]]]
"""`(state, batch, generator inputs) -> (for real, for fake)`: the discriminator's further inputs, after the images."""

Refine = Callable[[Array, Array, Callable[[Array], Array]], Array]
"""`(latents [b, size], keys [b], score) -> latents`: latents for both players, where `score` maps latents to logits
`[b]`, averaged over patches, of their samples."""

Pseudo = Callable[[Array, Array, TrainState, Callable[[Array], Array]], Array]
"""`(real, keys [b], state, sample) -> examples [b, ...]`: what the discriminator is shown as real in its own move;
`sample` maps keys `[n]` to samples."""


Averaged = Callable[[dict[str, PyTree], Array], Array]
"""`(ema, inputs [n, ...]) -> outputs [n, ...]`: what averaged networks compute, in evaluation mode."""


class System(NamedTuple):
    """An assembled game, returned by an experiment's `build`: everything that training, sampling and scoring need.

    Attributes:
        init: `(key) -> TrainState`.
        begin: `(params, stats) -> TrainState`: the state in which networks with these parameters and statistics begin
            to train: averages are copies, optimisers and slots are new.
        update: One iteration of the game.
        batches: Leading axis of the update's batches, `[batches, B, ...]`; 1 means no such axis.
        networks: All networks, by name.
        players: All players.
        latent: Distribution of the latents to sample from; None for a system that does not sample.
        sample: Generator: latents `[n, size]` to examples as networks see them, such as images in [-1, 1]. None for a
            system that does not sample.
        encode: Encoder: examples to latents; None where there is none.
        translate: Translator: sources to examples; None where there is none.
        translate_back: The translator of the other direction: examples to sources; None where there is none.
        truncate: `(psi) -> sample` with truncation psi inside the generator: 1 for none, 0 for its mean sample. None
            for a generator whose latents are truncated when they are drawn.
    """

    init: Callable[[Array], TrainState]
    begin: Callable[[dict[str, PyTree], dict[str, PyTree]], TrainState]
    update: Update
    batches: int
    networks: Mapping[str, Network]
    players: tuple[Player, ...]
    latent: Latent | None = None
    sample: Averaged | None = None
    encode: Averaged | None = None
    translate: Averaged | None = None
    translate_back: Averaged | None = None
    truncate: Callable[[float], Averaged] | None = None
