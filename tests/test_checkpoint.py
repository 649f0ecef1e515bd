"""Checkpoints: training that resumes from any of them ends with the same bytes as if it had never stopped."""

import random
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.errors import DivergenceError, InputError
from charrnn.models import create_char_rnn_model
from charrnn.optimizers import OPTIMIZERS
from charrnn.storage.archive import CHECKPOINT_FORMAT, MODEL_FORMAT, read_archive, write_archive
from charrnn.training import fresh_state
from charrnn.training.checkpoint import Checkpointing, load_checkpoint, save_checkpoint
from charrnn.training.resuming import require_resumable
from tests.callbacks import Calls

V = 5
RUN = {"hidden_dim": 6, "text": {"corpus_sha256": "0"}, "start": None}
TEXT = np.random.default_rng(1).integers(V, size=241, dtype=np.uint8)


class Killed(BaseException):
    pass


def new_model(cell="gru"):
    rng = np.random.default_rng(3)
    return create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6, num_layers=2, cell=cell), rng


def trained(path=None, stop_at=None, optimizer="nadam", cell="gru", **options):
    """The bytes that training ends with. It resumes from the checkpoint at `path`, if there is one. At event number
    `stop_at`, the end of a batch or an epoch, it saves a checkpoint there and is killed."""
    model, rng = new_model(cell)
    events, optimizer = 0, OPTIMIZERS[optimizer](learning_rate=0.02)
    settings = dict(num_epochs=3, batch_size=5, window_size=10, stride=10, clip_norm=0.0, workers=1) | options

    def event(now, *_):
        nonlocal events
        if stop_at == events:
            save_checkpoint(path, RUN, {}, now)
            raise Killed
        events += 1

    fresh = fresh_state(model, TEXT, TrainingConfig(**settings), rng=rng, optimizer=optimizer)
    resume = load_checkpoint(path, RUN, fresh, rng) if path is not None and path.exists() else None
    history = model.fit(
        TEXT,
        TEXT[:50],
        rng=rng,
        optimizer=optimizer,
        callbacks=[Calls(batch=event, epoch=event)],
        resume=resume,
        **settings,
    )
    return model.parameters.tobytes(), history, rng.bit_generator.state


SETTINGS = [
    dict(stride=7, dropout=0.3, schedule="cosine", warmup_batches=4, weight_decay=0.1, clip_norm=0.5),
    dict(carry_state=True, dropout=0.3, schedule="step"),
    dict(carry_state=True, cell="lstm", optimizer="momentum"),
    dict(carry_state=True, batch_size=1000, num_epochs=6),  # fewer sequences than that
    dict(stride=10, targets="last", optimizer="adagrad", cell="rnn"),
    dict(stride=10, optimizer="rmsprop", num_epochs=4, patience=1, clip_norm=0.1),
]


@pytest.mark.parametrize("options", SETTINGS, ids=lambda options: ",".join(options))
def test_training_killed_after_any_batch_or_epoch_ends_as_if_it_had_not_been(tmp_path, options):
    expected = trained(**options)
    num_events = 0
    for stop_at in range(100):
        path = tmp_path / f"{stop_at}"
        try:
            trained(path, stop_at, **options)
            break
        except Killed:
            num_events += 1
        assert trained(path, **options) == expected
    assert num_events >= 2 * 6


def test_seconds_include_those_before_the_kill(tmp_path):
    path, seen = tmp_path / "checkpoint", []

    def fit(callback):
        (model, rng), options = new_model(), dict(num_epochs=2, batch_size=5, window_size=10, stride=10, workers=1)
        fresh = fresh_state(model, TEXT, TrainingConfig(**options), rng=rng)
        resume = load_checkpoint(path, RUN, fresh, rng) if path.exists() else None
        model.fit(TEXT, TEXT[:50], rng=rng, callbacks=[callback], resume=resume, **options)

    def save_after_an_hour(now):
        now.seconds += 3600
        save_checkpoint(path, RUN, {}, now)
        raise Killed

    with pytest.raises(Killed):
        fit(Calls(epoch=save_after_an_hour))
    fit(Calls(batch=lambda now, loss: seen.append(now.seconds)))
    assert 3600 < seen[0] < 2 * 3600 and seen == sorted(seen)


