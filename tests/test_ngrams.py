"""N-gram models: the smoothing as computed by hand, distributions that are such, and a source of known entropy."""

from itertools import chain

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.ngrams import FALLBACK, NGramModel, context_curve, discounts, highest_order, predictions, text_losses
from tests.markov import MarkovChain

A, B = 0, 1


def test_discounts_by_hand():
    counts = np.repeat([1, 2, 3, 4, 5, 90], [10, 4, 2, 1, 3, 1])
    # Y = 10 / (10 + 2 · 4) = 5/9; D1 = 1 - 2 Y 4/10, D2 = 2 - 3 Y 2/4, D3+ = 3 - 4 Y 1/2
    np.testing.assert_allclose(discounts(counts), [0, 5 / 9, 7 / 6, 17 / 9])


@pytest.mark.parametrize(
    ("n", "why"),
    [
        ([0, 4, 2, 1], "n1 is 0"),
        ([10, 0, 2, 1], "n2 is 0"),
        ([10, 4, 0, 1], "n3 is 0"),
        ([10, 4, 8, 1], "D2 = 2 - 3 · 5/9 · 2 is negative"),
        ([10, 4, 2, 3], "D3+ = 3 - 4 · 5/9 · 3/2 is negative"),
    ],
)
def test_degenerate_counts_give_the_fallback(n, why):
    assert discounts(np.repeat([1, 2, 3, 4], n)) is FALLBACK, why


def test_a_bigram_by_hand():
    """ababaa: ab and ba twice, aa once; n3 is 0 in both orders, so the discounts are 1/2, 1 and 3/2.

    Unigrams count what they come after: a 2 (b and a), b 1 (a). p(a) = (2 - 1 + 3/2 · 1/2) / 3 = 7/12.
    """
    model = NGramModel(np.array([A, B, A, B, A, A], np.uint8), V=2, order=2)
    unigram, bigram = model.probabilities(np.empty((1, 0), np.uint8)), model.probabilities(np.array([[A], [B]]))
    np.testing.assert_allclose(unigram, [[7 / 12, 5 / 12]])
    after_a = [(1 - 1 / 2 + 3 / 2 * 7 / 12) / 3, (2 - 1 + 3 / 2 * 5 / 12) / 3]
    after_b = [(2 - 1 + 1 * 7 / 12) / 2, (0 + 1 * 5 / 12) / 2]
    np.testing.assert_allclose(bigram, [after_a, after_b])
    assert model.size == 2 + 3


def test_a_unigram_counts_how_often_not_after_what():
    p = NGramModel(np.array([A, B, A, B, A, A], np.uint8), V=3, order=1).probabilities(np.array([[B]]))
    np.testing.assert_allclose(p, [[(4 - 3 / 2 + 5 / 2 / 3) / 6, (2 - 1 + 5 / 2 / 3) / 6, 5 / 2 / 3 / 6]])


def test_order_0_is_uniform():
    p = NGramModel(np.array([A, A, B], np.uint8), V=4, order=0).probabilities(np.array([[A], [3]]))
    np.testing.assert_array_equal(p, np.full((2, 4), 1 / 4))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_distributions_are_positive_and_sum_to_1_for_seen_and_unseen_contexts(order, rng):
    V = 7
    ids = np.minimum(rng.geometric(0.4, size=2000) - 1, V - 2).astype(np.uint8)  # the last id never occurs
    model = NGramModel(ids, V, order)
    seen = np.lib.stride_tricks.sliding_window_view(ids, 4)[:100]
    contexts = np.concatenate([seen, rng.integers(V, size=(100, 4)), np.full((1, 4), V - 1)])
    for known in range(5):
        p = model.probabilities(contexts[:, 4 - known :])
        assert (p > 0).all()
        np.testing.assert_allclose(p.sum(axis=1), 1)


def test_unseen_contexts_back_off_to_shorter_ones(rng):
    ids = rng.integers(4, size=500).astype(np.uint8)
    model = NGramModel(ids, V=5, order=3)
    np.testing.assert_array_equal(model.probabilities(np.array([[4, 1]])), model.probabilities(np.array([[1]])))
    assert (model.probabilities(np.array([[2, 1]])) != model.probabilities(np.array([[1]]))).any()


