"""Parts of a player's loss: adversarial losses, augmentations and regularisation terms."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gan_jax.errors import UserError
from gan_jax.types.state import Array, Batch, PyTree, Slots, TrainState, no_slots


class GanLoss(NamedTuple):
    """An adversarial loss: two pure functions of the logits of the global batch.

    Attributes:
        discriminator: `(real_logits, fake_logits)`, both `[B, ...]` -> one loss per example, `[B]`.
        generator: Likewise.
    """

    discriminator: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


Loss = GanLoss | Callable[[TrainState, Array], GanLoss]  # (state, key) -> loss, where it reads a slot or is random
Augment = Callable[[Array, Array, TrainState], Any]
"""`(images [b, ...], keys [b], state) -> images`, or `(images, *inputs)` with further inputs of the discriminator."""


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
