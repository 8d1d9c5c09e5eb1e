"""Mixtures of generators: what they are made of, MIX+GAN's payoff, AdaGAN's weights and phases, and what both cover."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import KEY, double, points

from experiments import adagan, mix_gan
from gan_jax import baseline, data, latents, losses, rules
from gan_jax.baseline import training
from gan_jax.data import Spec, kinds
from gan_jax.data.dataset import dataset
from gan_jax.data.sources import toys
from gan_jax.devices import parallel
from gan_jax.game import Game, sampler
from gan_jax.loop import Run, population
from gan_jax.loop.population import Seed
from gan_jax.methods import boosting, mixture
from gan_jax.methods.phases import phased
from gan_jax.metrics.modes import modes
from gan_jax.networks import linen, mlp
from gan_jax.types import Context, TrainState

PLANE = Spec((2,), 0, kind=kinds.points)
KEYS = jax.random.split(KEY, 20_000)
SMALL: dict[str, Any] = {"g_width": 2, "d_width": 2, "latent_size": 3, "batch_size": 16}


def component(tree, place):
    return jax.tree.map(lambda x: x[place], tree)


def random(init):
    """Parameters and statistics far from fresh ones, which are 0 where it matters; fresh ones take long to compile."""
    draw = np.random.RandomState(0)
    return jax.tree.map(lambda x: jnp.asarray(2 * draw.rand(*x.shape) - 0.6, x.dtype), jax.eval_shape(init, KEY))


# --- what mixtures are made of


def test_the_latent_picks_components_in_the_shares_of_their_weights():
    base = latents.normal(3)
    drawn = mixture.latent(base).draw(KEYS)
    np.testing.assert_array_equal(drawn[:, :3], base.draw(KEYS))
    for weights in (np.array([0.5, 0.2, 0.0, 0.3, 0.0]), np.array([3.0]), np.ones(7)):
        found = np.bincount(mixture.pick(jnp.asarray(weights), drawn), minlength=len(weights)) / len(KEYS)
        shares = weights / weights.sum()
        assert np.all(abs(found - shares) <= 4 * np.sqrt(shares * (1 - shares) / len(KEYS)))  # 0 exactly where 0
    # nothing of what is drawn hangs together with the component
    assert abs(np.corrcoef(drawn.T)[3, :3]).max() < 4 / np.sqrt(len(KEYS))


def test_truncation_leaves_the_component_alone_and_walks_stay_within_the_mixture():
    latent = mixture.latent(latents.normal(3))
    np.testing.assert_array_equal(latent.draw(KEYS[:100], 0.5)[:, 3], latent.draw(KEYS[:100])[:, 3])
    places = jnp.array([-2.0, 0.0, 0.49, 0.5, 1.0, 1.4])
    rows = jnp.stack([jnp.zeros(6), places], axis=1)
    np.testing.assert_array_equal(mixture.pick(jnp.array([1.0, 1.0, 0.0]), rows), [0, 0, 0, 1, 1, 1])


def close(found, expected):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), found, expected)


def test_a_sample_is_its_components_own():
    single = linen(mlp.Generator((2,), (8,), "batch", bounded=False), (3,))
    joined, boosted = mixture.generators(single, 3), mixture.boosted(single, 3)
    drawn = mixture.latent(latents.normal(3)).draw(KEYS[:40])

    def both(network, inputs):
        return jax.jit(lambda *own: [network.apply(*own, inputs, train=train) for train in (False, True)])

    params, stats = random(joined.init)
    stats, weights = jax.tree.map(lambda x: 1 + x, stats), jnp.array([0.2, 0.5, 0.3])
    params["log_weights"] = jnp.log(weights)
    own = [component((params["components"], stats), i) for i in range(3)]
    alone = [both(single, drawn[:, :3])(*each) for each in own]
    apart = np.stack([made for (made, _), _ in alone])

    (made, _), (rows, moved) = both(joined, drawn)(params, stats)
    chosen = np.asarray(mixture.pick(weights, drawn))
    assert set(chosen) == {0, 1, 2}
    close(made, apart[chosen, np.arange(40)])
    output, layers = jax.jit(joined.inspect)(params, stats, drawn)
    close(output, made)
    assert set(layers) == set(jax.eval_shape(single.inspect, *own[0], drawn[:, :3])[1])
    for i, (_, (expected, new)) in enumerate(alone):  # in training each makes every latent, by moments of its own
        close(rows[i::3], expected)
        close(component(moved, i), new)

    run = both(boosted, drawn)
    for trained in range(5):
        counted = {"components": stats, "trained": jnp.asarray(trained * (1 + 1e-7))}  # as averaging rounds
        (made, _), (rows, moved) = run(params["components"], counted)
        chosen = np.asarray(mixture.pick((jnp.arange(3) < max(trained, 1)) * 1.0, drawn))
        assert set(chosen) == set(range(min(max(trained, 1), 3)))
        close(made, apart[chosen, np.arange(40)])
        now = min(trained, 2)
        expected, new = alone[now][1]
        close(rows, expected)
        for i in range(3):
            close(component(moved["components"], i), new if i == now else component(stats, i))


def test_no_mixture_is_empty():
    single = linen(mlp.Generator((2,), (4,), "none"), (3,))
    for join in (mixture.generators, mixture.discriminators, mixture.boosted):
        with pytest.raises(ValueError, match="count=0"):
            join(single, 0)


# --- MIX+GAN


@pytest.mark.parametrize(
    ("count", "loss", "norm"),
    [
        pytest.param(1, "non_saturating", "layer", marks=pytest.mark.slow),
        pytest.param(3, "non_saturating", "none", marks=pytest.mark.slow),
        (2, "wasserstein", "spectral"),
    ],
)
def test_the_payoff_is_the_mean_of_the_plain_games_of_all_pairs(count, loss, norm):
    config = mix_gan.Config(components=count, entropy=0.0, loss=loss, d_norm=norm, **SMALL)
    mixed, batch = mix_gan.build(config, PLANE), {"image": points(16)["image"]}
    state = random(mixed.init)
    u, v = (np.asarray(mixture.weights(state.params[name])) for name in ("generator", "discriminator"))
    assert count == 1 or np.ptp(u) > 0.05 < np.ptp(v)
    # of the same latents, but for what picks the component
    single = Game(baseline.networks(config, PLANE, norm), getattr(losses, loss)(), baseline.latent(config))
    pair = [baseline.discriminator(config, single), baseline.generator(config, single)]
    values = np.zeros((2, count, count))
    judge, judge_all = (
        jax.jit(lambda state, players=players: [player.objective(state, batch, KEY)[0] for player in players])
        for players in (pair, mixed.players)
    )
    for i, j in np.ndindex(count, count):
        places = {"generator": i, "discriminator": j}
        params = {name: component(state.params[name]["components"], place) for name, place in places.items()}
        stats = {name: component(state.stats[name], place) for name, place in places.items()}
        values[:, i, j] = judge(replace(state, params=params, stats=stats))
    np.testing.assert_allclose(judge_all(state), np.einsum("kij,i,j->k", values, u, v), rtol=1e-5)


def test_even_weights_cost_least():
    term = mix_gan.uneven(0.1, "generator")

    def cost(logs):
        state = TrainState(jnp.zeros(()), {"generator": {"log_weights": logs}}, {}, {}, {}, {})
        return term.value(Context(*[None] * 9, state=state))  # pyright: ignore[reportArgumentType]  it looks at no more

    assert cost(jnp.zeros(4)) == pytest.approx(0.1 * np.log(4))
    np.testing.assert_allclose(jax.grad(cost)(jnp.ones(4)), 0, atol=1e-8)
    # d/da_i of -c/T sum log softmax(a) is c (w_i - 1/T): small weights are raised
    logs = jnp.array([2.0, 0.0, -1.0, -5.0])
    np.testing.assert_allclose(jax.grad(cost)(logs), 0.1 * (jax.nn.softmax(logs) - 0.25), rtol=1e-4, atol=1e-7)


def test_wasserstein_needs_critics_of_bounded_slope():
    with pytest.raises(ValueError, match=r"d_norm='batch'.*--d-norm spectral"):
        mix_gan.build(mix_gan.Config(loss="wasserstein"), PLANE)


# --- AdaGAN's weights


def ratios(logits):
    return np.exp(-np.asarray(logits, np.float64))


@pytest.mark.parametrize("beta", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("spread", [0.1, 2.0, 20.0])
def test_weights_are_those_of_the_papers_algorithm(beta, spread):
    logits = spread * np.random.RandomState(0).randn(200)
    found = np.asarray(boosting.missed(jnp.asarray(logits, jnp.float32), beta), np.float64)
    # as written there: one more ratio at a time, until lambda is no larger than the next
    ordered = np.sort(ratios(logits.astype(np.float32)))
    for k in range(1, 201):
        level = beta * 200 / k * (1 + (1 - beta) / beta * ordered[:k].sum() / 200)
        if k == 200 or level <= (1 - beta) * ordered[k]:
            break
    expected = np.maximum(level - (1 - beta) * ratios(logits.astype(np.float32)), 0) / beta
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert found.min() >= 0 and found.mean() == pytest.approx(1, rel=1e-5)
    assert np.all(np.diff(found[np.argsort(logits)]) >= 0)  # the surer that it is data, the more it counts
    # with the new component the mixture is the data where it was not too much already
    total = (1 - beta) * ratios(logits) + beta * found
    np.testing.assert_allclose(total, np.maximum(level, (1 - beta) * ratios(logits)), rtol=1e-3, atol=1e-4)


def test_weights_in_closed_form():
    # the mixture has one half of the data twice and nothing of the other: the next component is to make the rest
    half = jnp.where(jnp.arange(10) < 5, -jnp.log(2.0), 30.0)
    np.testing.assert_allclose(boosting.missed(half, 1 / 2), [0] * 5 + [2] * 5, atol=1e-5)
    # less of it than there is to make: the covered half too is made where the mixture is thinned to less than the rest
    np.testing.assert_allclose(boosting.missed(half, 3 / 4), [2 / 3] * 5 + [4 / 3] * 5, atol=1e-5)
    for logits in (half, 1e4 * half, jnp.zeros(10), jnp.full(10, -1e4)):
        np.testing.assert_allclose(boosting.missed(logits, 1.0), 1, rtol=1e-6)  # the first component
        assert np.isfinite(boosting.missed(logits, 0.1)).all()
    for logits in (jnp.zeros(10), jnp.full(10, 3.0)):
        np.testing.assert_allclose(boosting.missed(logits, 0.3), 1, rtol=1e-5)  # nothing is missed


def test_places_are_drawn_as_often_as_they_weigh():
    weights = jnp.array([0.0, 1.0, 0.25, 0.0, 2.0, 0.75, 0.0])
    draws = jax.jit(jax.vmap(lambda key: boosting.places(weights, 8, key)))(KEYS[:500])
    counts = np.stack([np.bincount(row, minlength=7) for row in draws])
    assert np.all((counts >= np.floor(2 * weights)) & (counts <= np.ceil(2 * weights)))
    assert np.all(abs(counts.mean(0) - 2 * weights) < 4 * 0.5 / np.sqrt(500))
    np.testing.assert_array_equal(boosting.places(jnp.full(8, 0.3), 8, KEY), np.arange(8))
    on_four = jax.vmap(lambda _: boosting.places(weights, 2, KEY), axis_name=parallel.AXIS)(jnp.arange(4))
    np.testing.assert_array_equal(on_four.ravel(), boosting.places(weights, 8, KEY))


# --- runs


def games(kind):
    """MIX+GAN, and AdaGAN of three iterations for each of two components, the classifier alone in one of them."""
    spec, sgd = (PLANE if kind == "points" else Spec((28, 28, 1), 0)), optax.sgd(0.05, momentum=0.5)
    with pytest.MonkeyPatch.context() as patch:  # Adam would blow rounding up to whole steps
        for module in (baseline, training):
            patch.setattr(module, "adam", lambda *_, **__: sgd)
        yield mix_gan.build(mix_gan.Config(components=2, **SMALL), spec)
        alone = {"steps_per_component": 3, "classifier_steps": 1, "pool": 2}
        yield adagan.build(adagan.Config(components=2, **alone, **SMALL), spec)


def run(game, way, devices, kind, steps, first=None):
    """Plays a game in float64, from a first state if there is one; returns its states, step by step."""
    with jax.enable_x64(True):
        arrays = points(64) if kind == "points" else {"image": jax.random.normal(KEY, (64, 28, 28, 1))}
        many = way(rules.many(game.update, data.batches(64, 16, game.batches), 1))
        first = double(jax.jit(game.init)(KEY)) if first is None else first
        state, *rest = parallel.replicate((first, double(arrays), KEY), devices)
        states = [jax.tree.map(np.asarray, state)]
        for _ in range(steps):
            state, _ = many(state, *rest, 1)
            parallel.assert_replicated(state)
            states.append(jax.tree.map(np.asarray, state))
    return states


@pytest.fixture(scope="module")
def boosted():
    _, game = games("points")
    return run(game, parallel.single, jax.devices()[:1], "points", 8)


def equal_on_four(game, kind, expected):
    devices = jax.devices()[:4]
    found = run(game, lambda f: parallel.pmapped(f, devices), devices, kind, len(expected) - 1, expected[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), expected[-1], found[-1])


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing(boosted):
    mixed, boosting = games("points")
    equal_on_four(mixed, "points", run(mixed, parallel.single, jax.devices()[:1], "points", 3))
    equal_on_four(boosting, "points", boosted[:6])  # to the middle of the second component


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing_of_images():
    for game in games("images"):
        equal_on_four(game, "images", run(game, parallel.single, jax.devices()[:1], "images", 5))


@pytest.mark.slow
def test_only_the_component_whose_turn_it_is_moves(boosted):
    def moved(tree, t, place: Any = ...):
        before, after = (jax.tree.leaves(tree(boosted[i])) for i in (t, t + 1))
        return any(np.any(x[place] != y[place]) for x, y in zip(before, after, strict=True))

    # steps 0 to 2 are the first component's, of 3 to 5 all but one the second's; then all are done
    for t in range(8):
        assert [moved(lambda s: s.params["generator"], t, i) for i in (0, 1)] == [t < 3, t in (4, 5)]
        assert moved(lambda s: s.params["discriminator"], t) == (t in (0, 1, 2, 4, 5))
        assert moved(lambda s: s.params["classifier"], t) == (t in (0, 2, 3, 5, 6))  # begun anew in 2 and 5
        assert boosted[t].stats["generator"]["trained"] == t // 3
    for t in (3, 6):
        last, now = boosted[t - 1], boosted[t]
        jax.tree.map(np.testing.assert_array_equal, now.params["generator"], now.ema["generator"]["params"])
        for name in ("discriminator", "classifier"):  # anew, not as in the beginning
            kernel, before, first = (s.params[name]["Dense_0"]["kernel"] for s in (now, last, boosted[0]))
            assert abs(kernel - before).max() > 0.1 and abs(kernel - first).max() > 0.1
        assert not any(np.any(x) for x in jax.tree.leaves(now.opt_state))
        assert any(np.any(x) for x in jax.tree.leaves(last.opt_state))
    # of the component that is done the average is kept, which lags behind it
    kernel = [s.params["generator"]["Dense_0"]["kernel"][0] for s in boosted]
    average = [s.ema["generator"]["params"]["Dense_0"]["kernel"][0] for s in boosted]
    assert abs(average[2] - kernel[2]).max() > 0 == abs(average[3] - kernel[3]).max()
    np.testing.assert_array_equal(kernel[3], kernel[8])


def test_phases_without_time_to_learn_are_refused():
    with pytest.raises(ValueError, match="classifier_steps=2750"):
        adagan.build(adagan.Config(classifier_steps=2750), PLANE)
    with pytest.raises(ValueError, match="steps=0"):
        phased(mix_gan.build(mix_gan.Config(**SMALL), PLANE), 0, lambda fresh, last: last)


RING = toys.ring(std=0.15)
# generators of 4 hidden units bend a line: one does not reach all modes
WEAK: dict[str, Any] = {"g_width": 1, "latent_size": 1, "g_learning_rate": 5e-3, "d_width": 8, "d_learning_rate": 5e-3}


def covered(game, steps, every, seeds=4):
    """Trains on a ring of 8 modes; returns modes covered and the reverse KL, `[seeds, 1 + steps / every]`, and states.

    A mode is covered by 1% of 2,000 samples, of 12.5% that it would have.
    """

    latent, generate = sampler(game)

    def watch(game, state):
        found = modes(generate(state.ema, latent.draw(KEYS[:2000])), RING, least=20)
        return found.covered, found.reverse_kl

    points = dataset("ring", "train", toys.draw(RING, 20_000, 0)[0], kind=kinds.points)
    configs = [Seed(64, seed, Run(steps=steps)) for seed in range(seeds)]
    members = population.train(lambda config, spec: game, points, configs, watch, every)
    return *members.watched, members.states


@pytest.mark.slow
def test_mixtures_cover_what_one_generator_misses():
    one_by_one = adagan.Config(ema_decay=0.9, steps_per_component=1000, classifier_steps=200, pool=4, **WEAK)
    boosted, boosted_kl, states = covered(adagan.build(one_by_one, PLANE), 4000, 1000)
    np.testing.assert_array_equal(states.stats["generator"]["trained"], 4)
    boosted, boosted_kl = boosted[:, 1:], boosted_kl[:, 1:]  # after each component; the first is a plain GAN
    assert boosted[:, 0].mean() <= 6.5 and boosted[:, 3].mean() >= 7.5
    assert np.all(np.diff(boosted.mean(0)) >= 0)
    kl = boosted_kl.mean(0)  # the second component takes most of what the first misses
    assert np.all(kl[1:] < kl[0] / 2) and kl[3] < kl[0] / 3

    at_once = mix_gan.Config(components=3, ema_decay=0.9, **WEAK)
    joined, joined_kl, states = covered(mix_gan.build(at_once, PLANE), 600, 600)
    assert joined[:, -1].mean() >= 7.5 and np.all(joined[:, -1] >= boosted[:, 0])
    assert joined_kl[:, -1].mean() < boosted_kl[:, 0].mean() / 2
    for name in ("generator", "discriminator"):
        weights = np.asarray(jax.vmap(mixture.weights)(states.params[name]))
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
        assert weights.min() > 0.05 and np.ptp(weights, axis=1).min() > 1e-3  # they move, and none is lost