def test_predictions_know_what_comes_before(rng):
    ids = rng.integers(4, size=60).astype(np.uint8)
    model = NGramModel(rng.integers(4, size=300).astype(np.uint8), V=4, order=4)
    losses, hits = predictions(model, ids)
    assert losses.shape == (3, 59)
    for known in (1, 2, 3):
        for i in range(1, 60):
            (p,) = model.probabilities(ids[None, max(0, i - known) : i])
            assert losses[known - 1, i - 1] == pytest.approx(-np.log(p[ids[i]]))
            assert known < 3 or hits[i - 1] == (p.argmax() == ids[i])


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_losses_of_a_text_are_those_of_its_predictions(order, rng):
    """The text has an id that the model has never seen."""
    ids = rng.integers(5, size=200).astype(np.uint8)
    model = NGramModel(rng.integers(4, size=300).astype(np.uint8), V=5, order=order)
    np.testing.assert_allclose(text_losses(model, ids), predictions(model, ids)[0][-1])
    np.testing.assert_allclose(text_losses(model, ids[:2]), text_losses(model, ids)[:1])


def test_context_curve_is_the_mean_over_windows_before_which_nothing_is_known(rng):
    ids = rng.integers(4, size=200).astype(np.uint8)
    model = NGramModel(rng.integers(4, size=300).astype(np.uint8), V=4, order=3)
    alone = [predictions(model, ids[start : start + 17])[0][-1] for start in chain(range(46), range(138, 184))]
    np.testing.assert_allclose(
        context_curve(predictions(model, ids)[0], 16, [slice(0, 46), slice(138, 184)]), np.mean(alone, axis=0)
    )


def test_on_a_source_of_known_entropy():
    """The source looks back two ids: a trigram comes near its entropy, a bigram can't, and nothing falls below."""
    chain = MarkovChain(4, np.random.default_rng(3))
    ids = chain.draw(60_000, np.random.default_rng(4))
    train, test = ids[:40_000], ids[40_000:]
    entropy, of_source = chain.entropy_rate(), chain.loss(test)
    losses = {order: predictions(NGramModel(train, 4, order), test)[0][-1].mean() for order in (0, 1, 2, 3, 5)}
    assert losses[0] == pytest.approx(np.log(4))
    assert losses[3] == pytest.approx(of_source, abs=0.003)
    assert abs(of_source - entropy) < 0.01  # sampling noise, about 0.7 / sqrt(20,000) times 2
    assert all(loss > of_source - 0.0005 for loss in losses.values())
    assert losses[0] > losses[1] > losses[2] > losses[3] + 0.05
    assert losses[5] < losses[3] + 0.05


def test_on_a_source_that_looks_back_one_id_the_bigram_comes_near_the_entropy():
    chain = MarkovChain(4, np.random.default_rng(5))
    chain.probabilities[...] = chain.probabilities[:1]  # whatever the id before the last was
    ids = chain.draw(60_000, np.random.default_rng(6))
    loss = predictions(NGramModel(ids[:40_000], 4, 2), ids[40_000:])[0][-1].mean()
    assert loss == pytest.approx(chain.entropy_rate(), abs=0.01)
    assert chain.loss(ids[40_000:]) - 0.0005 < loss < chain.loss(ids[40_000:]) + 0.002


def test_codes_that_would_not_fit_are_refused():
    with pytest.raises(InputError, match="^the vocabulary has 10000 characters, too many for 5-grams in 64 bits$"):
        NGramModel(np.arange(10, dtype=np.uint16), 10_000, 5)


def test_the_highest_order_that_fits_is_found():
    assert [highest_order(V, 5) for V in (2, 65, 6_208, 6_209, 60_000, 1 << 62)] == [5, 5, 5, 4, 3, 1]
    NGramModel(np.arange(10, dtype=np.uint16), 6_208, highest_order(6_208, 5))
