"""Reading piece by piece: what a network expects, and how much each character surprises it, however the text is cut."""

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.models import create_char_rnn_model
from charrnn.reading import LN2, candidates, context_after, surprise

V = 5


@pytest.fixture(params=["gru", "lstm", "rnn"])
def model(request, rng):
    settings = dict(embedding_dim=4, hidden_dim=16, num_layers=2, cell=request.param, dtype=np.float64)
    model = create_char_rnn_model(V, rng, **settings)
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.shape)
    return model


def in_small_pieces(monkeypatch, length, logits_at_once=1000):
    monkeypatch.setattr("charrnn.reading.READ_AT_ONCE", length)
    monkeypatch.setattr("charrnn.reading.LOGITS_AT_ONCE", logits_at_once)


def assert_same_context(context, expected):
    np.testing.assert_allclose(context.logits, expected.logits, rtol=1e-12)
    for of_layer, of_expected in zip(context.state, expected.state, strict=True):
        assert of_layer.keys() == of_expected.keys()
        for name, h in of_layer.items():
            np.testing.assert_allclose(h, of_expected[name], rtol=1e-12)


@pytest.mark.parametrize("length", [1, 7, 12, 13, 14, 30])
def test_a_text_read_in_pieces_leaves_what_one_read_at_once_leaves(model, length, monkeypatch, rng):
    """Up to rounding: the last piece is a product with fewer rows, which BLAS may sum in another order."""
    ids = rng.integers(V, size=length)
    at_once, bits = context_after(model, ids), surprise(model, ids)[0]
    for limits in ((7, 1000), (1000, 7 * V), (1000, 1)):
        in_small_pieces(monkeypatch, *limits)
        assert_same_context(context_after(model, ids), at_once)
        bits_of_pieces, context = surprise(model, ids)
        np.testing.assert_allclose(bits_of_pieces, bits, rtol=1e-12)
        assert_same_context(context, at_once)


def test_the_surprise_is_that_of_the_predictions(model, rng):
    ids = rng.integers(V, size=40)
    bits, context = surprise(model, ids)
    p = model.predict(ids)
    assert np.isnan(bits[0])
    np.testing.assert_allclose(bits[1:], -np.log2(p[np.arange(39), ids[1:]]))
    np.testing.assert_allclose(context.probabilities(), p[-1])


def test_surprises_add_up_to_the_loss_of_the_text(model, rng):
    ids = rng.integers(V, size=500).astype(np.uint8)
    bits, _ = surprise(model, ids)
    np.testing.assert_allclose(bits[1:].sum() * LN2 / 499, evaluate(model, ids)["loss"], rtol=1e-12)


@pytest.mark.parametrize("cuts", [[0, 20], [1, 20], [7, 8, 20], [20, 20]], ids=str)
def test_reading_on_from_a_context_is_reading_the_whole(model, cuts, rng):
    ids = rng.integers(V, size=30)
    whole, expected = surprise(model, ids)
    context, bits = None, []
    for piece in np.split(ids, cuts):
        of_piece, context = surprise(model, piece, context)
        bits.append(of_piece)
    np.testing.assert_allclose(np.concatenate(bits), whole, rtol=1e-12)
    assert_same_context(context, expected)


def test_a_context_can_be_read_on_from_as_often_as_one_likes(model, rng):
    _, context = surprise(model, rng.integers(V, size=10))
    first, other, again = (surprise(model, np.array(ids), context)[0] for ids in ([1, 2], [3, 3], [1, 2]))
    np.testing.assert_array_equal(again, first)
    assert (first != other).all() and np.isfinite(first).all()


def test_nothing_read_is_no_context(model):
    bits, context = surprise(model, np.empty(0, np.uint8))
    assert (len(bits), context) == (0, None)


def test_a_surprise_of_thousands_of_bits_is_a_number(model):
    model.parameters[-V:] = [0, 5000, 0, 0, 0]
    bits, _ = surprise(model, np.array([1, 1, 0]))
    assert bits[1] < 1e-6 and 5000 / LN2 - 100 < bits[2] < 5000 / LN2 + 100


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([0, V]), r"ids: id 5 at position 1; the model knows only 0 to 4"),
        (np.array([0.5]), r"ids: the dtype float64 is not allowed"),
        (np.zeros((2, 2), int), r"ids: the shape is \(2, 2\); it must be \(n,\)"),
    ],
)
def test_what_is_no_text_is_refused(model, ids, message):
    with pytest.raises(InputError, match=message):
        surprise(model, ids)


def test_candidates_are_the_most_probable_first_and_of_equals_the_lowest_id():
    ids, probabilities = candidates(np.array([[0.1, 0.3, 0.4, 0.1, 0.1], [0, 0, 0, 0, 1]]), 4)
    assert ids.tolist() == [[2, 1, 0, 3], [4, 0, 1, 2]]
    assert probabilities.tolist() == [[0.4, 0.3, 0.1, 0.1], [1, 0, 0, 0]]
    of_one, _ = candidates(np.array([0.2, 0.8]), 9)
    assert of_one.tolist() == [1, 0]
