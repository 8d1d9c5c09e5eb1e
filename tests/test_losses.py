import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax import losses, types
from gan_jax.types import TrainState

REAL = jnp.array([-1.5, 0.0, 0.3, 2.0])
FAKE = jnp.array([0.7, -0.2, 0.0, -3.0])
ALL = [
    losses.minimax(),
    losses.non_saturating(),
    losses.least_squares(),
    losses.wasserstein(),
    losses.hinge(),
    losses.energy(1.5),
    losses.began(0.4),
    losses.boundary_seeking(),
]
COMPARING = [
    *(losses.relativistic(loss) for loss in ALL),
    *(losses.relativistic_average(loss) for loss in ALL),
    losses.softmax(),
]
REAL_COUNTS, FAKE_COUNTS = np.array([1, 2, 5]), np.array([4, 2, 2])  # three kinds of examples in a batch of 8
P, Q = REAL_COUNTS / 8, FAKE_COUNTS / 8


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_cross_entropy_games_are_the_papers_logarithms():
    discriminator = -np.log(sigmoid(REAL)) - np.log(1 - sigmoid(FAKE))
    for loss in (losses.minimax(), losses.non_saturating()):
        np.testing.assert_allclose(loss.discriminator(REAL, FAKE), discriminator, rtol=1e-6)
    np.testing.assert_allclose(losses.minimax().generator(REAL, FAKE), np.log(1 - sigmoid(FAKE)), rtol=1e-5)
    np.testing.assert_allclose(losses.non_saturating().generator(REAL, FAKE), -np.log(sigmoid(FAKE)), rtol=1e-6)


def test_the_players_of_a_zero_sum_game_add_up_to_nothing():
    for base in (losses.non_saturating(), losses.relativistic_average(losses.hinge())):
        loss = losses.zero_sum(base)
        np.testing.assert_array_equal(loss.generator(REAL, FAKE), -loss.discriminator(REAL, FAKE))
    # of fakes alone the generator learns as in the original game
    games = losses.minimax(), losses.zero_sum(losses.non_saturating())
    slopes = [jax.grad(lambda fake, game=game: game.generator(REAL, fake).sum())(FAKE) for game in games]
    np.testing.assert_allclose(*slopes, rtol=1e-6)


def test_logits_far_out_stay_finite():
    far = jnp.array([1e4, -1e4])
    for loss in ALL + COMPARING:
        for part in loss:
            value, slope = jax.value_and_grad(lambda x, part=part: part(x, -x).sum())(far)
            assert np.isfinite(value) and np.isfinite(slope).all()


def test_minimax_value_at_the_best_discriminator_is_the_jensen_shannon_divergence():
    # Goodfellow et al. 2014, theorem 1: min_D E[...] = log 4 - 2 JSD(p, q), D* = p / (p + q)
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25])
    best = jnp.log(p / q)  # the logit of D*
    loss = losses.minimax().discriminator
    value = float(jnp.sum(p * loss(best, jnp.full(3, -1e9))) + jnp.sum(q * loss(jnp.full(3, 1e9), best)))
    m = (p + q) / 2
    divergence = 0.5 * np.sum(p * np.log(p / m)) + 0.5 * np.sum(q * np.log(q / m))
    assert value == pytest.approx(np.log(4) - 2 * divergence, rel=1e-5)
    gradient = jax.grad(lambda d: jnp.sum(p * loss(d, jnp.full(3, -1e9)) + q * loss(jnp.full(3, 1e9), d)))(best)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_saturating_and_non_saturating_generators_pull_alike_with_different_strength():
    # both push the logit up; the ratio of their slopes is D / (1 - D): vanishing where D rejects
    slope = {
        name: jax.grad(lambda x, n=name: getattr(losses, n)().generator(x, x).sum())(FAKE)
        for name in ("minimax", "non_saturating")
    }
    assert (slope["minimax"] < 0).all() and (slope["non_saturating"] < 0).all()
    np.testing.assert_allclose(slope["minimax"] / slope["non_saturating"], np.exp(FAKE), rtol=1e-5)


