"""The vocabulary: a system is a game of players over named networks; all that changes is one `TrainState`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from gan_jax.errors import UserError

Array = jax.Array
PyTree = Any
Batch = dict[str, Array]
Metrics = dict[str, Array]


def _opaque(*arguments: Any, **options: Any) -> Any:
    raise UserError("network: it is not made by `linen`, so its layers cannot be looked at; give it an `inspect`")


class Network(NamedTuple):
    """A network behind pure functions.

    Attributes:
        init: `(key) -> (params, stats)`: fresh parameters, and the running statistics of normalisation layers, {} if
            there are none.
        apply: `(params, stats, *inputs, train, key=None) -> (output, stats)`; with `train=False` the statistics are
            used and returned unchanged.
        batch_dependent: `() -> bool`: whether an example's output depends on the rest of its batch when training, as
            under batch normalisation. A function, as finding out costs one evaluation that few objectives need.
        inspect: `(params, stats, *inputs, edit=None) -> (output, layers)`: evaluates the network and returns what each
            of its layers gave, by path such as "ConvTranspose_0"; `edit(path, value) -> value` changes it on the way.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[PyTree, PyTree]]
    batch_dependent: Callable[[], bool]
    inspect: Callable[..., tuple[PyTree, dict[str, Array]]] = _opaque


class GanLoss(NamedTuple):
    """An adversarial loss: two pure functions of the logits of the global batch.

    Both see the logits of real and of fake examples, `[B, ...]` each, and return one value an example, `[B]`.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """All that changes while training; arrays only.

    Attributes:
        step: Iterations made, i32[]; moved by `rules.many` alone.
        params: Network name -> parameters.
        stats: Network name -> running statistics (batch norm's moments, spectral norm's vectors).
        opt_state: Player name -> optax state.
        ema: Network name -> averaged `{"params", "stats"}`.
        extra: Slot name -> what a method carries from step to step.
    """

    step: Array
    params: dict[str, PyTree]
    stats: dict[str, PyTree]
    opt_state: dict[str, PyTree]
    ema: dict[str, PyTree]
    extra: dict[str, PyTree]


class Aux(NamedTuple):
    """What an objective returns beside its loss: a change, never a whole state.

    Attributes:
        stats: Network name -> new statistics; the rule commits those of the networks that the player moves.
        extra: Slot name -> new value; global values only, equal on every device.
        metrics: Scalars, linear in the batch: the rule averages them over devices.
    """

    stats: dict[str, PyTree] = {}  # noqa: RUF012  a NamedTuple's default, never written to
    extra: dict[str, PyTree] = {}  # noqa: RUF012
    metrics: Metrics = {}  # noqa: RUF012


Objective = Callable[[TrainState, Batch, Array], tuple[Array, Aux]]
Update = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
Hook = Callable[[TrainState, Metrics, Array], tuple[TrainState, Metrics]]


Loss = GanLoss | Callable[[TrainState, Array], GanLoss]  # of the state and a key: losses that carry or draw something
Augment = Callable[[Array, Array, TrainState], Array]  # (images [b, ...], keys [b], state) -> images
Slots = Callable[[dict[str, PyTree]], dict[str, PyTree]]  # network name -> parameters, to first values of `extra`


def _no_networks(name: str, *inputs: Any) -> Any:
    raise UserError(f"a term applies the network {name!r}, and this context has none")


class Context(NamedTuple):
    """What a term may look at: one move of one player, on this device's rows of the batch.

    Attributes:
        real: Examples, `[b, ...]`.
        fake: The samples that the loss judges too, `[b, ...]`.
        latents: What they were made of, `[b, size]`.
        critic: `(images) -> logits`, through the same augmentation as the loss.
        generate: `(latents) -> images`, by the same parameters as `fake`.
        real_output: What the discriminator said of `real`: "logits", and whatever else it returns by name.
        fake_output: The same of `fake`.
        keys: One key an example, the term's own, `[b]`.
        state: Before the move.
        batch: The batch that `real` is of, with its labels and whatever else it holds.
        apply: `(network name, *inputs) -> output`: evaluates any network of the game, in training mode.
    """

    real: Array
    fake: Array
    latents: Array
    critic: Callable[[Array], Array]
    generate: Callable[[Array], Array]
    real_output: dict[str, PyTree]
    fake_output: dict[str, PyTree]
    keys: Array
    state: TrainState
    batch: Batch = {}  # noqa: RUF012  a NamedTuple's default, never written to
    apply: Callable[..., PyTree] = _no_networks


def no_slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Carries nothing."""
    return {}


