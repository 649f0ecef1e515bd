"""Training: it learns a source of known entropy as well as can be, and does what each of its settings says."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.errors import DivergenceError, InputError
from charrnn.evaluation import evaluate
from charrnn.layers import GRU, Dense, DropoutMasks, Embedding
from charrnn.models import Model, create_char_rnn_model
from charrnn.network import Network
from charrnn.optimizers import SGD, Nadam
from charrnn.schedules import learning_rate
from charrnn.training import Callback, best_epoch
from charrnn.training.network import training_network
from charrnn.training.shard import Shard
from tests.callbacks import Calls
from tests.markov import MarkovChain
from tests.networks import layer_names

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's own words on an overflow
V = 5
TEXT = np.zeros(200, np.uint8)


@pytest.fixture(scope="module")
def source():
    return MarkovChain(V, np.random.default_rng(3))


@pytest.fixture(scope="module")
def texts(source):
    rng = np.random.default_rng(4)
    return source.draw(60_000, rng), source.draw(20_000, rng)


def small_model(seed=0, **options):
    return create_char_rnn_model(V, np.random.default_rng(seed), embedding_dim=5, hidden_dim=24, **options)


def fit(model, train_ids, validation_ids, *callbacks, rng, **settings):
    """Train with one worker, and unless the settings say otherwise, without clipping and on windows side by side."""
    settings = dict(workers=1, clip_norm=0.0, stride=settings.get("window_size", 100)) | settings
    return model.fit(train_ids, validation_ids, rng=rng, callbacks=callbacks, **settings)


@pytest.mark.parametrize(
    ("options", "cell"),
    [
        (dict(window_size=20, stride=5), "gru"),
        (dict(window_size=20, stride=5), "rnn"),
        (dict(window_size=20, batch_size=8, carry_state=True), "gru"),
        (dict(window_size=6, stride=2, targets="last"), "gru"),
        (dict(window_size=20, stride=5, schedule="cosine", warmup_batches=100, weight_decay=0.01), "lstm"),
        (dict(window_size=20, stride=5, dropout=0.1), "gru"),
        (dict(window_size=20, batch_size=8, carry_state=True, workers=2), "gru"),
    ],
    ids=["every", "simple-rnn", "carry-state", "last", "lstm-cosine", "dropout", "two-workers"],
)
def test_held_out_loss_comes_close_to_the_entropy_of_the_source_and_not_below(source, texts, options, cell, rng):
    train_ids, held_out = texts
    model = small_model(cell=cell)
    fit(model, train_ids, held_out[:2000], rng=rng, optimizer=Nadam(0.005), num_epochs=4, clip_norm=1.0, **options)
    loss, entropy, floor = evaluate(model, held_out)["loss"], source.entropy_rate(), source.loss(held_out)
    assert abs(floor - entropy) < 0.02  # the held-out text is typical of its source
    assert floor - 0.001 < loss < floor + 0.03


def optimizer(update):
    return SimpleNamespace(learning_rate=1.0, state=lambda parameters: None, update=update)


def shard(model, **settings):
    """The whole of every batch, as this model is trained with these settings."""
    return Shard(training_network(model, TrainingConfig(**settings), DropoutMasks(seed=0)))


def test_last_trains_on_the_final_position_alone(rng):
    model = small_model()
    x, y = rng.integers(V, size=(2, 7, 3))
    last = shard(model, targets="last")
    assert last.network.allocate(7, 3).output_steps == 1
    loss, _ = last.loss_and_gradient(x, y)
    expected = -np.log(model.predict(x)[-1, np.arange(3), y[-1]]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    y[:-1] = 0
    assert last.loss_and_gradient(x, y)[0] == loss


@pytest.mark.parametrize(
    "layers",
    [[Embedding(V, V)], [Embedding(V, 4), GRU(4, V)], [Embedding(V, 4), GRU(4, 4), Dense(4, 3), Dense(3, V)]],
    ids=layer_names,
)
def test_last_trains_on_the_final_position_whatever_the_last_layer_is(layers, rng):
    model = Model(layers, rng)
    model.parameters[...] = rng.normal(size=len(model.parameters))
    x, y = rng.integers(V, size=(2, 7, 3))
    loss, _ = shard(model, targets="last", dropout=0.0).loss_and_gradient(x, y)
    expected = -np.log(model.predict(x)[-1, np.arange(3), y[-1]]).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_every_trains_on_all_positions(rng):
    model = small_model()
    x, y = rng.integers(V, size=(2, 7, 3))
    loss, _ = shard(model, targets="every").loss_and_gradient(x, y)
    probabilities = np.take_along_axis(model.predict(x), y[..., None], axis=-1)
    np.testing.assert_allclose(loss, -np.log(probabilities).mean(), rtol=1e-5)


def evaluate_alike(monkeypatch, *losses):
    """Make the validation losses of the epochs these, whatever the model."""
    losses = iter(losses)
    evaluation = "charrnn.training.trainer.evaluate"
    monkeypatch.setattr(evaluation, lambda *args, **options: {"loss": next(losses), "accuracy": 0.0})


@pytest.mark.parametrize(("carry_state", "expected"), [(False, 0), (True, 2 * 9)])
def test_state_is_carried_only_on_purpose_and_not_into_the_next_epoch(carry_state, expected, monkeypatch, rng):
    passed, forward = [], Network.forward
    monkeypatch.setattr(Network, "forward", lambda *args: passed.append(args[3]) or forward(*args))
    ids = rng.integers(V, size=401)
    evaluate_alike(monkeypatch, 0.0, 0.0)
    fit(small_model(), ids, ids, rng=rng, num_epochs=2, batch_size=4, window_size=10, carry_state=carry_state)
    assert len(passed) == 2 * 10
    assert sum(state is not None and state[1]["h"].any() for state in passed) == expected


def test_carried_state_is_that_of_one_long_pass(rng):
    ids = rng.integers(V, size=41)
    model = small_model()
    losses = []
    fit(
        model,
        ids,
        ids,
        Calls(batch=lambda now, loss: losses.append(loss)),
        rng=rng,
        optimizer=SGD(learning_rate=1e-30),
        num_epochs=1,
        batch_size=1,
        window_size=10,
        carry_state=True,
    )
    whole = -np.log(model.predict(ids[:-1])[np.arange(40), ids[1:]])
    np.testing.assert_allclose(losses, whole.reshape(4, 10).mean(axis=1), rtol=1e-5)


def test_one_seed_one_model(texts):
    def trained(seed):
        rng = np.random.default_rng(seed)
        model = create_char_rnn_model(V, rng, embedding_dim=5, hidden_dim=24)
        history = fit(model, texts[0][:3000], texts[1][:500], rng=rng, num_epochs=2)
        return model.parameters.tobytes(), history

    assert trained(1) == trained(1)
    assert trained(1) != trained(2)


def test_the_history_has_a_row_for_each_epoch(texts, rng):
    model, epochs, batches = small_model(), [], []
    history = fit(
        model,
        texts[0][:2001],
        texts[1][:501],
        Calls(
            batch=lambda now, loss: batches.append((now.epoch, now.batch, now.num_batches, loss)),
            epoch=lambda now: epochs.append(len(now.history)),
        ),
        rng=rng,
        optimizer=Nadam(0.002),
        num_epochs=3,
        window_size=100,
        stride=100,
        batch_size=8,
    )
    assert [row["epoch"] for row in history] == epochs == [1, 2, 3]
    assert [progress[:3] for progress in batches] == [(e, b, 3) for e in (1, 2, 3) for b in (1, 2, 3)]
    last = evaluate(model, texts[1][:501], num_streams=8)
    assert history[-1]["validation_loss"] == last["loss"]
    assert history[-1]["validation_accuracy"] == last["accuracy"]
    assert history[-1]["learning_rate"] == 0.002
    last_losses = np.array([loss for epoch, _, _, loss in batches if epoch == 3])
    np.testing.assert_allclose(history[-1]["train_loss"], last_losses @ [8, 8, 4] / 20)


@pytest.mark.parametrize("clip_norm", [0.0, 0.01])
def test_the_gradient_norm_is_the_mean_over_the_batches_of_an_epoch_before_clipping(texts, clip_norm):
    def history(clip_norm):
        norms = []
        observer = optimizer(lambda parameters, gradient, state: norms.append(np.linalg.norm(gradient)))
        data = dict(train_ids=texts[0][:2001], validation_ids=texts[1][:9], batch_size=8, num_epochs=2)
        rows = fit(small_model(), rng=np.random.default_rng(0), optimizer=observer, clip_norm=clip_norm, **data)
        return [row["gradient_norm"] for row in rows], norms

    _, norms = history(0.0)
    assert len(norms) == 6 and min(norms) > 0.01
    np.testing.assert_allclose(history(clip_norm)[0], [np.mean(norms[:3]), np.mean(norms[3:])], rtol=1e-5)


@pytest.mark.parametrize(
    ("n", "batch_size", "expected"),
    [(401, 4, 10), (403, 4, 10), (405, 4, 11), (41, 41, 1), (41, 1000, 1)],
)
def test_the_number_of_batches_is_known_beforehand_where_state_is_carried(n, batch_size, expected, rng):
    ids, seen = rng.integers(V, size=n), []
    callback = Calls(batch=lambda now, _: seen.append((now.epoch, now.batch, now.num_batches)))
    options = dict(num_epochs=1, batch_size=batch_size, window_size=10, carry_state=True)
    fit(small_model(), ids, ids, callback, rng=rng, **options)
    assert seen == [(1, batch, expected) for batch in range(1, expected + 1)]


def test_clipping_limits_the_step(rng):
    ids = rng.integers(V, size=101)

    def step(clip_norm):
        model = small_model()
        before = model.parameters.copy()
        fit(model, ids, ids, rng=rng, optimizer=SGD(1.0), num_epochs=1, clip_norm=clip_norm)
        return np.linalg.norm(model.parameters - before)

    assert step(0.001) == pytest.approx(0.001, rel=1e-3)
    assert step(0.0) > 0.01


def test_divergence_stops_training_and_says_what_to_change(rng):
    ids = rng.integers(V, size=3001)
    with pytest.raises(DivergenceError, match="epoch 1, batch .*learning_rate .*clip_norm"):
        fit(small_model(cell="rnn"), ids, ids, rng=rng, optimizer=SGD(1e38), window_size=20, stride=20)


def test_a_finite_loss_with_an_infinite_gradient_is_divergence(rng):
    model = Model([Embedding(V, 3), Dense(3, V)], rng)
    model.parameters[...] = rng.normal(size=len(model.parameters))
    dict(model.named_parameters())["1.dense.kernel"] *= np.float32(1e30)
    ids = rng.integers(V, size=200)
    with pytest.raises(DivergenceError, match=r"batch 1: the loss is \d\S*e\+\d+ and the gradient's norm inf;"):
        fit(model, ids, ids, rng=rng)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_validation_loss_that_is_not_finite_is_divergence(value, rng):
    ids, epochs = rng.integers(V, size=200), []
    spoil = optimizer(lambda parameters, gradient, state: parameters.fill(value))
    with pytest.raises(DivergenceError, match="^training diverged in epoch 1: the loss is nan "):
        fit(small_model(), ids, ids, Calls(epoch=epochs.append), rng=rng, optimizer=spoil)
    assert not epochs


def test_parameters_that_are_not_finite_are_divergence_even_if_the_validation_text_does_not_show_them(rng):
    model, ids = small_model(), rng.integers(V, size=21)

    def spoil(parameters, gradient, state):
        model.p[0].table[4] = np.inf

    with pytest.raises(DivergenceError, match="epoch 1: some parameters are not finite$"):
        fit(model, ids, np.zeros(9, np.uint8), rng=rng, optimizer=optimizer(spoil), window_size=20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(clip_norm=-1), "clip_norm is -1; it must be a number of at least 0"),
        (dict(weight_decay=-1), "weight_decay is -1; it must be a number of at least 0"),
        (dict(warmup_batches=-1), "warmup_batches is -1; it must be an integer of at least 0"),
        (dict(patience=1.5), "patience is 1.5; it must be an integer of at least 0"),
        (dict(dropout=1.0), "dropout is 1.0; it must be a number of at least 0 and below 1"),
        (dict(schedule="cosy"), "schedule is 'cosy'; it must be one of constant, step, cosine"),
        (
            dict(final_learning_rate=0.1),
            "final_learning_rate is 0.1; it must be at least 0 and at most the learning_rate, 0.001",
        ),
        (dict(clip_norm=np.nan), "clip_norm is nan; it must be a number of at least 0"),
        (dict(clip_norm=np.inf), "clip_norm is inf; it must be a number of at least 0"),
        (dict(stride=0), "stride is 0; it must be an integer of at least 1"),
        (dict(stride=-20), "stride is -20; it must be an integer of at least 1"),
        (dict(stride=21), "stride is 21; it must be at most window_size, 20, or text would be skipped"),
        (dict(batch_size=2.5), "batch_size is 2.5; it must be an integer of at least 1 and at most 1,000,000"),
        (dict(batch_size=0), "batch_size is 0; it must be an integer of at least 1 and at most 1,000,000"),
        (dict(window_size=0), "window_size is 0; it must be an integer of at least 1"),
        (dict(num_epochs=0), "num_epochs is 0; it must be an integer of at least 1"),
        (dict(workers=0), "workers is 0; it must be an integer of at least 1 and at most 1,024"),
        (dict(weight_decay=1000), "weight_decay is 1000.0; times the learning_rate, 0.001, it must be below 1"),
        (dict(validation_ids=TEXT[:1]), "the validation text has 1 character; it must have at least 2"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(options, message, rng):
    with pytest.raises(InputError) as error:
        fit(small_model(), TEXT, **dict(validation_ids=TEXT, rng=rng, window_size=20) | options)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "options",
    [dict(stride=20), dict(stride=21, carry_state=True), dict(batch_size=1), dict(validation_ids=TEXT[:2])],
)
def test_the_ends_of_the_ranges_are_allowed(options, rng):
    assert fit(small_model(), TEXT, **dict(validation_ids=TEXT, rng=rng, window_size=20, num_epochs=1) | options)


def test_a_misspelt_setting_is_an_error(rng):
    with pytest.raises(TypeError, match="'num_epoch'"):
        fit(small_model(), TEXT, TEXT, rng=rng, num_epoch=1)


def test_a_text_shorter_than_a_window_is_refused(rng):
    with pytest.raises(InputError, match="^window_size is 100; it must be below the length of the text, 100 "):
        fit(small_model(), np.zeros(100, np.uint8), np.zeros(9, np.uint8), rng=rng)


def test_unknown_targets_are_refused(rng):
    with pytest.raises(InputError, match="^targets is 'first'; it must be one of every, last$"):
        fit(small_model(), np.zeros(200, np.uint8), np.zeros(9, np.uint8), rng=rng, targets="first")


@pytest.mark.parametrize("carry_state", [False, True])
def test_dropout_follows_each_layer_with_memory_and_repeats_with_the_seed(carry_state, monkeypatch):
    trained_layers, ids = [], np.random.default_rng(1).integers(V, size=300)
    monkeypatch.setattr(
        "charrnn.training.trainer.Shard",
        lambda network, *args: trained_layers.append(network.layers) or Shard(network, *args),
    )

    def trained(dropout, seed=0):
        model = small_model(num_layers=2)
        options = dict(dropout=dropout, num_epochs=2, window_size=10, batch_size=4, carry_state=carry_state)
        fit(model, ids, ids, rng=np.random.default_rng(seed), **options)
        assert [type(layer) for layer in model.layers] == [Embedding, GRU, GRU, Dense]
        return model.parameters

    np.testing.assert_array_equal(trained(0.5), trained(0.5))
    layers = trained_layers[0]
    names = [type(layer).__name__ for layer in layers]
    assert names == ["LookupEmbedding", "GRU", "Dropout", "GRU", "Dropout", "Dense"]
    assert layers[2].number != layers[4].number  # each draws masks of its own
    assert (trained(0.5) != trained(0.0)).any() and (trained(0.5) != trained(0.5, seed=1)).any()


def test_every_epoch_has_other_dropout_masks(rng):
    model, ids, losses = small_model(), rng.integers(V, size=41), []
    options = dict(dropout=0.5, num_epochs=3, window_size=40, optimizer=SGD(learning_rate=1e-30))
    fit(model, ids, ids, Calls(batch=lambda now, loss: losses.append(loss)), rng=rng, **options)
    assert len(set(losses)) == 3


@dataclass(frozen=True)
class Recorder:
    learning_rate: float
    seen: list

    def state(self, parameters):
        return None

    def update(self, parameters, gradient, state):
        self.seen.append(self.learning_rate)


def test_the_schedule_goes_over_all_epochs(rng):
    ids, seen = rng.integers(V, size=101), []
    options = dict(schedule="cosine", warmup_batches=3, final_learning_rate=0.1, window_size=10, batch_size=2)
    history = fit(small_model(), ids, ids, rng=rng, optimizer=Recorder(0.5, seen), num_epochs=2, **options)
    config = TrainingConfig(schedule="cosine", warmup_batches=3, final_learning_rate=0.1, learning_rate=0.5)
    assert seen == [learning_rate(batch, config, num_batches=10) for batch in range(1, 11)]
    assert [row["learning_rate"] for row in history] == [seen[4], seen[9]]


@pytest.mark.parametrize(("warmup_batches", "rate"), [(0, 0.5), (2, 0.25)])
def test_weights_decay_by_their_share_of_the_current_learning_rate_and_biases_do_not(warmup_batches, rate, rng):
    ids, plain, decayed = rng.integers(V, size=21), small_model(), small_model()
    for model in (plain, decayed):
        model.parameters[...] = np.random.default_rng(1).normal(0, 0.3, len(model.parameters))
    start = plain.parameters.copy()
    for model, weight_decay in ((plain, 0.0), (decayed, 0.4)):
        options = dict(num_epochs=1, window_size=20, weight_decay=weight_decay, warmup_batches=warmup_batches)
        fit(model, ids, ids, rng=np.random.default_rng(2), optimizer=SGD(0.5), **options)
    shrunk = np.where(plain.weight_decay_mask(), rate * 0.4 * start, 0)
    np.testing.assert_allclose(plain.parameters - decayed.parameters, shrunk, atol=1e-6)


def test_weights_decay_by_the_rate_of_the_same_batch(rng):
    """Three batches of a warm-up over four, with an optimizer that does nothing."""
    model, ids = small_model(), rng.integers(V, size=31)
    start = model.parameters.copy()
    options = dict(num_epochs=1, window_size=10, batch_size=1, weight_decay=0.4, warmup_batches=4)
    fit(model, ids, ids, rng=rng, optimizer=Recorder(0.5, []), **options)
    left = (1 - 0.4 * 0.125) * (1 - 0.4 * 0.25) * (1 - 0.4 * 0.375)
    np.testing.assert_allclose(model.parameters, np.where(model.weight_decay_mask(), left, 1) * start, rtol=1e-5)


def test_however_training_ends_the_model_is_that_of_the_best_epoch(rng, monkeypatch):
    evaluate_alike(monkeypatch, 2.0, 1.0, float("nan"))
    model, ids, after = small_model(), rng.integers(V, size=200), []
    with pytest.raises(DivergenceError, match="^training diverged in epoch 3: the loss is nan"):
        fit(model, ids, ids, Calls(epoch=lambda _: after.append(model.parameters.copy())), rng=rng, window_size=10)
    np.testing.assert_array_equal(model.parameters, after[1])


def test_buffers_are_made_once_for_each_shape_of_a_batch(rng, monkeypatch):
    ids, shapes, allocate = rng.integers(V, size=101), [], Network.allocate
    monkeypatch.setattr(Network, "allocate", lambda self, T, B: shapes.append((T, B)) or allocate(self, T, B))
    evaluate_alike(monkeypatch, 3.0, 2.0, 1.0)
    fit(small_model(), ids, ids, rng=rng, num_epochs=3, window_size=10, batch_size=4)
    assert shapes == [(10, 4), (10, 2)]


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (1, 3), (2, 4), (3, 6)])
def test_the_model_is_that_of_the_best_epoch_and_patience_ends_training(patience, epochs, rng, monkeypatch):
    evaluate_alike(monkeypatch, 3.0, 1.0, 2.0, 1.0, 0.5, 0.7)
    model, ids, after = small_model(), rng.integers(V, size=200), []
    callback = Calls(epoch=lambda now: after.append(model.parameters.copy()))
    history = fit(model, ids, ids, callback, rng=rng, num_epochs=6, window_size=10, patience=patience)
    assert len(history) == len(after) == epochs
    best = 5 if epochs == 6 else 2
    assert best_epoch(history) is history[best - 1]
    np.testing.assert_array_equal(model.parameters, after[best - 1])


class Diary(Callback):
    """Notes every call in a list that several may share."""

    def __init__(self, name, calls, stop_after=None):
        self.name, self.calls, self.stop_after, self.asked = name, calls, stop_after, 0

    def on_batch(self, now, loss):
        self.calls.append((self.name, "batch", now.epoch, now.batch))

    def on_epoch(self, now):
        self.calls.append((self.name, "epoch", now.epoch, now.batch))

    def should_stop(self):
        self.asked += 1
        return self.asked == self.stop_after

    def on_stop(self, now):
        self.calls.append((self.name, "stop", now.epoch, now.batch))


def test_callbacks_are_called_in_order_after_every_batch_and_epoch_and_when_one_wants_to_stop(rng):
    calls = []
    diaries = Diary("a", calls), Diary("b", calls, stop_after=3)
    history = fit(small_model(), TEXT[:41], TEXT, *diaries, rng=rng, num_epochs=2, window_size=10, batch_size=2)
    events = [
        ("batch", 1, 1),
        ("batch", 1, 2),
        ("epoch", 2, 0),
        ("batch", 2, 1),
        ("stop", 2, 1),
        ("batch", 2, 2),
        ("epoch", 3, 0),
    ]
    assert calls == [(name, *event) for event in events for name in "ab"]
    assert diaries[0].asked == diaries[1].asked == 4
    assert len(history) == 2  # nothing was raised, so training went on


def test_callbacks_see_each_epoch_with_its_row_and_the_parameters_after_it(rng):
    model, ids, rows, parameters = small_model(), rng.integers(V, size=200), [], []

    def note(now):
        rows.append(now.history[-1])
        parameters.append(now.parameters.copy())
        assert now.parameters is model.parameters

    history = fit(model, ids, ids, Calls(epoch=note), rng=rng, num_epochs=3, window_size=10)
    assert rows == history
    np.testing.assert_array_equal(model.parameters, parameters[history.index(best_epoch(history))])


@pytest.mark.parametrize("event", ["batch", "epoch", "stop"])
def test_an_exception_in_a_callback_ends_training(event, rng):
    seen = []

    def interrupt(now, *loss):
        seen.append((now.epoch, now.batch))
        raise KeyboardInterrupt("the reason")

    callback = Calls(**{event: interrupt}, asked=lambda: event == "stop")
    with pytest.raises(KeyboardInterrupt, match="the reason"):
        fit(small_model(), TEXT, TEXT, callback, rng=rng, num_epochs=2, window_size=10)
    assert seen == [(2, 0) if event == "epoch" else (1, 1)]


def test_a_callback_need_not_do_anything(rng):
    assert fit(small_model(), TEXT, TEXT, Callback(), rng=rng, num_epochs=1)


def test_a_misspelt_callback_method_is_refused():
    with pytest.raises(InputError) as error:
        type("Mine", (Callback,), {"on_batch": print, "on_epoch_end": print})
    known = "on_batch, on_epoch, should_stop, on_stop"
    assert str(error.value) == f"Mine: callbacks have no on_epoch_end; they have {known}"
    with pytest.raises(InputError, match="^Mine: callbacks have no shoud_stop; they have"):
        type("Mine", (Callback,), {"shoud_stop": print})
    with pytest.raises(InputError, match="^Heir: callbacks have no on_batches; they have"):
        type("Heir", (Calls,), {"on_batches": print})
    assert type("Fine", (Calls,), {"on_epoch": print, "other": print})