def test_least_squares_is_half_the_squared_distance_to_its_targets():
    loss = losses.least_squares(a=-1.0, b=1.0, c=0.5)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), (REAL - 1) ** 2 / 2 + (FAKE + 1) ** 2 / 2, rtol=1e-6)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), (FAKE - 0.5) ** 2 / 2, rtol=1e-6)


def test_least_squares_measures_pearson_chi_squared():
    # Mao et al. 2017, theorem 1: with b - c = 1 and b - a = 2 the generator, its real term included, minimises
    # chi2(p + q || 2 q) / 2 at the best discriminator
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25])
    a, b, c = -1.0, 1.0, 0.0
    best = jnp.asarray((b * p + a * q) / (p + q))
    value = np.sum(p * (best - c) ** 2 + q * losses.least_squares(a, b, c).generator(best, best) * 2)
    assert value == pytest.approx(np.sum((2 * q - (p + q)) ** 2 / (p + q)), rel=1e-5)


def test_wasserstein_is_the_difference_of_means_and_a_zero_sum_game():
    loss = losses.wasserstein()
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), FAKE - REAL)
    np.testing.assert_allclose(loss.generator(REAL, FAKE), -FAKE)


def test_hinge_is_flat_beyond_its_margins():
    loss = losses.hinge()
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), np.maximum(0, 1 - REAL) + np.maximum(0, 1 + FAKE))
    slope = jax.grad(lambda real, fake: loss.discriminator(real, fake).sum(), (0, 1))(REAL, FAKE)
    np.testing.assert_array_equal(slope[0], [-1, -1, -1, 0])
    np.testing.assert_array_equal(slope[1], [1, 1, 1, 0])


@pytest.mark.parametrize("loss", ALL)
def test_patch_logits_are_judged_one_by_one_and_averaged(loss):
    real, fake = jnp.stack([REAL, REAL + 1], 1)[..., None], jnp.stack([FAKE, FAKE - 1], 1)[..., None]
    for part in loss:
        value = part(real, fake)
        assert value.shape == (4,)
        np.testing.assert_allclose(value, (part(REAL, FAKE) + part(REAL + 1, FAKE - 1)) / 2, rtol=1e-5)


def batch(logits):
    """The logits of a batch whose examples come as often as P and Q say."""
    return jnp.repeat(logits, REAL_COUNTS, total_repeat_length=8), jnp.repeat(
        logits, FAKE_COUNTS, total_repeat_length=8
    )


def state_at(step):
    return TrainState(step=jnp.asarray(step), params={}, stats={}, opt_state={}, ema={}, extra={})


def test_hinge_at_its_best_discriminator_is_two_less_twice_the_total_variation():
    # Lim and Ye 2017: D* = sign(p - q), min_D E[...] = 2 sum min(p, q)
    grid = jnp.linspace(-3, 3, 61)
    parts = P[:, None] * np.maximum(0, 1 - grid) + Q[:, None] * np.maximum(0, 1 + grid)
    best = grid[np.argmin(parts, axis=1)]
    np.testing.assert_array_equal(np.sign(best)[P != Q], np.sign(P - Q)[P != Q])
    value = float(losses.hinge().discriminator(*batch(best)).mean())
    assert value == pytest.approx(2 * np.minimum(P, Q).sum(), rel=1e-5)


def test_energy_by_hand():
    loss = losses.energy(2.0)
    real, fake = jnp.array([-0.5, -3.0]), jnp.array([-1.25, -4.0])  # energies 0.5, 3 and 1.25, 4
    np.testing.assert_allclose(loss.discriminator(real, fake), [0.5 + 0.75, 3.0])
    np.testing.assert_allclose(loss.generator(real, fake), [1.25, 4.0])


