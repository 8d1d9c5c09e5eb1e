"""Shared types: a system is a game of players over named networks, and its whole state is one `TrainState`."""

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
    raise UserError("network: it was not built by `linen`, so its layers cannot be inspected; give it an `inspect`")


class Network(NamedTuple):
    """A neural network as pure functions.

    Attributes:
        init: `(key) -> (params, stats)`: initial parameters, and the running statistics of normalisation layers, {} if
            there are none.
        apply: `(params, stats, *inputs, train, key=None) -> (output, stats)`; with `train=False` the statistics are
            used and returned unchanged.
        batch_dependent: `() -> bool`: whether an example's output depends on the rest of its batch in training, as
            under batch normalisation. A function because the answer costs one evaluation, which few objectives need.
        inspect: `(params, stats, *inputs, edit=None) -> (output, layers)`: evaluates the network and returns every
            layer's output, keyed by path such as "ConvTranspose_0". `edit(path, value) -> value` replaces an output
            before the next layer sees it.
    """

    init: Callable[..., tuple[PyTree, PyTree]]
    apply: Callable[..., tuple[PyTree, PyTree]]
    batch_dependent: Callable[[], bool]
    inspect: Callable[..., tuple[PyTree, dict[str, Array]]] = _opaque


class GanLoss(NamedTuple):
    """An adversarial loss: two pure functions of the logits of the global batch.

    Attributes:
        discriminator: `(real_logits, fake_logits)`, both `[B, ...]` -> one loss per example, `[B]`.
        generator: Likewise.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TrainState:
    """Everything that changes during training; arrays only.

    Attributes:
        step: Number of iterations made, i32[]; only `rules.many` increments it.
        params: Network name -> parameters.
        stats: Network name -> running statistics (batch norm's moments, spectral norm's vectors).
        opt_state: Player name -> optax state.
        ema: Network name -> averaged `{"params", "stats"}`.
        extra: Slot name -> what a term or controller carries from one iteration to the next.
    """

    step: Array
    params: dict[str, PyTree]
    stats: dict[str, PyTree]
    opt_state: dict[str, PyTree]
    ema: dict[str, PyTree]
    extra: dict[str, PyTree]


class Aux(NamedTuple):
    """An objective's second output: changes to the state, never a whole state.

    Attributes:
        stats: Network name -> new running statistics; the rule stores those of the networks that the player moves.
        extra: Slot name -> new value, which must be the same on every device.
        metrics: Scalars that are linear in the batch, as the rule averages them over devices.
    """

    stats: dict[str, PyTree] = {}  # noqa: RUF012  a NamedTuple's default, never written to
    extra: dict[str, PyTree] = {}  # noqa: RUF012
    metrics: Metrics = {}  # noqa: RUF012


Objective = Callable[[TrainState, Batch, Array], tuple[Array, Aux]]
Update = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]
Hook = Callable[[TrainState, Metrics, Array], tuple[TrainState, Metrics]]


Loss = GanLoss | Callable[[TrainState, Array], GanLoss]  # (state, key) -> loss, where it reads a slot or is random
Augment = Callable[[Array, Array, TrainState], Any]
"""`(images [b, ...], keys [b], state) -> images`, or `(images, *inputs)` with further inputs of the discriminator."""
Slots = Callable[[dict[str, PyTree]], dict[str, PyTree]]  # {network name: parameters} -> {slot name: initial value}


def _no_networks(name: str, *inputs: Any) -> Any:
    raise UserError(f"a term applies the network {name!r}, but this context has no networks")


class Context(NamedTuple):
    """The input of a term: one move of one player, on this device's rows of the batch.

    Attributes:
        real: Real examples, `[b, ...]`.
        fake: The samples that the adversarial loss sees, `[b, ...]`.
        latents: The generator's inputs for `fake`, `[b, size]`.
        critic: `(images) -> logits`: the discriminator, with the same augmentation as in the loss, and with the further
            inputs of real examples, such as their labels.
        fake_critic: The same, with the further inputs of `fake`.
        generate: `(latents) -> images`: the generator, with the same parameters as for `fake`.
        real_output: The discriminator's output on `real`: "logits", and any others by name.
        fake_output: The discriminator's output on `fake`, likewise.
        keys: One random key per example, for this term alone, `[b]`.
        state: The state before the move.
        batch: The batch that holds `real`, with labels and other entries.
        apply: `(network name, *inputs) -> output`: evaluates any network of the game, in training mode.
    """

    real: Array
    fake: Array
    latents: Array
    critic: Callable[[Array], Array]
    fake_critic: Callable[[Array], Array]
    generate: Callable[[Array], Array]
    real_output: dict[str, PyTree]
    fake_output: dict[str, PyTree]
    keys: Array
    state: TrainState
    batch: Batch = {}  # noqa: RUF012  a NamedTuple's default, never written to
    apply: Callable[..., PyTree] = _no_networks


def no_slots(params: dict[str, PyTree]) -> dict[str, PyTree]:
    """Returns no slots: the default of terms and controllers that carry nothing."""
    return {}


class Term(NamedTuple):
    """A regularisation term, added to a player's loss.

    Attributes:
        name: Such as "r1": names the metric and the term's randomness; unique among the terms of a player.
        value: `(context) -> values`: either `[b]`, one per example (or logit), averaged over the global batch; or `[]`,
            averaged over devices. Anything that is not linear in the batch needs `parallel.gather` or `pmean` first. A
            term with slots returns `(values, extra)`, the new slot values being the same on every device.
        per_example: Names of the networks that the term differentiates example by example. Networks whose output for
            an example depends on the rest of the batch are refused, as that derivative is not defined.
        slots: `(params) -> initial values` of the slots of `TrainState.extra` that the term carries.
        player: The only player that may use the term, "" for any: in another player's loss it would be constant or of
            the wrong sign.
    """

    name: str
    value: Callable[[Context], Any]
    per_example: tuple[str, ...] = ()
    slots: Slots = no_slots
    player: str = ""


class Controller(NamedTuple):
    """A hook that runs after the moves of an iteration, with the slots of `TrainState.extra` that it carries.

    Attributes:
        name: Names its randomness; unique among the controllers of a game.
        hook: `(state, metrics, key) -> (state, metrics)`.
        slots: `(params) -> initial values` of its slots.
        averages: Names of the networks whose average it keeps in `TrainState.ema`.
        users: What reads its slots, if it makes sense only together with that, such as "augment.ada()".
    """

    name: str
    hook: Hook
    slots: Slots = no_slots
    averages: tuple[str, ...] = ()
    users: str = ""


class Player(NamedTuple):
    """A player of the game: the networks it moves, the objective it minimises, and its optimiser.

    Attributes:
        name: Names the player's optimiser state, metrics and keys.
        networks: Names of the networks whose parameters it moves.
        objective: `(state, batch, key) -> (loss [], Aux)`; everything but the player's parameters is held constant.
        optimizer: One of `optimizers`, with its learning rate, or any optax gradient transformation.
        active: `(state) -> bool []`: whether the player moves in this state; None means always. An inactive player's
            gradient and metrics are still computed, and still enter rules that combine the players' gradients.
        batches: Number of batches whose mean gradient makes a move (gradient accumulation); above 1 the leaves of the
            player's batch are `[batches, B, ...]`. Batch norm and other batch-wide operations see one at a time.
        slots: `(params) -> initial values` of the slots of `TrainState.extra` that its objective reads or writes.
        every: It moves in every `every`-th iteration, from the first on, and is not evaluated in the others. Its
            metrics are 0 there and multiplied by `every` where it moves, so that their mean is that over its moves.
        shares: Name of the player whose optimiser state it uses and updates, "" for its own; see `game.regularisation`.
    """

    name: str
    networks: tuple[str, ...]
    objective: Objective
    optimizer: Any  # an `optimizers.Optimizer`, or an optax.GradientTransformation
    active: Callable[[TrainState], Array] | None = None
    batches: int = 1
    slots: Slots = no_slots
    every: int = 1
    shares: str = ""


@dataclass(frozen=True, eq=False)  # not a NamedTuple: JAX's transformations take weak references to functions
class Rule:
    """An update rule applied to players: one iteration of a game, and a function of `(state, batch, key)` itself.

    Attributes:
        players: All players that move.
        update: `(state, batch, key) -> (state, metrics)`: one iteration.
        batches: Batches that an iteration takes, the leading axis of the update's batch, `[batches, B, ...]`; 1 means
            no such axis.
    """

    players: tuple[Player, ...]
    update: Update
    batches: int = 1

    def __call__(self, state: TrainState, batch: Batch, key: Array) -> tuple[TrainState, Metrics]:
        """Makes one iteration."""
        return self.update(state, batch, key)


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
