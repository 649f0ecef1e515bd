"""Our matrix products run on one BLAS thread, and the caller's own code on as many as before."""

from math import inf

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from charrnn import (
    Embedding,
    Model,
    TextVectorizer,
    blas,
    context_curve,
    evaluate,
    generate,
    generate_streams,
    gradient_check,
)
from charrnn.blas import BLOCK, POOLS, on_one_blas_thread, one_blas_thread
from charrnn.calibration import calibrate
from charrnn.layers import GRU, Dense

VECTORIZER = TextVectorizer("abcd")
IDS = np.random.default_rng(0).integers(4, size=60)


def threads():
    """The number of threads of each BLAS."""
    return [pool.num_threads for pool in POOLS]


@pytest.fixture(autouse=True)
def two_threads():
    """BLAS uses two threads in a test, before and after whatever it calls."""
    with threadpool_limits(2, user_api="blas"):
        if not POOLS or threads() != [2] * len(POOLS):
            pytest.skip("the number of threads of this BLAS can't be set")
        yield
        assert threads() == [2] * len(POOLS)


SEEN = []


class Recording(Dense):
    """A dense layer that records the number of threads whenever it is used."""

    def forward(self, p, x, buffers):
        SEEN.extend(threads())
        return super().forward(p, x, buffers)

    def backward(self, p, grad, x, dy, buffers):
        SEEN.extend(threads())
        return super().backward(p, grad, x, dy, buffers)

    def stepper(self, p, x, state):
        x, y, step = super().stepper(p, x, state)
        return x, y, lambda: (SEEN.extend(threads()), step())


def sampled(function, *arguments):
    return lambda model: list(function(model, VECTORIZER, "ab", *arguments, rng=np.random.default_rng(0)))


def forward_and_backward(model):
    buffers = model.allocate(5, 2)
    model.backward(model.forward(IDS[:10].reshape(5, 2), buffers), buffers)


USES = {
    "fit": lambda model: model.fit(
        IDS, IDS, rng=np.random.default_rng(0), window_size=5, stride=5, num_epochs=1, workers=1
    ),
    "evaluate": lambda model: evaluate(model, IDS),
    "predict": lambda model: model.predict(IDS),
    "context_curve": lambda model: context_curve(model, IDS, 5),
    "calibrate": lambda model: calibrate(model, IDS),
    "generate": sampled(generate, 2 * BLOCK + 1),
    "generate_streams": sampled(generate_streams, 9, 3),
    "gradient_check": lambda model: gradient_check(Recording(3, 2), np.random.default_rng(0)),
    "forward and backward": forward_and_backward,
    "step by step": lambda model: model.stepper(1),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_every_product_runs_on_one_thread(use):
    model = Model([Embedding(4, 3), Recording(3, 3), GRU(3, 5), Recording(5, 4)], np.random.default_rng(0))
    SEEN.clear()
    use(model)
    assert SEEN and set(SEEN) == {1}


def test_initial_weights_are_drawn_on_one_thread(monkeypatch):
    seen, qr = [], np.linalg.qr
    monkeypatch.setattr(np.linalg, "qr", lambda a: (seen.extend(threads()), qr(a))[1])
    Model([Embedding(4, 3), GRU(3, 5), Dense(5, 4)], np.random.default_rng(0))
    assert seen and set(seen) == {1}


def test_between_two_characters_the_caller_has_its_threads():
    model = Model([Embedding(4, 3), GRU(3, 5), Dense(5, 4)], np.random.default_rng(0))
    for _ in generate(model, VECTORIZER, "ab", BLOCK + 2, rng=np.random.default_rng(0)):
        assert threads() == [2] * len(POOLS)


def test_an_iterator_computes_a_block_at_a_time_and_no_more(monkeypatch):
    computed = []
    monkeypatch.setattr(blas, "BLOCK_SECONDS", inf)
    items = on_one_blas_thread(computed.append(i) or i for i in range(BLOCK + 3))
    assert (next(items), len(computed)) == (0, BLOCK)
    assert [0, *items] == list(range(BLOCK + 3)) == computed


def test_slow_items_are_computed_one_by_one(monkeypatch):
    computed = []
    monkeypatch.setattr(blas, "BLOCK_SECONDS", -1)  # passed as soon as an item is there
    for i, item in enumerate(on_one_blas_thread(computed.append(i) or i for i in range(9))):
        assert (item, len(computed)) == (i, i + 1)


def test_an_error_restores_the_threads():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        assert threads() == [1] * len(POOLS)
        1 / 0  # noqa: B018