def test_energy_at_its_best_is_the_margin_times_the_overlap():
    # Zhao et al. 2017, lemma 1: E* is 0 where p > q, else the margin, so that the value is margin sum min(p, q): the
    # margin itself, its greatest, exactly where p = q, for any one energy below it
    margin = 1.5
    discriminator = losses.energy(margin).discriminator
    levels = -margin * jnp.array([0, 0.3, 0.6, 1, 1.4, 3])
    tried = jnp.stack(jnp.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    values = jax.vmap(lambda logits: discriminator(*batch(logits)).mean())(tried)
    best = float(discriminator(*batch(jnp.where(P > Q, 0.0, -margin))).mean())
    assert best == pytest.approx(margin * np.minimum(P, Q).sum(), rel=1e-6)
    assert best <= float(values.min()) + 1e-6
    for level in (0.0, 0.7, margin):
        np.testing.assert_allclose(discriminator(jnp.full(4, -level), jnp.full(4, -level)), margin, rtol=1e-6)


@pytest.mark.parametrize("balance", [0, 0.25, 1.0, np.float32(0.5)])
def test_began_by_hand(balance):
    errors_real, errors_fake = jnp.array([0.5, 2.0]), jnp.array([1.0, 3.0])
    loss = jax.jit(lambda k, part: losses.began(k)[part](-errors_real, -errors_fake), static_argnums=1)
    np.testing.assert_allclose(loss(balance, 0), errors_real - balance * errors_fake)
    np.testing.assert_allclose(losses.began(balance).discriminator(-errors_real, -errors_fake), loss(balance, 0))
    np.testing.assert_allclose(loss(balance, 1), errors_fake)


def test_boundary_seeking_is_the_squared_log_odds_and_least_where_the_best_discriminator_is_undecided():
    loss = losses.boundary_seeking()
    probability = sigmoid(FAKE)
    expected = (np.log(probability) - np.log(1 - probability)) ** 2 / 2
    np.testing.assert_allclose(loss.generator(REAL, FAKE), expected, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), losses.minimax().discriminator(REAL, FAKE))
    best = jnp.log(P / Q)  # of the cross-entropy
    np.testing.assert_allclose(jax.grad(lambda d: loss.discriminator(*batch(d)).mean())(best), 0, atol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda d: loss.generator(d, d).sum())(best), np.log(P / Q), rtol=1e-6)


def test_softmax_is_the_cross_entropy_of_one_distribution_over_the_batch():
    loss = losses.softmax()
    weights = np.exp(np.concatenate([REAL, FAKE]).astype(np.float64))
    real, fake = np.split(weights / weights.sum(), 2)
    np.testing.assert_allclose(loss.discriminator(REAL, FAKE), -np.log(real), rtol=1e-6)
    # the means are the cross-entropies from the targets 1/B on real, and 1/2B on all
    target = np.full(8, 1 / 8)
    generator = -np.sum(target * np.log(np.concatenate([real, fake])))
    assert float(loss.generator(REAL, FAKE).mean()) == pytest.approx(generator, rel=1e-6)


def test_softmax_at_its_best_discriminator():
    # E_p[-d] + log(E_p exp d + E_q exp d) + log B is stationary at exp d = p / (p + q), with value
    # log 2B - KL(p || (p + q) / 2); the generator's is least, log 2B, at equal logits
    loss = losses.softmax()
    best = jnp.log(P / (P + Q))
    value, slope = jax.value_and_grad(lambda d: loss.discriminator(*batch(d)).mean())(best)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    assert float(value) == pytest.approx(np.log(16) - np.sum(P * np.log(2 * P / (P + Q))), rel=1e-6)
    value, slope = jax.value_and_grad(lambda d: loss.generator(d[:4], d[4:]).mean())(jnp.full(8, 0.3))
    np.testing.assert_allclose(slope, 0, atol=1e-7)
    assert float(value) == pytest.approx(np.log(8), rel=1e-6)


def test_relativistic_losses_are_the_papers_formulas():
    difference = np.asarray(REAL, np.float64) - np.asarray(FAKE, np.float64)
    formulas = {
        losses.non_saturating: lambda x: np.log1p(np.exp(-x)),  # RpGAN, of R3GAN
        lambda: losses.least_squares(-1.0, 1.0): lambda x: (x - 1) ** 2 / 2,
        lambda: losses.least_squares(0.0, 1.0): lambda x: ((x - 1) ** 2 + x**2) / 4,  # the mean of both treatments
        losses.hinge: lambda x: np.maximum(0, 1 - x),
        losses.wasserstein: lambda x: -x,
    }
    for base, formula in formulas.items():
        loss = losses.relativistic(base())
        np.testing.assert_allclose(loss.discriminator(REAL, FAKE), formula(difference), rtol=1e-6)
        np.testing.assert_allclose(loss.generator(REAL, FAKE), formula(-difference), rtol=1e-6)


