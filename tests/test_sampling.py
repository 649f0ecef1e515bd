"""Sampling: the right distribution, the same text as without a carried state, and clear errors."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import draw, generate, generate_streams, most_probable, nucleus, scaled_noise, until

VECTORIZER = TextVectorizer("abcde")


@pytest.fixture
def model():
    model = create_char_rnn_model(5, np.random.default_rng(0), embedding_dim=4, hidden_dim=16)
    model.parameters[...] = np.random.default_rng(1).normal(0, 0.7, model.parameters.shape)
    return model


def text(model, start="ab", n=50, seed=0, **options):
    return "".join(generate(model, VECTORIZER, start, n, rng=np.random.default_rng(seed), **options))


@pytest.mark.parametrize("start", ["a", "ab", "ace", "edcba"])
@pytest.mark.parametrize("temperature", [0, 0.5, 1.0])
def test_carried_state_equals_reading_the_whole_text_again(model, start, temperature):
    noise, written = scaled_noise((1, 5), temperature, np.random.default_rng(0)), start
    for _ in range(50):
        logits = np.log(model.predict(VECTORIZER.encode(written))[-1:])
        written += VECTORIZER.vocabulary[draw(logits, next(noise))]
    assert text(model, start, temperature=temperature) == written[len(start) :]


def test_streams_equal_reading_each_whole_text_again(model):
    noise, written = scaled_noise((3, 5), 1.0, np.random.default_rng(0)), ["ab"] * 3
    for _ in range(30):
        logits = np.log([model.predict(VECTORIZER.encode(text))[-1] for text in written])
        written = [text + VECTORIZER.vocabulary[id] for text, id in zip(written, draw(logits, next(noise)))]
    assert generate_streams(model, VECTORIZER, "ab", 30, 3, rng=np.random.default_rng(0)) == [t[2:] for t in written]
    assert len(set(written)) == 3


def test_a_single_stream_is_what_generate_yields(model):
    assert generate_streams(model, VECTORIZER, "ab", 50, 1, rng=np.random.default_rng(0)) == [text(model)]


def test_a_seed_repeats_a_sample(model):
    assert text(model, seed=1) == text(model, seed=1) != text(model, seed=2)


def test_every_character_of_the_start_string_counts(model):
    assert text(model, "abc") != text(model, "dbc")


def test_it_yields_as_many_characters_as_asked_for(model):
    assert [len(text(model, n=n)) for n in (1, 2, 30)] == [1, 2, 30]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_ids_come_from_the_softmax_of_the_logits_over_the_temperature(temperature, rng):
    p = np.array([0.5, 0.3, 0.15, 0.05])
    drawn = draw(np.log(np.tile(p, (20_000, 1))), next(scaled_noise((20_000, 4), temperature, rng)))
    expected = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, expected, atol=0.015)


def test_draws_of_one_stream_and_of_one_step_after_another_are_independent(rng):
    noise = scaled_noise((1, 2), 1.0, rng)
    drawn = np.array([draw(np.zeros((1, 2)), next(noise)) for _ in range(20_000)])
    np.testing.assert_allclose(np.bincount(2 * drawn[:-1] + drawn[1:]) / 20_000, 0.25, atol=0.015)


def test_drawing_leaves_the_logits_as_they_are(rng):
    logits = rng.normal(size=(3, 5)).astype(np.float32)
    before = logits.copy()
    draw(logits, next(scaled_noise((3, 5), 1.0, rng)))
    np.testing.assert_array_equal(logits, before)


def test_temperature_zero_is_greedy(model, rng):
    assert draw(np.array([[0.1, 0.3, 0.2]]), next(scaled_noise((1, 3), 0, rng))) == 1
    assert text(model, seed=1, temperature=0) == text(model, seed=2, temperature=0)


def test_an_impossible_id_is_never_drawn(rng):
    logits, noise = np.tile([-np.inf, 0, -np.inf, 0, -np.inf], (200, 1)), scaled_noise((200, 5), 1.0, rng)
    assert set(draw(logits, next(noise))) == {1, 3}


def test_the_ends_of_the_random_numbers_are_the_least_and_the_greatest_noise():
    ends = np.array([[[0, 0.5, 1 - 2**-24]]], np.float32)
    with np.errstate(all="raise"):
        noise = next(scaled_noise((1, 3), 1.0, SimpleNamespace(random=lambda shape, dtype: ends.copy())))
    expected = [-np.log(25 * np.log(2)), -np.log(np.log(2)), 24 * np.log(2)]
    np.testing.assert_allclose(noise[0], expected, rtol=1e-5)


def test_what_is_excluded_is_not_drawn_even_with_the_least_noise():
    zeros = SimpleNamespace(random=lambda shape, dtype: np.zeros(shape, dtype))
    noise = next(scaled_noise((1, 3), 1.0, zeros))
    assert draw(most_probable(np.array([[0.0, 5.0, 1.0]]), 1), noise) == 1


@pytest.mark.parametrize(("start", "n"), [("abc", 30), ("a", 30), ("abc", 1)])
def test_the_start_string_is_read_once_and_every_further_character_takes_one_step(model, monkeypatch, start, n):
    cls, read, steps = type(model), [], []
    forward, stepper = cls.forward, cls.stepper

    def counting(self, *args):
        step = stepper(self, *args)
        return lambda ids: steps.append(ids) or step(ids)

    monkeypatch.setattr(cls, "forward", lambda self, x, *rest: read.append(x.shape) or forward(self, x, *rest))
    monkeypatch.setattr(cls, "stepper", counting)
    text(model, start, n)
    assert read == [(len(start), 1)] and len(steps) == n - 1


def test_the_noise_does_not_depend_on_how_much_is_made_at_once(monkeypatch):
    def first(n):
        noise = scaled_noise((2, 3), 1.0, np.random.default_rng(0))
        return np.array([next(noise) for _ in range(n)])

    expected = first(40)
    monkeypatch.setattr("charrnn.sampling.NOISE_AT_ONCE", 6 * 7)
    np.testing.assert_array_equal(first(40), expected)
    assert len(np.unique(expected)) == expected.size


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
def test_no_temperature_overflows(temperature):
    with np.errstate(over="raise", invalid="raise"):
        noise = next(scaled_noise((20_000, 4), temperature, np.random.default_rng(0)))
    drawn = np.bincount(draw(np.array([[0.0, 0, 1, 0]]), noise), minlength=4) / 20_000
    np.testing.assert_allclose(drawn, 0.25 if temperature > 1 else [0, 0, 1, 0], atol=0.015)


def test_a_nul_is_a_character_like_others(model, rng):
    streams = generate_streams(model, TextVectorizer("\0abcd"), "a", 100, 3, rng=rng)
    assert [len(stream) for stream in streams] == [100] * 3 and "\0" in streams[0]


def test_a_vocabulary_of_another_size_is_refused(model, rng):
    with pytest.raises(InputError, match="the vocabulary has 3 characters; the network predicts 5"):
        generate(model, TextVectorizer("abc"), "a", 5, rng=rng)


def test_a_tiny_temperature_does_not_overflow(rng):
    with np.errstate(over="raise", invalid="raise"):
        noise = next(scaled_noise((1, 3), 1e-30, rng))
        assert draw(np.array([[1e4, -1e4, 0]], np.float32), noise) == 0


def test_no_stream_is_refused(model, rng):
    with pytest.raises(InputError, match="num_streams is 0; it must be at least 1"):
        generate_streams(model, VECTORIZER, "a", 5, 0, rng=rng)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(start=""), "start_string is empty; it must have at least one character"),
        (dict(start="abX"), "start_string is 'abX': the vocabulary lacks 'X' at position 2"),
        (dict(top_k=-1), "top_k is -1; it must be an integer of at least 0"),
        (dict(top_k=1.5), "top_k is 1.5; it must be an integer of at least 0"),
        (dict(top_p=0.0), "top_p is 0.0; it must be a number above 0 and at most 1"),
        (dict(top_p=float("nan")), "top_p is nan; it must be a number above 0 and at most 1"),
        (dict(temperature=-1.0), "temperature is -1.0; it must be a number of at least 0"),
        (dict(temperature=float("inf")), "temperature is inf; it must be a number of at least 0"),
        (dict(temperature=float("nan")), "temperature is nan; it must be a number of at least 0"),
    ],
)
def test_nonsense_is_refused_at_once(model, options, message):
    with pytest.raises(InputError) as error:
        text(model, **options)
    assert str(error.value) == message


P = np.array([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]])


@pytest.mark.parametrize(("k", "kept"), [(1, [[1], [0]]), (2, [[1, 3], [0, 1, 2, 3]]), (3, [[1, 2, 3], [0, 1, 2, 3]])])
def test_top_k_keeps_the_k_largest_and_their_equals(k, kept):
    logits = most_probable(np.log(P), k)
    assert [np.flatnonzero(row > -np.inf).tolist() for row in logits] == kept
    np.testing.assert_array_equal(logits[logits > -np.inf], np.log(P)[logits > -np.inf])


@pytest.mark.parametrize(
    ("p", "temperature", "kept"),
    [
        (0.39, 1.0, [[1], [0]]),
        (0.41, 1.0, [[1, 3], [0]]),
        (0.71, 1.0, [[1, 2, 3], [0]]),
        (0.985, 1.0, [[0, 1, 2, 3], [0, 1, 2]]),
        (0.41, 0.5, [[1], [0]]),  # 16 / 30 are enough
        (0.999, 1e-300, [[1], [0]]),
    ],
)
def test_top_p_keeps_the_fewest_with_that_probability(p, temperature, kept):
    logits = nucleus(np.log(P), temperature, p)
    assert [np.flatnonzero(row > -np.inf).tolist() for row in logits] == kept
    np.testing.assert_array_equal(logits[logits > -np.inf], np.log(P)[logits > -np.inf])


@pytest.mark.parametrize(("p", "kept"), [(0.25, 1), (0.2500001, 2), (0.5, 2), (0.75, 3), (0.7500001, 4), (1.0, 4)])
def test_top_p_keeps_no_more_characters_than_add_up_to_p(p, kept):
    assert np.isfinite(nucleus(np.zeros((1, 4)), 1.0, p)).sum() == kept
    np.testing.assert_array_equal(nucleus(np.zeros((1, 2)), 1.0, 0.5), [[0, -np.inf]])


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_of_equally_probable_characters_top_p_keeps_the_first(p, rng):
    logits = rng.integers(3, size=(4, 64)).astype(np.float32)
    for row, kept in zip(logits, np.isfinite(nucleus(logits, 1.0, p))):
        by_rank = sorted(range(64), key=lambda i: -row[i])  # Python's sort is stable
        before = np.cumsum(np.exp(row[by_rank])) / np.exp(row).sum()
        assert np.flatnonzero(kept).tolist() == sorted(by_rank[: 1 + np.searchsorted(before, p)])


@pytest.mark.parametrize(("temperature", "factor"), [(1e-3, 1e-3), (1e-20, 1e-20), (1e-40, 1e-30), (1e20, 1e20)])
def test_the_noise_is_in_proportion_to_the_temperature(temperature, factor):
    one, scaled = (next(scaled_noise((3, 5), t, np.random.default_rng(0))) for t in (1.0, temperature))
    np.testing.assert_allclose(scaled, one * np.float32(factor), rtol=1e-6)


def test_what_is_drawn_is_among_what_top_k_and_top_p_keep(model):
    for options in (dict(top_k=2), dict(top_p=0.5), dict(top_k=3, top_p=0.5)):
        written = "ab"
        for character in text(model, n=60, **options):
            logits = np.log(model.predict(VECTORIZER.encode(written))[-1:])
            kept = most_probable(logits, options.get("top_k", 5))
            kept = nucleus(kept, 1.0, options.get("top_p", 1.0))
            assert kept[0, VECTORIZER.vocabulary.index(character)] > -np.inf
            written += character
    assert text(model, top_k=1) == text(model, temperature=0)
    assert text(model, top_k=9, top_p=1.0) == text(model)


@pytest.mark.parametrize(
    ("stop", "expected"), [("", "abcabd"), ("ca", "abca"), ("abd", "abcabd"), ("x", "abcabd"), ("a", "a")]
)
def test_until(stop, expected):
    assert "".join(until("abcabd", stop)) == expected


def test_memory_does_not_grow_with_the_start_string(model, rng):
    def peak(length):
        tracemalloc.start()
        next(generate(model, VECTORIZER, "abcde" * (length // 5), 1, rng=rng))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(5)
    short, long = peak(5_000), peak(50_000)
    assert long < short + 50_000 * 8  # the ids and code points of the text itself


def test_a_vocabulary_of_any_size_is_read_in_pieces_of_at_least_one(model, monkeypatch):
    expected = text(model, "abcde")
    monkeypatch.setattr("charrnn.reading.LOGITS_AT_ONCE", 4)
    assert text(model, "abcde") == expected


def test_a_long_start_string_is_not_repeated_in_an_error(model, rng):
    with pytest.raises(InputError) as error:
        generate(model, VECTORIZER, "abcde" * 200_000 + "\x1b[31m" * 9, 5, rng=rng)
    message = str(error.value)
    assert message.startswith("start_string is 'abcdeabcde") and len(message) < 500
    assert message.endswith(
        "...: the vocabulary lacks '\\x1b' at position 1000000, '[' at position 1000001,"
        " '3' at position 1000002, '1' at position 1000003, 'm' at position 1000004 and 40 more"
    )