def test_training_killed_again_and_again_gets_done(tmp_path):
    expected, path, times = trained(dropout=0.3, stride=7), tmp_path / "checkpoint", 0
    while True:
        try:
            assert trained(path, stop_at=1, dropout=0.3, stride=7) == expected
            break
        except Killed:
            times += 1
    assert times > 5


def load(path, run=RUN):
    """Load the fixture's checkpoint, or another one of the same training."""
    (model, rng), config = new_model(), TrainingConfig(batch_size=5, window_size=10, stride=10, carry_state=True)
    return load_checkpoint(path, run, fresh_state(model, TEXT, config, rng=rng), rng)


@pytest.fixture
def checkpoint(tmp_path):
    with pytest.raises(Killed):
        trained(tmp_path / "checkpoint", stop_at=8, carry_state=True)
    return tmp_path / "checkpoint"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (RUN | {"hidden_dim": 7}, "hidden_dim"),
        (RUN | {"text": {"corpus_sha256": "1"}, "start": "2"}, "start, text"),
        (RUN | {"code": "new"}, "code"),
        ({name: RUN[name] for name in ("text", "start")}, "hidden_dim"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_what_differs(checkpoint, other, named):
    with pytest.raises(InputError) as error:
        load(checkpoint, other)
    assert str(error.value) == f"{checkpoint} belongs to a run with different {named}"


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_checkpoint_is_refused_with_one_line(checkpoint, size):
    checkpoint.write_bytes(checkpoint.read_bytes()[:size])
    with pytest.raises(InputError, match="checkpoint is not a charrnn file, or is damaged"):
        load(checkpoint)


def test_a_checkpoint_of_another_format_is_refused(checkpoint):
    description, arrays = read_archive(checkpoint, CHECKPOINT_FORMAT)
    write_archive(
        checkpoint, MODEL_FORMAT, {name: value for name, value in description.items() if name != "format"}, arrays
    )
    with pytest.raises(InputError, match="checkpoint: the format is 1; this version reads format 3$"):
        load(checkpoint)


def test_a_checkpoint_holds_everything(checkpoint):
    """What is loaded and saved again is the same file, and what is loaded may be written to."""
    before, now = checkpoint.read_bytes(), load(checkpoint)
    save_checkpoint(checkpoint, RUN, {}, now)
    assert checkpoint.read_bytes() == before
    for array in (now.parameters, now.best_parameters, now.optimizer_state.m, now.optimizer_state.v):
        array += 1
    assert (now.epoch, now.batch, len(now.history), now.step) == (2, 3, 1, 8)
    assert [sorted(states) for states in now.hidden_state] == [[], ["h"], ["h"], []]


def test_a_failed_save_leaves_the_checkpoint_before(checkpoint, full_disk):
    before = checkpoint.read_bytes()
    with pytest.raises(OSError, match="No space left on device: .*checkpoint"):
        save_checkpoint(checkpoint, RUN, {}, load(checkpoint))
    assert checkpoint.read_bytes() == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_checkpoints_are_saved_after_every_epoch_when_time_has_passed_and_when_training_stops(tmp_path, monkeypatch):
    path, clock, saved = tmp_path / "checkpoint", 100.0, []
    monkeypatch.setattr("charrnn.training.checkpoint.time", SimpleNamespace(monotonic=lambda: clock))
    checkpointing, rng = Checkpointing(path, RUN, {}, seconds=10), np.random.default_rng(3)
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6)
    settings = dict(num_epochs=3, batch_size=5, window_size=10, stride=10, workers=1)

    def load():
        return load_checkpoint(path, RUN, fresh_state(model, TEXT, TrainingConfig(**settings), rng=rng), rng)

    def tick(now, *loss):
        """In every batch 4 seconds pass, in the first of the second epoch 11."""
        nonlocal clock
        if path.exists():
            at = load()
            saved.append((at.epoch, at.batch))
            path.unlink()
        else:
            saved.append(None)
        clock += 11 if (now.epoch, now.batch) == (2, 0) else 4

    def end(now):
        assert load().batch == now.batch == 2
        raise Killed

    asked = iter([False] * 10 + [False, True])
    callbacks = [checkpointing, Calls(batch=tick, epoch=tick, stop=end, asked=lambda: next(asked))]
    with pytest.raises(Killed):
        model.fit(TEXT, TEXT[:50], rng=rng, callbacks=callbacks, **settings)
    first = [None, None, None, (1, 4), None, (2, 0)]
    second = [(2, 1), None, None, (2, 4), None, (3, 0)]
    assert saved == [*first, *second, None, None]