class Term(NamedTuple):
    """A regularisation term, added to a player's loss.

    Attributes:
        name: Names the term's metric and its randomness, such as "r1"; no two of a player's terms share one.
        value: `(context) -> values`: `[b]`, one an example (or a logit), averaged over all of them; or `[]`, averaged
            over devices. What is not linear in the batch needs `parallel.gather` or `pmean` first. A term that carries
            something returns `(values, extra)`, new slot values, the same on every device.
        per_example: Names of the networks that it differentiates example by example. It is refused for one whose output
            for an example depends on the whole batch, where that derivative is not defined.
        slots: First values of the slots of `TrainState.extra` that it carries.
        player: Whose term it is, "" for anyone's: to others it would be a constant, or of the wrong sign.
    """

    name: str
    value: Callable[[Context], Any]
    per_example: tuple[str, ...] = ()
    slots: Slots = no_slots
    player: str = ""


class Controller(NamedTuple):
    """A hook that runs after the moves, and the slots of `TrainState.extra` that it carries.

    Attributes:
        name: Names its randomness; no two controllers of a game share one.
        hook: `(state, metrics, key) -> (state, metrics)`, after the moves.
        slots: First values of its slots.
    """

    name: str
    hook: Hook
    slots: Slots = no_slots


class Player(NamedTuple):
    """Who moves what, to lower what, and how.

    Attributes:
        name: Names the player's optimiser state, metrics and keys.
        networks: Names of the networks whose parameters it moves.
        objective: `(state, batch, key) -> (loss [], Aux)`; all but the player's own parameters is held constant.
        optimizer: One of `optimizers`, with its learning rate, or any optax gradient transformation.
        active: `(state) -> bool []`: whether it moves in this state; None means always. An inactive player's gradient
            and metrics are still computed, and still count where a rule lets players look at one another's gradients.
        batches: Batches whose mean gradient, taken one after another, makes a move; above 1 its moves eat leaves
            `[batches, B, ...]`. What looks at the whole batch, such as batch norm, sees one of them at a time.
    """

    name: str
    networks: tuple[str, ...]
    objective: Objective
    optimizer: Any  # an `optimizers.Optimizer`, or an optax.GradientTransformation
    active: Callable[[TrainState], Array] | None = None
    batches: int = 1


class Part(NamedTuple):
    """A part of a latent that means something: a label, a code.

    Attributes:
        name: Such as "label".
        start: Its first dimension.
        size: How many it has.
        categorical: Whether it is the one-hot vector of one of `size` classes; else each value is a code of its own.
    """

    name: str
    start: int
    size: int
    categorical: bool


class Latent(NamedTuple):
    """A distribution of latents.

    Attributes:
        size: Number of dimensions.
        draw: `(keys [n], truncation=None) -> [n, size]`: example i from key i alone.
        parts: Those that mean something; see `latents.joined`.
        given: `(keys [n], batch) -> inputs`: what the generator is given in training, where the batch has a say: its
            labels, or the images that it translates. None draws.
    """

    size: int
    draw: Callable[..., Array]
    parts: tuple[Part, ...] = ()
    given: Callable[[Array, Batch], Array] | None = None

    @property
    def translates(self) -> bool:
        """Whether these are not drawn, but the batch's sources; see `latents.source`."""
        return self.given is not None and not self.parts


Condition = Callable[[TrainState, Batch, Array], tuple[tuple[Array, ...], tuple[Array, ...]]]
"""`(state, batch, inputs of the generator) -> (beside real, beside fake)`: what a discriminator sees beside images."""


class System(NamedTuple):
    """What an experiment's `build` returns: all that training, sampling and scoring need.

    Attributes:
        init: `(key) -> TrainState`.
        update: One iteration of the game.
        batches: Leading axis of the batches that the update eats, `[batches, B, ...]`; 1 means no such axis.
        latent: Where samples come from.
        generate: `(ema, latents [n, size]) -> images [n, H, W, C]` in [-1, 1]: the averaged generator, evaluated.
            Where it translates it takes images.
        networks: All that play, by name.
        players: All that move; "discriminator" and "generator" in the games of `game.gan`.
        encode: `(ema, images) -> latents`, the way back, where there is one: for a translator, to images.
    """

    init: Callable[[Array], TrainState]
    update: Update
    batches: int
    latent: Latent
    generate: Callable[[dict[str, PyTree], Array], Array]
    networks: Mapping[str, Network]
    players: tuple[Player, ...]
    encode: Callable[[dict[str, PyTree], Array], Array] | None = None
