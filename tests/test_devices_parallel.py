import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import double, gan, images, images_game, points, points_game

from experiments.laboratory import LOSSES, RULES, TERMS
from gan_jax import augment, data, latents, losses, penalties, rng, rules, terms
from gan_jax.devices import parallel
from gan_jax.losses import labels
from gan_jax.methods.latent_optimisation import natural_step
from gan_jax.methods.pseudo_augmentation import pseudo_augmentation
from gan_jax.networks import linen, mlp
from gan_jax.networks.heads import WithLevel
from gan_jax.rules import controllers


def everything():
    """All that treats devices apart: repeats, penalties with noise and a condition, layers with statistics."""
    critic = (terms.lazy(penalties.r1(1.0), 2), penalties.gradient_penalty(0.1))
    return points_game("spectral", terms={"discriminator": critic}, repeats={"discriminator": 2}), points()


def at_once():
    """What reads the whole batch, carries something or looks twice, under a rule of second order."""
    return points_game(
        loss=labels.flip(losses.relativistic_average(losses.non_saturating()), 0.3),
        terms={"discriminator": [penalties.lecam(0.1)], "generator": [terms.mode_seeking(0.1)]},
        augment=augment.instance_noise(0.1),
        rule=functools.partial(rules.consensus, strength=0.1),
        controllers=[controllers.accuracy(), controllers.lookahead(("discriminator", "generator"), 2)],
        active={"discriminator": controllers.below(0.9)},
    ), points()


def digits():
    return {"image": images()["image"] / 127.5 - 1}


def adaptive():
    """ADA on images: its p is a function of all devices' logits."""
    augmented = augment.chain(augment.diff_augment(), augment.ada())
    p = controllers.adaptive_augmentation(16, images=64)
    return images_game("spectral", augment=augmented, controllers=[p]), digits()


def todays():
    """Parts that draw per example, and that differentiate logits in the latents behind batch norm."""
    latent, p = latents.normal(4), functools.partial(controllers.adaptive_augmentation, 16, images=64)
    networks = {
        "generator": linen(mlp.Generator((2,), (16, 16), "batch", bounded=False), (4,)),
        "discriminator": linen(WithLevel(mlp.Discriminator((16, 16), "batch")), (2,), ()),
    }
    return gan(
        networks,
        losses.dual_contrastive(),
        latent,
        optax.sgd(0.01),
        terms={"discriminator": [terms.approximated_r1(1.0, 0.1), terms.approximated_r2(1.0, 0.1)]},
        augment=augment.diffusion(std=0.5, with_level=True),
        refine=natural_step(latent, 0.9, 5.0, share=0.8),
        pseudo=pseudo_augmentation(),
        controllers=[p(name="diffusion"), p(name="apa")],
    ), points()


def of(**options):
    return lambda: (points_game(optimizer=optax.sgd(0.01), features=True, g_norm="layer", **options), points())


