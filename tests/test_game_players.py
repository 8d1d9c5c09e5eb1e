"""Players of a game: their networks, terms and inputs; what a system is assembled from, and what is refused."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_methods_binary_pixels import plain
from toy import KEY, points, points_game, state_of

from gan_jax import game as games
from gan_jax import latents, losses, penalties, rng, rules
from gan_jax.errors import UserError
from gan_jax.game import Game, discriminator, drawn, from_batch, generator, given, labelled, sampler, system
from gan_jax.rules import gradients
from gan_jax.rules.controllers import ema
from gan_jax.types import Player, Term

KEYS = jax.random.split(KEY, 6)
SGD = optax.sgd(0.1)
NETWORKS = {name: plain(lambda p, x: p * x[:, 0], start) for name, start in (("discriminator", 0.7), ("critic", 2.0))}
NETWORKS["generator"] = plain(lambda p, z: p * z, 0.5)
LATENT = latents.normal(1)
GAME = Game(NETWORKS, losses.wasserstein(), LATENT)
PLAYERS = [discriminator(GAME, SGD), generator(GAME, SGD)]


# --- samples of the generator


def test_two_samples_for_each_example_are_a_batch_of_twice_the_size():
    state, batch = state_of(generator=0.5, discriminator=0.7), {"image": jnp.ones((6, 1))}
    twice = generator(GAME, SGD, samples=2).objective(state, batch, KEY)
    whole = generator(GAME, SGD).objective(state, {"image": jnp.zeros((12, 1))}, KEY)
    np.testing.assert_allclose(twice[0], whole[0], rtol=1e-6)
    with pytest.raises(UserError, match="samples=0: give at least 1"):
        generator(GAME, SGD, samples=0)


# --- inputs of the generator, and conditions of the discriminator


def test_labelled_inputs_have_the_labels_of_the_batch_and_are_otherwise_as_drawn():
    latent = latents.joined(latents.normal(2), label=latents.categorical(3), style=latents.uniform(1))
    labels = jnp.array([2, 0, 1, 1, 2, 0])
    inputs, plain_inputs = labelled(latent)(KEYS, {"label": labels}), drawn(latent)(KEYS, {})
    np.testing.assert_array_equal(inputs[:, 2:5], jax.nn.one_hot(labels, 3))
    np.testing.assert_array_equal(np.delete(inputs, [2, 3, 4], axis=1), np.delete(plain_inputs, [2, 3, 4], axis=1))
    np.testing.assert_array_equal(plain_inputs, latent.draw(KEYS))


def test_labels_need_a_part_of_the_latent():
    for latent in (LATENT, latents.joined(LATENT, digit=latents.categorical(3))):
        with pytest.raises(ValueError, match=r"latent has no part 'label'; .*latents.labelled"):
            labelled(latent)


def test_a_player_gives_the_generator_the_inputs_of_its_game():
    # the Wasserstein generator minimises -psi mean G(input), and G(input) = theta input
    batch = {"image": jnp.ones((6, 1)), "source": jnp.arange(6.0)[:, None]}
    keys = rng.per_example(rng.named(KEY, "latent"), 6)
    cases = ((GAME, LATENT.draw(keys)), (GAME._replace(inputs=from_batch("source"), latent=None), batch["source"]))
    for game, inputs in cases:
        state = system(game._replace(latent=None), rules.alternating([generator(game, SGD)])).init(KEY)
        slope, _, _ = gradients.gradient(generator(game, SGD), state, batch, KEY)
        np.testing.assert_allclose(slope["generator"], -0.7 * jnp.mean(inputs), rtol=1e-6)


@pytest.mark.parametrize("name", ["label", "source"])
def test_entries_that_the_batch_lacks_are_named(name):
    latent = latents.labelled(latents.normal(1), 3)
    asked = [lambda batch: from_batch(name)(KEYS, batch), lambda batch: given(name)(state_of(x=0.0), batch, KEYS)]
    asked += [lambda batch: labelled(latent)(KEYS, batch)] if name == "label" else []
    for ask in asked:
        with pytest.raises(ValueError, match=rf"no '{name}', only \['image', 'other'\]; use a data set with it"):
            ask({"other": 1, "image": 2})


# --- players


@pytest.mark.parametrize("rule", [rules.alternating, rules.simultaneous])
def test_the_discriminator_moves_the_body_and_what_it_trains_and_the_generator_neither(rule):
    # D(b(x)) = psi b x, and a term psi_c^2 / 2 of a further network: W-GAN's gradients in closed form
    body = {"body": plain(lambda p, x: p * x, 1.5)}
    term = Term("critic", lambda context: context.state.params["critic"] ** 2 / 2)
    game = Game(NETWORKS | body, losses.wasserstein(), inputs=from_batch("source"))
    players = [discriminator(game, SGD, [term], trains=["critic"]), generator(game, SGD)]
    assert [set(player.networks) for player in players] == [{"discriminator", "body", "critic"}, {"generator"}]
    batch = {"image": jnp.full((4, 1), 3.0), "source": jnp.full((4, 1), 2.0)}
    built = system(game, rule(players))
    state = built.init(KEY)
    after, _ = built.update(state, batch, KEY)
    theta, psi, b, critic = (float(state.params[name]) for name in ("generator", "discriminator", "body", "critic"))
    gap = 3.0 - 2.0 * theta  # of real and fake
    np.testing.assert_allclose(after.params["discriminator"], psi + 0.1 * b * gap, rtol=1e-6)
    np.testing.assert_allclose(after.params["body"], b + 0.1 * psi * gap, rtol=1e-6)
    np.testing.assert_allclose(after.params["critic"], 0.9 * critic, rtol=1e-6)
    judge = after.params if rule is rules.alternating else state.params
    move = 0.1 * float(judge["discriminator"] * judge["body"]) * 2.0
    np.testing.assert_allclose(after.params["generator"], theta + move, rtol=1e-6)


@pytest.mark.parametrize(
    ("player", "terms", "message"),
    [
        (generator, [penalties.r1(1.0)], "terms: 'r1' is a term of the discriminator, not the generator"),
        (discriminator, [penalties.r1], "terms: one is a function, not a Term"),
        (discriminator, penalties.r1(1.0), r"terms: give a list, even for one, such as \[penalties.r1\(1.0\)\]"),
        (discriminator, [penalties.r1(1.0), penalties.r1(2.0)], "terms: two are named 'r1'"),
    ],
)
def test_terms_that_a_player_cannot_have_are_refused(player, terms, message):
    with pytest.raises(ValueError, match=message):
        player(GAME, SGD, terms)


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (GAME._replace(loss=None), "game: it has no adversarial loss"),
        (GAME._replace(latent=None), "game: the generator has no input; give the game a latent, or inputs"),
        (GAME._replace(networks={"generator": NETWORKS["generator"]}), r"networks: \['discriminator'\] missing"),
    ],
)
def test_a_game_that_lacks_a_part_has_no_players(game, message):
    for player in (discriminator, generator):
        with pytest.raises(ValueError, match=message):
            player(game, SGD)


# --- systems


def test_a_system_of_a_game_samples_by_the_average():
    built = system(GAME, rules.alternating(PLAYERS), [ema("generator", 0.5)])
    latent, generate = sampler(built)
    z = latent.draw(KEYS)
    state = built.init(KEY)
    average = {"generator": {"params": jnp.asarray(3.0), "stats": {}}}
    np.testing.assert_allclose(generate(average, z), 3.0 * z, rtol=1e-6)
    assert set(state.ema) == {"generator"} and latent is LATENT
    np.testing.assert_array_equal(generate(games.current(state), z), 0.5 * z)


def test_a_system_that_does_not_sample_says_what_it_does():
    game = GAME._replace(inputs=from_batch("source"), latent=None)
    rule = rules.alternating([discriminator(game, SGD), generator(game, SGD)])
    translate = games.averaged_network(game.networks, "generator")
    for built, message in (
        (
            system(game, rule, [ema("generator", 0.0)], translate=translate),
            "it translates: python -m gan_jax.translate",
        ),
        (system(game, rule), "its game has no latents"),
    ):
        assert built.sample is None
        with pytest.raises(ValueError, match=f"draws no samples; {message}"):
            sampler(built)


def test_players_and_controllers_of_networks_that_are_not_there_are_refused():
    ghost = Player("generator", ("encoder",), PLAYERS[1].objective, SGD)
    for rule, controllers, message in (
        (rules.alternating([PLAYERS[0], ghost]), [ema("generator", 0.0)], "player 'generator' moves 'encoder'"),
        (rules.alternating(PLAYERS), [ema("generator", 0.0), ema("encoder", 0.0)], "a controller averages 'encoder'"),
    ):
        known = r"the networks are \['critic', 'discriminator', 'generator'"
        with pytest.raises(ValueError, match=f"{message}, which does not exist; {known}"):
            system(GAME, rule, controllers)


@pytest.mark.parametrize(
    ("controllers", "message"),
    [
        ([], r"controllers: samples come from the averaged generator; add controllers.ema\('generator', 0.999\)"),
        ([ema("discriminator", 0.999)], "samples come from the averaged generator"),
        (ema("generator", 0.999), "controllers: give a list"),
        ([ema("generator", 0.9), ema("generator", 0.99)], "two are named 'average generator'"),
    ],
)
def test_controllers_that_leave_samples_undefined_are_refused(controllers, message):
    with pytest.raises(ValueError, match=message):
        system(GAME, rules.alternating(PLAYERS), controllers)


def test_two_players_cannot_carry_one_slot():
    slow = penalties.lecam(1.0)
    one = discriminator(GAME, SGD, [slow])
    for other, refused in ((slow._replace(name="slow", player=""), True), (Term("none", lambda context: 0.0), False)):
        built = system(GAME, rules.alternating([one, generator(GAME, SGD, [other])]), [ema("generator", 0.0)])
        with pytest.raises(ValueError, match="use the slot") if refused else contextlib.nullcontext():
            built.init(KEY)


def test_a_rule_is_a_function_of_state_batch_and_key_for_jax():
    game = points_game(g_norm="none")
    rule, state, batch = rules.simultaneous(game.players), game.init(KEY), points(8)
    plainly, compiled = rule(state, batch, KEY), jax.jit(rule)(state, batch, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), plainly, compiled)
    jax.tree.map(np.testing.assert_array_equal, plainly, rule.update(state, batch, KEY))