def test_relativistic_cross_entropy_is_best_at_the_log_ratio():
    # sum_ij p_i q_j softplus(d_j - d_i) is that of Bradley and Terry's model: stationary at d = log(p / q) + constant
    loss = losses.relativistic(losses.non_saturating()).discriminator

    def over_all_pairs(logits):
        real, fake = jnp.repeat(logits, 3), jnp.tile(logits, 3)
        return jnp.sum(jnp.repeat(P, 3) * jnp.tile(Q, 3) * loss(real, fake))

    np.testing.assert_allclose(jax.grad(over_all_pairs)(jnp.log(P / Q) + 0.8), 0, atol=1e-6)


def test_relativistic_average_losses_are_the_papers_formulas():
    real, fake = np.asarray(REAL, np.float64), np.asarray(FAKE, np.float64)
    for_real, for_fake = real - fake.mean(), fake - real.mean()
    formulas = {  # of a logit that should be high
        losses.non_saturating: lambda x: np.log1p(np.exp(-x)),
        lambda: losses.least_squares(-1.0, 1.0): lambda x: (x - 1) ** 2 / 2,
        losses.hinge: lambda x: np.maximum(0, 1 - x),
    }
    for base, formula in formulas.items():
        loss = losses.relativistic_average(base())
        np.testing.assert_allclose(loss.discriminator(REAL, FAKE), formula(for_real) + formula(-for_fake), rtol=1e-6)
        np.testing.assert_allclose(loss.generator(REAL, FAKE), formula(for_fake) + formula(-for_real), rtol=1e-6)


def test_relativistic_players_exchange_roles():
    for loss in COMPARING[:-1]:
        np.testing.assert_array_equal(loss.generator(REAL, FAKE), loss.discriminator(FAKE, REAL))


def test_only_losses_that_compare_ignore_the_level_of_the_logits():
    def change(part):
        return np.abs(part(REAL + 4, FAKE + 4) - part(REAL, FAKE)).max()

    for loss in COMPARING:
        assert max(map(change, loss)) < 1e-5  # rounding of values of up to 10
    for loss in ALL:
        assert change(loss.generator) > 0.01
    assert change(losses.wasserstein().discriminator) < 1e-6  # a critic's level is free
    assert all(change(loss.discriminator) > 0.01 for loss in ALL if loss is not ALL[3])


@pytest.mark.parametrize("loss", [*COMPARING[: len(ALL)], COMPARING[-1]])
def test_places_of_a_patch_are_compared_each_with_its_own(loss):
    real, fake = jnp.stack([REAL, REAL + 1], 1)[..., None], jnp.stack([FAKE, FAKE - 1], 1)[..., None]
    for part in loss:
        np.testing.assert_allclose(
            part(real, fake), (part(REAL, FAKE) + part(REAL + 1, FAKE - 1)) / 2, rtol=1e-5, atol=1e-6
        )


def test_relativistic_average_is_over_all_places():
    real, fake = jax.random.normal(jax.random.key(0), (2, 4, 2, 3, 1))
    loss = losses.relativistic_average(losses.hinge())
    by_place = np.maximum(0, 1 - (real - np.mean(fake))) + np.maximum(0, 1 + (fake - np.mean(real)))
    np.testing.assert_allclose(loss.discriminator(real, fake), by_place.mean((1, 2, 3)), rtol=1e-5)


