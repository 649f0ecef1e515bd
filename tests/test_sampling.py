"""Sampling: the right distribution, the same text as from reading everything again, and clear refusals."""

from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate, sample_id

VECTORIZER = TextVectorizer("abcde")


@pytest.fixture
def model():
    model = create_char_rnn_model(5, np.random.default_rng(0), embedding_dim=4, hidden_dim=16)
    model.parameters[...] = np.random.default_rng(1).normal(0, 0.7, model.parameters.shape)
    return model


def text(model, start="ab", n=50, seed=0, **options):
    return "".join(generate(model, VECTORIZER, start, n, rng=np.random.default_rng(seed), **options))


@pytest.mark.parametrize("temperature", [0, 0.5, 1.0])
def test_carried_state_equals_reading_the_whole_text_again(model, temperature):
    rng, written = np.random.default_rng(0), "ab"
    for _ in range(50):
        logits = np.log(model.predict(VECTORIZER.encode(written))[-1])
        written += VECTORIZER.vocabulary[sample_id(logits, temperature, rng)]
    assert text(model, temperature=temperature) == written[2:]


def test_a_seed_repeats_a_sample(model):
    assert text(model, seed=1) == text(model, seed=1) != text(model, seed=2)


def test_every_character_of_the_start_string_counts(model):
    assert text(model, "abc") != text(model, "dbc")


def test_it_yields_as_many_characters_as_asked_for(model):
    assert [len(text(model, n=n)) for n in (1, 2, 30)] == [1, 2, 30]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_ids_come_from_the_softmax_of_the_logits_over_the_temperature(temperature, rng):
    p = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = [sample_id(np.log(p), temperature, rng) for _ in range(20_000)]
    expected = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, expected, atol=0.015)


def test_temperature_zero_is_greedy(model, rng):
    assert sample_id(np.array([0.1, 0.3, 0.2]), 0, rng) == 1
    assert text(model, seed=1, temperature=0) == text(model, seed=2, temperature=0)


def test_an_impossible_id_is_never_drawn(rng):
    logits = np.array([-np.inf, 0, -np.inf, 0, -np.inf], np.float32)
    assert {sample_id(logits, 1.0, rng) for _ in range(200)} == {1, 3}


@pytest.mark.parametrize(
    ("drawn", "possible", "expected"),
    [(0.0, [0, 1, 1], 1), (np.nextafter(1, 0), [1, 1, 0], 1), (np.nextafter(1, 0), [1, 1, 1], 2)],
)
def test_the_ends_of_the_random_numbers_draw_the_first_and_last_possible_id(drawn, possible, expected):
    logits = np.where(possible, 0, -np.inf)
    assert sample_id(logits, 1.0, SimpleNamespace(random=lambda: drawn)) == expected


@pytest.mark.parametrize(("start", "n"), [("abc", 30), ("a", 30), ("abc", 1)])
def test_the_start_string_is_read_once_and_every_further_character_takes_one_step(model, monkeypatch, start, n):
    forward, read = type(model).forward, []
    monkeypatch.setattr(type(model), "forward", lambda self, x, *rest: read.append(x.shape) or forward(self, x, *rest))
    text(model, start, n)
    assert read == [(len(start), 1)] + [(1, 1)] * (n - 1)


def test_a_tiny_temperature_does_not_overflow(rng):
    with np.errstate(over="raise", invalid="raise"):
        assert sample_id(np.array([1e4, -1e4, 0], np.float32), 1e-3, rng) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(start=""), "start_string is empty; it must have at least one character"),
        (
            dict(start="abX"),
            "start_string is 'abX': text has characters that are not in the vocabulary: 'X' at position 2",
        ),
        (dict(temperature=-1.0), "temperature is -1.0; it must be a finite number of at least 0"),
        (dict(temperature=float("inf")), "temperature is inf; it must be a finite number of at least 0"),
        (dict(temperature=float("nan")), "temperature is nan; it must be a finite number of at least 0"),
    ],
)
def test_nonsense_is_refused_at_once(model, options, message):
    with pytest.raises(InputError) as error:
        text(model, **options)
    assert str(error.value) == message
