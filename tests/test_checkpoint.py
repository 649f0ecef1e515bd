"""Checkpoints: training that resumes from any of them ends with the same bytes as if it had never stopped."""

from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.models import create_char_rnn_model
from charrnn.optimizers import OPTIMIZERS
from charrnn.storage.archive import read_archive, write_archive
from charrnn.training.checkpoint import FORMAT, Checkpointing, load_checkpoint, save_checkpoint
from tests.callbacks import Calls

V = 5
RUN = {"hidden_dim": 6, "text": {"corpus_sha256": "0"}, "start": None}
TEXT = np.random.default_rng(1).integers(V, size=241, dtype=np.uint8)


class Killed(BaseException):
    pass


def trained(path=None, stop_at=None, optimizer="nadam", cell="gru", **options):
    """The bytes that training ends with. It resumes from the checkpoint at `path`, if there is one. At event number
    `stop_at`, the end of a batch or an epoch, it saves a checkpoint there and is killed."""
    rng, events = np.random.default_rng(3), 0
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6, num_layers=2, cell=cell)

    def event(now, *_):
        nonlocal events
        if stop_at == events:
            save_checkpoint(path, RUN, now)
            raise Killed
        events += 1

    resume = load_checkpoint(path, RUN) if path is not None and path.exists() else None
    settings = dict(num_epochs=3, batch_size=5, window_size=10, stride=10, clip_norm=0.0, workers=1) | options
    history = model.fit(
        TEXT,
        TEXT[:50],
        rng=rng,
        optimizer=OPTIMIZERS[optimizer](learning_rate=0.02),
        callbacks=[Calls(batch=event, epoch=event)],
        resume=resume,
        **settings,
    )
    return model.parameters.tobytes(), history, rng.bit_generator.state


SETTINGS = [
    dict(stride=7, dropout=0.3, schedule="cosine", warmup_batches=4, weight_decay=0.1, clip_norm=0.5),
    dict(carry_state=True, dropout=0.3, schedule="step"),
    dict(carry_state=True, cell="lstm", optimizer="momentum"),
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


def test_seconds_go_on_from_those_before_the_kill(tmp_path):
    path, seen = tmp_path / "checkpoint", []

    def fit(callback, resume=None):
        model = create_char_rnn_model(V, np.random.default_rng(3), embedding_dim=3, hidden_dim=6)
        options = dict(num_epochs=2, batch_size=5, window_size=10, stride=10, workers=1)
        model.fit(TEXT, TEXT[:50], rng=np.random.default_rng(3), callbacks=[callback], resume=resume, **options)

    def save_after_an_hour(now):
        now.seconds += 3600
        save_checkpoint(path, RUN, now)
        raise Killed

    with pytest.raises(Killed):
        fit(Calls(epoch=save_after_an_hour))
    fit(Calls(batch=lambda now, loss: seen.append(now.seconds)), load_checkpoint(path, RUN))
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
        load_checkpoint(checkpoint, other)
    assert str(error.value) == f"{checkpoint} belongs to a run with different {named}"


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_checkpoint_is_refused_with_one_line(checkpoint, size):
    checkpoint.write_bytes(checkpoint.read_bytes()[:size])
    with pytest.raises(InputError, match="checkpoint is not a charrnn file, or is damaged"):
        load_checkpoint(checkpoint, RUN)


def test_a_checkpoint_of_another_format_is_refused(checkpoint):
    description, arrays = read_archive(checkpoint, FORMAT)
    write_archive(checkpoint, 1, {name: value for name, value in description.items() if name != "format"}, arrays)
    with pytest.raises(InputError, match="checkpoint: the format is 1; this version reads format 2$"):
        load_checkpoint(checkpoint, RUN)


def test_a_checkpoint_holds_everything(checkpoint):
    """What is loaded and saved again is the same file, and what is loaded may be written to."""
    before, now = checkpoint.read_bytes(), load_checkpoint(checkpoint, RUN)
    save_checkpoint(checkpoint, RUN, now)
    assert checkpoint.read_bytes() == before
    for array in (now.parameters, now.best_parameters, now.optimizer_state.m, now.optimizer_state.v):
        array += 1
    assert (now.epoch, now.batch, len(now.history), now.step) == (2, 3, 1, 8)
    assert [sorted(states) for states in now.hidden_state] == [[], ["h"], ["h"], []]


def test_a_failed_save_leaves_the_checkpoint_before(checkpoint, full_disk):
    before = checkpoint.read_bytes()
    with pytest.raises(OSError, match="No space left on device: .*checkpoint"):
        save_checkpoint(checkpoint, RUN, load_checkpoint(checkpoint, RUN))
    assert checkpoint.read_bytes() == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_checkpoints_are_saved_after_every_epoch_when_time_has_passed_and_when_training_stops(tmp_path, monkeypatch):
    path, clock, saved = tmp_path / "checkpoint", 100.0, []
    monkeypatch.setattr("charrnn.training.checkpoint.time", SimpleNamespace(monotonic=lambda: clock))
    checkpointing, rng = Checkpointing(path, RUN, seconds=10), np.random.default_rng(3)
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6)

    def tick(now, *loss):
        """In every batch 4 seconds pass, in the first of the second epoch 11."""
        nonlocal clock
        if path.exists():
            at = load_checkpoint(path, RUN)
            saved.append((at.epoch, at.batch))
            path.unlink()
        else:
            saved.append(None)
        clock += 11 if (now.epoch, now.batch) == (2, 0) else 4

    def end(now):
        assert load_checkpoint(path, RUN).batch == now.batch == 2
        raise Killed

    asked = iter([False] * 10 + [False, True])
    callbacks = [checkpointing, Calls(batch=tick, epoch=tick, stop=end, asked=lambda: next(asked))]
    settings = dict(num_epochs=3, batch_size=5, window_size=10, stride=10, workers=1)
    with pytest.raises(Killed):
        model.fit(TEXT, TEXT[:50], rng=rng, callbacks=callbacks, **settings)
    first = [None, None, None, (1, 4), None, (2, 0)]
    second = [(2, 1), None, None, (2, 4), None, (3, 0)]
    assert saved == [*first, *second, None, None]