def rewritten(path, **changes):
    """Replace parts of a checkpoint, named as in `now.epoch` or `arrays.parameters`; None removes one."""
    description, arrays = read_archive(path, CHECKPOINT_FORMAT)
    parts = description | {"arrays": dict(arrays)}
    for name, value in changes.items():
        *keys, last = name.split("/")
        owner = parts
        for key in keys:
            owner = owner[int(key) if isinstance(owner, list) else key]
        owner.pop(last) if value is None else owner.update({last: value})
    arrays = parts.pop("arrays")
    write_archive(path, CHECKPOINT_FORMAT, {name: value for name, value in parts.items() if name != "format"}, arrays)


SIZE = 15 + 3 * (18 + 36 + 6) + 3 * (36 + 36 + 6) + 35
F4 = np.float32


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arrays/parameters": np.zeros(SIZE - 1, F4)}, f"parameters is float32 ({SIZE - 1},); it must be "),
        ({"arrays/parameters": np.zeros(SIZE)}, f"parameters is float64 ({SIZE},); it must be float32 ({SIZE},)"),
        ({"arrays/parameters": np.full(SIZE, np.nan, F4)}, "parameters has numbers that are NaN"),
        ({"arrays/parameters": np.full(SIZE, np.inf, F4)}, "parameters has numbers that are not finite"),
        ({"arrays/best_parameters": np.full(SIZE, np.inf, F4)}, "best_parameters has numbers that are not finite"),
        ({"arrays/best_parameters": np.zeros((SIZE, 1), F4)}, f"best_parameters is float32 ({SIZE}, 1); it must be"),
        ({"arrays/optimizer.m": np.zeros(SIZE + 1, F4)}, f"optimizer_state.m is float32 ({SIZE + 1},); it must be"),
        ({"arrays/optimizer.v": None}, "optimizer_state has ['step', 'momentum_product', 'm']; it must"),
        ({"optimizer/step": "8"}, "optimizer_state.step is '8'; it must be an integer of at least 0"),
        ({"optimizer/step": -1}, "optimizer_state.step is -1; it must be an integer of at least 0"),
        ({"optimizer/step": 10**400}, "optimizer_state.step is 1000"),
        ({"optimizer/step": True}, "optimizer_state.step is True; it must be"),
        ({"optimizer/momentum_product": float("inf")}, "optimizer_state.momentum_product is inf; it must"),
        ({"optimizer/extra": 1}, "optimizer_state has ['step', 'momentum_product', 'extra', 'm', 'v']; it must"),
        ({"hidden": None, "hidden ": 1}, None),
        ({"arrays/hidden.1.h": np.zeros((5, 7), F4)}, "hidden_state.1.h is float32 (5, 7); it must be float32 (5, 6)"),
        ({"arrays/hidden.1.h": np.full((5, 6), np.nan, F4)}, "hidden_state.1.h has numbers that are NaN"),
        ({"hidden": [[], ["h"], ["h"]]}, "hidden_state is [{}, {'h': array("),
        ({"hidden": [[], [], ["h"], []]}, "hidden_state.1 has []; it must have ['h']"),
        ({"now/epoch": "x"}, "epoch is 'x'; it must be an integer of at least 0"),
        ({"now/epoch": 2.0}, "epoch is 2.0; it must be an integer of at least 0"),
        ({"now/epoch": 0}, "epoch is 0, batch 3 of 5, positions 150; there is no such place in training"),
        ({"now/epoch": 3}, "history is [{'epoch': 1, "),
        ({"now/epoch": 10**18}, "history is [{'epoch': 1, "),
        ({"now/epoch": None}, None),
        ({"now/batch": 6}, "epoch is 2, batch 6 of 5, positions 150; there is no such place in training"),
        ({"now/batch": 0}, "epoch is 2, batch 0 of 5, positions 150; there is no such place in training"),
        ({"now/positions": 0}, "epoch is 2, batch 3 of 5, positions 0; there is no such place in training"),
        ({"now/num_batches": 6}, "num_batches is 6; it must be 5"),
        ({"now/total_loss": float("nan")}, "total_loss is nan; it must be a finite number"),
        ({"now/total_norm": []}, "total_norm is []; it must be a finite number"),
        ({"now/seconds": "1 s"}, "seconds is '1 s'; it must be a finite number"),
        ({"now/samples": "x"}, "samples is 'x'; it must be a list of length 0"),
        ({"now/samples": [[1, 2]]}, "samples.0.1 is 2; it must have the type of ''"),
        ({"now/samples": [["1", "text"]]}, "samples.0.0 is '1'; it must be an integer of at least 0"),
        ({"now/history": "x"}, "history is 'x'; it must be a list of length 1"),
        ({"now/history": {"a": 1}}, "history is {'a': 1}; it must be a list of length 1"),
        ({"now/history": [3]}, "history.1 has 3; it must have ['epoch', 'train_loss',"),
        ({"now/history": [{"epoch": 1}]}, "history.1 has ['epoch']; it must have ['epoch', 'train_loss',"),
        ({"now/history/0/validation_loss": "low"}, "history.1.validation_loss is 'low'; it must be a finite number"),
        ({"now/history/0/epoch": 2}, "history.1.epoch is 2; it must be 1"),
        ({"now/rng_state": {}}, "rng_state is {}, which the generator does not accept"),
        ({"now/rng_state": 3}, "rng_state is 3, which the generator does not accept"),
        ({"now/rng_state/bit_generator": "MT19937"}, "rng_state is {'bit_generator': 'MT19937', 'state': {'state': "),
        ({"now/rng_state/state/state": "x"}, "rng_state is {'bit_generator': 'PCG64', 'state': {'state': 'x', "),
        ({"now/rng_state/state/inc": None}, "rng_state is {'bit_generator': 'PCG64', 'state': {'state': "),
        ({"now/rng_state/state/state": 2**128}, "rng_state is {'bit_generator': 'PCG64', 'state': {'state': "),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_of_this_run_is_refused_with_the_reason(checkpoint, changes, reason):
    rewritten(checkpoint, **changes)
    with pytest.raises(InputError) as error:
        load(checkpoint)
    expected = f"not a checkpoint of this run: {reason}" if reason else "not a charrnn file, or is damaged"
    assert str(error.value).startswith(f"{checkpoint} is {expected}")
    assert str(error.value).isprintable() and len(str(error.value)) < len(str(checkpoint)) + 400


