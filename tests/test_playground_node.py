"""The playground's arithmetic, run in Node, computes what NumPy computes with the same rounded weights."""

from itertools import pairwise

import numpy as np
import pytest

from charrnn.activations import softmax
from charrnn.evaluation import evaluate
from charrnn.layers import GRU, Dense, Embedding
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate, most_probable, nucleus
from playground.layers import folds, page_layers
from playground.rounding import BYTES
from playground.twin import twin
from tests.playground_page import ALPHABET, CHAINS, V, in_node, model_of, packed
from tests.requirements_report import find_node

pytestmark = pytest.mark.skipif(not find_node(), reason="needs Node.js, see the first lines of pytest's output")

GREEDY = {"temperature": 0, "topK": 0, "topP": 1}


@pytest.mark.parametrize("name", CHAINS)
def test_losses_and_greedy_samples_are_those_of_numpy(name, rng):
    model = model_of(CHAINS[name])
    assert folds(model) is ("folded" in name)
    ids, start = rng.integers(0, V, 4000), "abc"
    jobs, expected = [], []
    for precision in BYTES:
        layers = page_layers(model, precision)
        network, in_numpy = packed(layers, precision), twin(layers)
        jobs.append({"job": "loss", "network": network, "ids": ids.tolist()})
        expected.append(evaluate(in_numpy, ids)["loss"])
        jobs.append({"job": "sample", "network": network, "start": start, "length": 200, "settings": GREEDY, "seed": 0})
        written = generate(in_numpy, TextVectorizer(ALPHABET), start, 200, rng=rng, temperature=0)
        expected.append("".join(written))
    results = in_node(*jobs)
    np.testing.assert_allclose(results[::2], expected[::2], rtol=0, atol=1e-5)
    assert results[1::2] == expected[1::2]
    assert results[-2] == pytest.approx(model.evaluate(ids)["loss"], abs=1e-5)  # float32 is not rounded at all
    assert abs(results[-2] - np.log(V)) > 0.01
    assert len(set(results[-1])) > 1 or "tied" in name  # without training, tied networks repeat a character


def test_a_large_alphabet_and_astral_characters(rng):
    vocabulary = "".join(map(chr, [*range(0x4E00, 0x4E00 + 4990), *range(0x1F600, 0x1F60A)]))
    model = model_of([Embedding(5000, 8), GRU(8, 9), Dense(9, 5000)])
    layers = page_layers(model, "int8")
    network, ids = packed(layers, "int8", vocabulary), rng.integers(0, 5000, 300)
    sample = {"start": "😀一", "length": 60, "settings": GREEDY, "seed": 0}
    loss, text = in_node(
        {"job": "loss", "network": network, "ids": ids.tolist()}, {"job": "sample", "network": network, **sample}
    )
    assert loss == pytest.approx(evaluate(twin(layers), ids)["loss"], abs=1e-5)
    written = "".join(generate(twin(layers), TextVectorizer(vocabulary), "😀一", 60, rng=rng, temperature=0))
    assert text == written[: len(text)] and len(text) >= 30


@pytest.mark.parametrize("temperature", [1e-300, 0.3, 1, 1.7, 1e30])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1), (3, 1), (50, 1), (0, 0.6), (4, 0.9), (0, 1e-9)])
def test_probabilities_are_those_that_python_draws_from(temperature, top_k, top_p, rng):
    logits = rng.normal(0, 2, 12)
    logits[[2, 7]] = np.sort(logits)[-3]  # a tie for the third place
    kept = logits[None]
    if 0 < top_k < 12:
        kept = most_probable(kept, top_k)
    if top_p < 1:
        kept = nucleus(kept, temperature, top_p)
    settings = {"temperature": temperature, "topK": top_k, "topP": top_p}
    (p,) = in_node({"job": "probabilities", "logits": logits.tolist(), "settings": settings})
    with np.errstate(over="ignore"):
        expected = softmax((kept[0] - kept.max()) / temperature)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


def test_temperature_0_takes_the_first_of_the_most_probable_characters():
    settings = {"temperature": 0, "topK": 2, "topP": 0.1}
    (p,) = in_node({"job": "probabilities", "logits": [1, 3, 3, 2], "settings": settings})
    assert p == [0, 1, 0, 0]


def test_equally_probable_candidates_stay_in_order():
    (ids,) = in_node({"job": "mostProbable", "p": [0.1, 0.3, 0.2, 0.3, 0.1], "k": 4})
    assert ids == [1, 3, 2, 0]


def test_each_character_is_picked_on_its_share_of_the_line():
    (ids,) = in_node({"job": "pick", "p": [0, 0.25, 0, 0.5, 0.25, 0], "numbers": [0, 0.24, 0.25, 0.74, 0.75, 0.999, 1]})
    assert ids == [1, 1, 3, 3, 4, 4, 4]


def sfc32(seed, n):
    """Numbers in 0 … 1 from the generator sfc32, written with Python's unbounded integers."""
    mask, a, b, c, count, words = 2**32 - 1, 0, seed % 2**32, seed >> 32, 1, []
    for _ in range(15 + 2 * n):
        word = (a + b + count) & mask
        count += 1
        a, b, c = b ^ b >> 9, (c + (c << 3)) & mask, ((c << 21 | c >> 11) + word) & mask
        words.append(word)
    pairs = list(zip(words[15::2], words[16::2]))
    return [((high >> 5) * 2**26 + (low >> 6)) / 2**53 for high, low in pairs]


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**32 + 5, 2**53 - 1])
def test_random_numbers_are_those_of_the_published_generator(seed):
    (numbers,) = in_node({"job": "random", "seed": seed, "length": 1000})
    assert numbers == sfc32(seed, 1000)
    assert abs(np.mean(numbers) - 0.5) < 0.05


def test_a_seed_repeats_a_sample_and_another_one_does_not():
    network = packed(page_layers(model_of(CHAINS["gru"]), "int8"), "int8")
    settings = {"temperature": 1, "topK": 0, "topP": 0.9}
    job = {"job": "sample", "network": network, "start": "a", "length": 300, "settings": settings}
    one, same, other = in_node(job | {"seed": 1}, job | {"seed": 1}, job | {"seed": 2})
    assert one == same != other


def test_exp_and_tanh_are_exact_to_the_last_digits():
    x = np.concatenate([np.linspace(-50, 50, 2001), np.linspace(-700, 700, 101), np.linspace(-1, 1, 301)])
    ((exp, tanh),) = in_node({"job": "functions", "x": x.tolist()})
    np.testing.assert_allclose(np.array(exp, float), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(tanh, np.tanh(x), rtol=0, atol=4e-16)
    assert all(left <= right for left, right in pairwise(tanh[:2001]))
    ((exp, tanh),) = in_node({"job": "functions", "x": [-1e9, -709, 1000]})
    assert exp == [0, 0, None] and tanh == [-1, -1, 1]  # JSON has no infinity