def test_top_k_is_the_mean_over_the_best_samples():
    real, fake = jax.random.normal(jax.random.key(1), (2, 8))
    order = np.argsort(-np.asarray(fake))
    for base in (losses.non_saturating(), losses.energy(1.0)):
        loss = losses.top_k(base, 0.5)
        assert isinstance(loss, types.GanLoss)
        each = base.generator(real, fake)
        values = loss.generator(real, fake)
        np.testing.assert_allclose(values[order[:4]], 2 * each[order[:4]], rtol=1e-6)
        np.testing.assert_array_equal(values[order[4:]], 0)
        slope = jax.grad(lambda f, loss=loss: loss.generator(real, f).mean())(fake)
        top = jax.grad(lambda f, base=base: base.generator(real, f)[order[:4]].mean())(fake)
        np.testing.assert_allclose(slope, top, rtol=1e-6)
        np.testing.assert_array_equal(loss.discriminator(real, fake), base.discriminator(real, fake))
        np.testing.assert_array_equal(losses.top_k(base, 1.0).generator(real, fake), each)


def test_top_k_counts_the_last_in_part():
    fake = jnp.array([3.0, -1.0, 2.0, 0.0, -2.0])
    loss = losses.top_k(losses.wasserstein(), 0.5)  # k = 2.5
    assert float(loss.generator(fake, fake).mean()) == pytest.approx(-(3 + 2 + 0.5 * 0) / 2.5, rel=1e-6)
    loss = losses.top_k(losses.wasserstein(), 0.01)  # less than one sample: the best alone
    np.testing.assert_allclose(loss.generator(fake, fake), [-15, 0, 0, 0, 0])


def test_top_k_shares_places_among_equals():
    loss = losses.top_k(losses.wasserstein(), 0.5)
    np.testing.assert_allclose(loss.generator(REAL, jnp.full(4, 3.0)), -3.0, rtol=1e-6)
    fake = jnp.array([1.0, 5.0, 1.0, 1.0])  # one place is left for three
    np.testing.assert_allclose(loss.generator(REAL, fake), [-2 / 3, -10, -2 / 3, -2 / 3], rtol=1e-6)


def test_top_k_ranks_patches_by_their_average():
    fake = jnp.array([[9.0, -8.0], [1.0, 2.0], [0.0, -1.0], [4.0, 0.0]])[..., None]
    values = losses.top_k(losses.wasserstein(), 0.5).generator(fake, fake)
    np.testing.assert_allclose(values, [0, -3, 0, -4])


def test_top_k_follows_a_schedule_and_any_loss():
    fraction = optax.linear_schedule(1.0, 0.5, 10)
    key = jax.random.key(0)
    for base in (losses.hinge(), lambda state, key: losses.hinge()):
        value = jax.jit(
            lambda step, base=base: losses.resolve(losses.top_k(base, fraction), state_at(step), key).generator(
                REAL, FAKE
            )
        )
        for step, part in {0: 1.0, 5: 0.75, 10: 0.5}.items():
            expected = losses.resolve(losses.top_k(base, part), state_at(0), key).generator(REAL, FAKE)
            np.testing.assert_allclose(value(step), expected, rtol=1e-6)


def test_a_loss_may_be_made_of_the_state_and_the_key():
    key = jax.random.key(3)
    fixed = losses.hinge()
    assert losses.resolve(fixed, state_at(0), key) is fixed
    seen = []
    assert losses.resolve(lambda *args: seen.append(args) or fixed, state_at(7), key) is fixed
    assert int(seen[0][0].step) == 7 and seen[0][1] is key


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: losses.energy(0.0), "margin=0.0: .* must be positive"),
        (lambda: losses.began(1.5), r"balance=1.5: .*\[0, 1\]"),
        (lambda: losses.began(-0.1), r"balance=-0.1: .*\[0, 1\]"),
        (lambda: losses.top_k(losses.hinge(), 0.0), r"fraction=0.0: .*\(0, 1\]"),
        (lambda: losses.top_k(losses.hinge(), 1.1), r"fraction=1.1: .*\(0, 1\]"),
    ],
)
def test_values_without_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_losses_that_draw_are_made_relativistic_from_within():
    for make in (losses.relativistic, losses.relativistic_average):
        with pytest.raises(ValueError, match="wrap the other way round"):
            make(losses.balanced())  # pyright: ignore[reportArgumentType]