def test_names_in_a_checkpoint_are_foreign_text(checkpoint):
    rewritten(checkpoint, **{"run/\x1b[31m" + 999 * "x": 1})
    with pytest.raises(InputError) as error:
        load(checkpoint)
    message = str(error.value).removeprefix(str(checkpoint))
    assert message.startswith(" belongs to a run with different \\x1b[31mxxx") and len(message) < 250


def test_training_refuses_a_state_of_another_run(checkpoint):
    (model, rng), state = new_model(), load(checkpoint)
    state.parameters = state.parameters[1:]
    options = dict(batch_size=5, window_size=10, stride=10, carry_state=True, workers=1)
    with pytest.raises(InputError, match=f"^parameters is float32 .{SIZE - 1},.; it must be float32 .{SIZE},.$"):
        model.fit(TEXT, TEXT[:50], rng=rng, resume=state, **options)


def own_state(**changes):
    """The state of a custom optimizer."""
    values = dict(count=3, low=-3, rate=0.5, seen=False, name="x", none=None, pair=[1.0, np.zeros(2)], by_name={"a": 1})
    return SimpleNamespace(**values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {}, dict(count=0), dict(low=-7), dict(low=7), dict(rate=-1), dict(rate=2), dict(seen=True), dict(name="y"),
        dict(pair=[2.0, np.ones(2)]), dict(by_name={"a": 10**18}),
    ],
)  # fmt: skip
def test_the_state_of_an_optimizer_may_hold_all_kinds_of_values(checkpoint, changes):
    fresh, (_, rng) = load(checkpoint), new_model()
    fresh.optimizer_state, state = own_state(), replace(fresh, optimizer_state=own_state(**changes))
    require_resumable(state, fresh, rng)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(count=-1), "count is -1; it must be an integer of at least 0"),
        (dict(low="-3"), "low is '-3'; it must be an integer"),
        (dict(rate=float("inf")), "rate is inf; it must be a finite number"),
        (dict(seen=1), "seen is 1; it must have the type of False"),
        (dict(name=None), "name is None; it must have the type of 'x'"),
        (dict(none=0), "none is 0; it must have the type of None"),
        (dict(pair=[1.0]), "pair is [1.0]; it must be a list of length 2"),
        (dict(pair=[1.0, np.zeros(3)]), "pair.1 is float64 (3,); it must be float64 (2,)"),
        (dict(by_name={"b": 1}), "by_name has ['b']; it must have ['a']"),
        (dict(by_name={"a": 0.5}), "by_name.a is 0.5; it must be an integer of at least 0"),
    ],
)
def test_an_impossible_optimizer_state_is_refused(checkpoint, changes, message):
    fresh, (_, rng) = load(checkpoint), new_model()
    fresh.optimizer_state, state = own_state(), replace(fresh, optimizer_state=own_state(**changes))
    with pytest.raises(InputError) as error:
        require_resumable(state, fresh, rng)
    assert str(error.value) == f"optimizer_state.{message}"


