"""The check of ids: every function that reads ids refuses those that the model does not know, and names the first."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from charrnn.calibration import calibrate
from charrnn.config import TrainingConfig
from charrnn.errors import InputError
from charrnn.evaluation import context_curve, evaluate
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import count_ids, require_ids, require_text
from charrnn.preprocessing.ids import AT_ONCE
from charrnn.training import train
from tests.test_preprocessing import mapped_bytes

V = 8
DTYPES = [np.uint8, np.int8, np.uint16, np.int64, np.uint64, np.dtype(">i4")]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_and_the_last_id_are_allowed(dtype):
    require_ids(np.array([0, V - 1, 0], dtype), V, "text")
    require_ids(np.array([[0, V - 1]], dtype), V, "text")
    for shape in ((0,), (0, 3), (3, 0)):  # the share of a worker may be empty
        require_ids(np.empty(shape, dtype), V, "text")


@pytest.mark.parametrize(
    ("id", "dtype"),
    [
        *((id, dtype) for dtype in DTYPES for id in (V, 70)),
        *((-1, dtype) for dtype in DTYPES if np.dtype(dtype).kind == "i"),
        (-128, np.int8), (255, np.uint8), (2**63, np.uint64), (-(2**63), np.int64),
    ],
)  # fmt: skip
def test_the_first_wrong_id_is_named_with_its_position(id, dtype):
    ids = np.zeros(10, dtype)
    ids[4] = id
    ids[7] = V + 1
    with pytest.raises(InputError) as error:
        require_ids(ids, V, "training text")
    assert str(error.value) == f"training text: id {id} at position 4; the model knows only 0 to 7"
    with pytest.raises(InputError, match=rf"^ids: id {id} at position \(2, 0\); "):
        require_ids(ids.reshape(5, 2), V, "ids")


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (np.zeros(3), "dtype float64"),
        (np.zeros(3, np.float32), "dtype float32"),
        (np.zeros(3, bool), "dtype bool"),
        (np.array(["a"]), "dtype <U1"),
        (np.array([1, 2], object), "dtype object"),
        (np.zeros(3, "m8[s]"), "dtype timedelta64[s]"),
        ([0, 1], "type list"),
        (None, "type NoneType"),
    ],
)
def test_anything_but_an_array_of_integers_is_refused(ids, kind):
    with pytest.raises(InputError) as error:
        require_ids(ids, V, "ids")
    assert str(error.value) == f"ids: the {kind} is not allowed; ids must be an array of integers"


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_a_text_has_one_dimension(shape):
    with pytest.raises(InputError) as error:
        require_text(np.zeros(shape, int), V, "text")
    assert str(error.value) == f"text: the shape is {shape}; it must be (n,), one id after another"
    require_text(np.zeros(3, int), V, "text")
    with pytest.raises(InputError, match="^text: id 8 at position 0; the model knows only 0 to 7$"):
        require_text(np.array([V]), V, "text")


def test_a_long_text_is_checked_to_its_end_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(import_module("charrnn.preprocessing.ids"), "AT_ONCE", 10)
    require_ids(np.zeros(35, int), V, "text")
    for place in (0, 9, 10, 29, 30, 34):
        ids = np.zeros(35, int)
        ids[place] = V
        with pytest.raises(InputError, match=f"^text: id 8 at position {place};"):
            require_ids(ids, V, "text")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux reports what is in memory")
def test_little_of_a_mapped_text_is_in_memory_while_it_is_checked(tmp_path, monkeypatch):
    module, left = import_module("charrnn.preprocessing.ids"), []
    release = module.release
    monkeypatch.setattr(module, "AT_ONCE", 1 << 18)
    monkeypatch.setattr(module, "release", lambda ids: release(ids) or left.append(mapped_bytes(path)))
    path = tmp_path / "ids.npy"
    np.save(path, np.ones(1 << 23, np.uint8))
    require_ids(np.load(path, mmap_mode="r"), V, "text")
    assert left == 32 * [0]


def model():
    return create_char_rnn_model(V, np.random.default_rng(0), embedding_dim=4, hidden_dim=8)


def loss(ids):
    cross_entropy = SparseCategoricalCrossentropy()
    shape = (*ids.shape, 1, V)
    return cross_entropy.forward(np.zeros(shape), ids[:, None], cross_entropy.allocate(*shape, np.float64))


TEXT = np.random.default_rng(0).integers(V, size=101)
SETTINGS = dict(num_epochs=1, window_size=20, stride=20)


def fit(train_ids, validation_ids, workers=1):
    return model().fit(train_ids, validation_ids, rng=np.random.default_rng(0), workers=workers, **SETTINGS)


def train_alone(train_ids, validation_ids):
    return train(model(), train_ids, validation_ids, TrainingConfig(**SETTINGS), rng=np.random.default_rng(0))


READERS = {
    "fit": (lambda ids: fit(ids, TEXT), "training text"),
    "validation": (lambda ids: fit(TEXT, ids), "validation text"),
    "train": (lambda ids: train_alone(ids, TEXT), "training text"),
    "train, validation": (lambda ids: train_alone(TEXT, ids), "validation text"),
    "evaluate": (lambda ids: evaluate(model(), ids), "text to evaluate"),
    "several streams": (lambda ids: evaluate(model(), ids, num_streams=7), "text to evaluate"),
    "context_curve": (lambda ids: context_curve(model(), ids, 20), "text to evaluate"),
    "calibrate": (lambda ids: calibrate(model(), ids), "text to evaluate"),
    "predict": (lambda ids: model().predict(ids), "ids"),
    "forward": (lambda ids: model().forward(ids[:, None], model().allocate(101, 1)), "ids"),
    "one step": (lambda ids: [model().stepper(1)(id) for id in ids[33:34]], "ids"),
    "one step of an array": (lambda ids: model().stepper(1)(ids[33:34]), "ids"),
    "one step of streams": (lambda ids: model().stepper(101)(ids), "ids"),
    "targets": (loss, "targets"),
}
READ = pytest.mark.parametrize(("read", "name"), READERS.values(), ids=READERS)


@READ
def test_every_reader_accepts_the_ids_of_the_model(read, name):
    for dtype in (np.uint8, np.int64):
        read(TEXT.astype(dtype))


@READ
@pytest.mark.parametrize("id", [V, -1, -V, -V - 1, 70])
def test_every_reader_refuses_an_unknown_id(read, name, id):
    ids = TEXT.copy()
    ids[33] = id
    with pytest.raises(InputError) as error:
        read(ids)
    positions = {str(place) for place in (33, (33, 0), 0)}
    named, _, position = str(error.value).partition(" at position ")
    assert named == f"{name}: id {id}" and position.removesuffix("; the model knows only 0 to 7") in positions


@READ
@pytest.mark.parametrize("dtype", [np.float64, bool])
def test_every_reader_refuses_other_numbers(read, name, dtype):
    with pytest.raises(InputError, match=f"^{name}: the dtype {np.dtype(dtype)} is not allowed;"):
        read(TEXT.astype(dtype))


def test_a_step_takes_one_id_for_each_sequence():
    for B, ids in ((1, np.array([1, 2])), (2, np.array([1])), (2, np.array([[1], [2]])), (2, 1)):
        with pytest.raises(InputError, match=rf"^ids: the shape is .*; it must be \({B},\), one id for each sequence$"):
            model().stepper(B)(ids)
    for number in (True, 1.0, None, "a"):
        with pytest.raises(InputError, match=r"^ids: the dtype \S+ is not allowed"):
            model().stepper(1)(number)
    step, expected = model().stepper(1), model().stepper(1)(3)
    np.testing.assert_array_equal(step(np.array([3])), expected)


def test_ids_are_checked_before_any_worker_starts(monkeypatch):
    monkeypatch.setattr(import_module("charrnn.training.fit"), "start_workers", None)
    for texts in ((np.full(101, V), TEXT), (TEXT, np.full(101, V))):
        with pytest.raises(InputError, match="id 8 at position 0; the model knows only 0 to 7$"):
            fit(*texts, workers=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_ids_are_counted_also_across_pieces(dtype):
    ids = np.full(2 * AT_ONCE + 3, 2, dtype)
    ids[[0, 1, AT_ONCE, -1]] = 0, 4, 4, 0
    assert count_ids(ids, 6).tolist() == [2, 0, 2 * AT_ONCE - 1, 0, 2, 0]
    assert count_ids(ids[:0], 2).tolist() == [0, 0]
    with pytest.raises(InputError, match="^text to count: id 4 at position 1; the model knows only 0 to 3$"):
        count_ids(ids, 4)