GAMES = {
    "everything": everything,
    "at once": at_once,
    "today's parts": todays,
    "dcgan": lambda: (images_game("batch"), digits()),
}
EACH = {  # the same apart, to find which it was
    "adaptive": adaptive,
    "batch": lambda: (points_game("batch"), points()),
    "spectral": lambda: (points_game("spectral"), points()),
    "repeats": of(repeats={"discriminator": 3}),
    "pre-training": of(active={"generator": controllers.after(1)}),
    "look-ahead": of(controllers=[controllers.lookahead(("discriminator", "generator"), 2)]),
    "unrolled": lambda: (
        points_game(loss=losses.zero_sum(losses.non_saturating()), rule=functools.partial(rules.unrolled, steps=2)),
        points(),
    ),
    "accumulated": of(accumulate=2, repeats={"discriminator": 2}),
    **{f"loss {name}": of(loss=loss) for name, loss in LOSSES.items() if name not in ("energy", "began")},
    **{f"term {name}": of(terms={player: [term] for player, term in both.items()}) for name, both in TERMS.items()},
    **{f"rule {name}": of(rule=rule) for name, rule in RULES.items() if name != "unrolled"},
}
WAYS = {
    "pmapped": lambda f: parallel.pmapped(f, jax.devices()[:4]),
    "sharded": lambda f: parallel.sharded(f, jax.devices()[:4]),
    "simulated": lambda f: parallel.simulated(f, 4),
    "on two": lambda f: parallel.pmapped(f, jax.devices()[:2]),
    "as eight": lambda f: parallel.simulated(f, 8),
}
PLACED = {"pmapped": 4, "sharded": 4, "simulated": 1, "on two": 2, "as eight": 1}  # devices that hold the state


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        pytest.param("everything", ["pmapped", "sharded", "simulated"], marks=pytest.mark.slow),
        pytest.param("everything", ["on two", "as eight"], marks=pytest.mark.slow),
        ("at once", ["pmapped"]),
        pytest.param("today's parts", ["pmapped", "sharded", "simulated"], marks=pytest.mark.slow),
        pytest.param("dcgan", ["pmapped"], marks=pytest.mark.slow),
        *(pytest.param(name, ["on two", "pmapped", "as eight"], marks=pytest.mark.slow) for name in EACH),
    ],
)
def test_the_number_of_devices_changes_nothing(name, ways):
    # SGD, as Adam would blow rounding on a zero gradient up to a whole step; float64, where only rounding is below 1e-9
    with jax.enable_x64(True):
        game, arrays = (GAMES | EACH)[name]()
        arrays = double(arrays)
        key = jax.random.key(3)
        many = rules.many(game.update, data.batches(len(arrays["image"]), 16, game.batches), 3)

        def run(way, devices=1):
            state = double(jax.jit(game.init)(key))
            return way(many)(*parallel.replicate((state, arrays, key), jax.devices()[:devices]), 3)

        expected = run(parallel.single)
        assert int(expected[0].step) == 3
        for way in ways:
            found = run(WAYS[way], PLACED[way])
            parallel.assert_replicated(found)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), expected, found)


def test_keys_follow_the_global_example():
    key = jax.random.key(0)
    whole = jax.random.key_data(rng.per_example(key, 8))
    rows = jax.vmap(lambda _: jax.random.key_data(rng.per_example(key, 2)), axis_name=parallel.AXIS)(jnp.arange(4))
    np.testing.assert_array_equal(whole, rows.reshape(whole.shape))


def test_gather_and_local_are_inverse():
    x = jnp.arange(8.0)

    def there_and_back(x):
        return parallel.gather(parallel.local(x)), parallel.pmean(jnp.mean(parallel.local(x)))

    for way in (lambda f: f, WAYS["pmapped"], WAYS["sharded"], WAYS["simulated"]):
        back, mean = way(there_and_back)(jnp.copy(x))
        np.testing.assert_array_equal(back, x)
        assert float(mean) == 3.5


def test_a_missing_mean_is_caught():
    def wrong(state):
        return state + parallel.index()

    with pytest.raises(ValueError, match="out_axes"):
        parallel.simulated(wrong, 4)(jnp.zeros(()))
    for way in (WAYS["pmapped"], WAYS["sharded"]):
        with pytest.raises(AssertionError, match="'slot'"):
            parallel.assert_replicated({"slot": way(wrong)(jnp.zeros(()))})


def test_pmap_compiles_once():
    traces = 0

    def f(state, x):
        nonlocal traces
        traces += 1
        return state + x

    step = parallel.pmapped(f, jax.devices()[:4])
    state = parallel.replicate(jnp.zeros(3), jax.devices()[:4])
    for _ in range(3):
        state = step(state, 1)
    np.testing.assert_array_equal(state, [3, 3, 3])
    assert traces == 1


def test_replicate_copies():
    x = jnp.zeros(3)
    parallel.single(lambda s: s + 1)(parallel.replicate(x, jax.devices()[:1]))
    np.testing.assert_array_equal(x, 0)  # still there: its copy was donated


def test_two_names_make_two_keys():
    key = jax.random.key(0)
    a, b, c = (jax.random.key_data(rng.named(key, name)) for name in ("latent", "data", "latent"))
    assert not np.array_equal(a, b) and np.array_equal(a, c)