def test_loading_a_checkpoint_does_not_change_the_random_generator(checkpoint):
    rewritten(checkpoint, **{"now/rng_state/state/state": 1})
    (model, rng), before = new_model(), new_model()[1].bit_generator.state
    config = TrainingConfig(batch_size=5, window_size=10, stride=10, carry_state=True)
    now = load_checkpoint(checkpoint, RUN, fresh_state(model, TEXT, config, rng=rng), rng)
    assert now.rng_state["state"]["state"] == 1 and rng.bit_generator.state == before


def spoiled(value, rng):
    """A value with one random part replaced, removed or doubled."""
    odd = [None, True, -1, 0, 1, 3, 10**30, 10**400, 0.5, float("nan"), float("inf"), "", "x", [], [1], {}, [[[]]]]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: of for name, of in value.items() if name != key}
        return value | {key: spoiled(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i = rng.randrange(len(value))
        return [*value[:i], spoiled(value[i], rng), *value[i + (rng.random() < 0.8) :]]
    if isinstance(value, np.ndarray):
        return rng.choice([value[1:], value.astype(np.float64), value[None], value * np.nan, value * 0, value > 0])
    return rng.choice(odd)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fuzz(checkpoint):
    """A checkpoint with arbitrary values and right checksums is refused in one line, or training resumes from it."""
    rng, refused = random.Random(5), 0
    description, arrays = read_archive(checkpoint, CHECKPOINT_FORMAT)
    del description["format"]
    for _ in range(500):
        parts, kept = (description, spoiled(arrays, rng)) if rng.random() < 0.3 else (spoiled(description, rng), arrays)
        if not (isinstance(parts, dict) and isinstance(kept, dict)):
            continue
        write_archive(checkpoint, CHECKPOINT_FORMAT, parts, {name: np.asarray(array) for name, array in kept.items()})
        try:
            trained(checkpoint, carry_state=True)
        except InputError as error:
            refused += 1
            assert str(checkpoint) in str(error) and str(error).isprintable() and len(str(error)) < 700
        except DivergenceError:
            pass
    assert 250 < refused < 500
