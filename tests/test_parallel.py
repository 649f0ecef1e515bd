"""Workers: their sums are exact, and together they train as one would, to rounding, and always to the same bytes."""

import copy
import mmap
import os
import subprocess
import sys
import threading
import types
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.evaluation import evaluate
from charrnn.layers import Dense, Embedding
from charrnn.models import Model, create_char_rnn_model
from charrnn.parallel.mpi import MPIWorkers
from charrnn.parallel.processes import ProcessWorkers, start_workers
from charrnn.parallel.workers import ALONE, Workers, shards
from charrnn.training import fit, train
from tests import worker_jobs as jobs
from tests.callbacks import Calls
from tests.networks import LeakyAverage
from tests.worker_jobs import GUARD

ROOT = Path(__file__).parents[1]
V = 5
TEXT = np.random.default_rng(1).integers(V, size=403, dtype=np.uint8)
pytestmark = pytest.mark.usefixtures("started")


# The parts of a batch


def test_shards_are_nearly_equal_and_cover_the_whole():
    assert shards(10, 4) == [slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10)]
    assert shards(2, 3) == [slice(0, 1), slice(1, 2), slice(2, 2)]
    for n in range(20):
        for size in range(1, 9):
            own = shards(n, size)
            assert [i for part in own for i in range(n)[part]] == list(range(n))
            lengths = [part.stop - part.start for part in own]
            assert lengths == sorted(lengths, reverse=True) and lengths[0] - lengths[-1] <= 1


@pytest.mark.parametrize("size", range(1, 9))
def test_no_shard_of_a_smaller_batch_is_larger(size):
    """So the buffers for a whole batch are the largest that a worker needs."""
    lengths = [[own.stop - own.start for own in shards(n, size)] for n in range(60)]
    assert all(less <= more for pair in pairwise(lengths) for less, more in zip(*pair))


def test_each_worker_has_its_own_shard():
    assert [Workers(rank, 3).shard(8) for rank in range(3)] == [slice(0, 3), slice(3, 6), slice(6, 8)]
    assert ALONE.shard(7) == slice(0, 7)


def test_a_group_of_one_sends_nothing():
    array = np.arange(3.0)
    ALONE.all_reduce(array)
    np.testing.assert_array_equal(array, [0, 1, 2])
    value = object()
    assert ALONE.broadcast(value) is value


# Sums and broadcasts


def run(size, job, message_bytes=jobs.MOST_BYTES):
    """What `job(workers)` returns as rank 0, with processes that do the same as the other ranks."""
    with start_workers(size, message_bytes, job) as workers:
        assert (workers.rank, workers.size) == (0, size)
        return job(workers)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sums_of_several_arrays_are_exact_however_many_follow_each_other(size):
    run(size, partial(jobs.check_sums, 150))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_every_worker_has_the_same_bytes_of_a_sum(size):
    sums = run(size, jobs.sum_of_fractions, message_bytes=size * 4000)
    assert sums.shape == (size, 1000) and len({row.tobytes() for row in sums}) == 1


@pytest.mark.parametrize("size", [1, 2, 3])
def test_broadcasts_reach_all_workers_and_do_not_get_mixed_up_with_sums(size):
    run(size, jobs.check_broadcasts)


def test_what_a_job_prints_goes_to_standard_error(capfd):
    run(3, jobs.noisy)
    out, err = capfd.readouterr()
    assert out.count("printed by worker 0") == 3 and "printed by worker 1" not in out
    assert err.count("printed by worker 1") == err.count("printed by worker 2") == 3
    assert out.count("file descriptor") == 3 and err.count("file descriptor") == 6


class ThreadWorkers(ProcessWorkers):
    """Sums in shared memory, between threads of this process."""

    def __init__(self, rank, size, memory, barrier):
        super().__init__(rank, size, memory)
        self.barrier = barrier

    def meet(self):
        self.barrier.wait()


class Communicator:
    """What MPIWorkers uses of a communicator of mpi4py, between threads of this process."""

    def __init__(self, rank, size, brought, barrier):
        self.rank, self.size, self.brought, self.barrier = rank, size, brought, barrier

    def Allreduce(self, place, message):
        assert place == "in place"
        self.brought[self.rank] = message.copy()
        self.barrier.wait()
        assert len({(array.shape, array.dtype) for array in self.brought}) == 1
        message[...] = sum(self.brought)
        self.barrier.wait()

    def bcast(self, value):
        self.brought[self.rank] = value
        self.barrier.wait()
        value = self.brought[0]
        self.barrier.wait()
        return value


@pytest.fixture
def mpi4py(monkeypatch):
    """As much of mpi4py as a fake communicator needs, whether it is installed or not."""
    module = types.ModuleType("mpi4py")
    module.MPI = types.SimpleNamespace(IN_PLACE="in place")
    monkeypatch.setitem(sys.modules, "mpi4py", module)


def over_mpi(size, barrier):
    brought = [None] * size
    return [MPIWorkers(Communicator(rank, size, brought, barrier)) for rank in range(size)]


def in_memory(size, barrier):
    memory = mmap.mmap(-1, 2 * size * 64 * (1 + jobs.MOST_BYTES // 64))
    return [ThreadWorkers(rank, size, memory, barrier) for rank in range(size)]


def together(size, work, connect=over_mpi):
    """What each of so many workers, which are threads, returns from `work(workers)`."""
    barrier, results = threading.Barrier(size, timeout=GUARD), [None] * size
    group = connect(size, barrier)

    def run(workers):
        try:
            results[workers.rank] = work(workers)
        except BaseException as error:
            results[workers.rank] = error
            barrier.abort()

    threads = [threading.Thread(target=run, args=(workers,)) for workers in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, threading.BrokenBarrierError):
            raise result
    return results


connections = pytest.mark.parametrize("connect", [over_mpi, in_memory])


@connections
@pytest.mark.parametrize("size", [2, 3, 5])
def test_both_kinds_of_workers_sum_alike(size, connect, mpi4py):
    together(size, partial(jobs.check_sums, 40), connect)


def test_mpi_broadcasts(mpi4py):
    together(3, jobs.check_broadcasts)


@connections
def test_arrays_that_do_not_fit_the_kind_of_the_message_are_refused(connect, mpi4py):
    """Rather than that fractions get lost: the message has the kind of the first array."""
    for workers in connect(1, threading.Barrier(1)):
        with pytest.raises(TypeError, match="Cannot cast"):
            workers.all_reduce(np.zeros(2, int), np.ones(2))


def test_a_worker_may_begin_the_next_sum_while_others_still_read():
    """Rank 1 is so slow that it reads the slots of each sum only after rank 0 has written those of the next."""
    num_sums, size = 6, 2
    arrived = [threading.Event() for _ in range(num_sums + 1)]
    arrived[num_sums].set()

    class Slow(ThreadWorkers):
        count = 0

        def meet(self):
            self.count += 1
            if self.rank == 0:
                arrived[self.count - 1].set()
            super().meet()
            if self.rank == 1:
                assert arrived[self.count].wait(GUARD)

    memory, barrier = mmap.mmap(-1, 2 * size * 64), threading.Barrier(size, timeout=GUARD)

    def work(workers):
        totals = []
        for number in range(num_sums):
            array = np.array([10.0**workers.rank * (number + 1)])
            workers.all_reduce(array)
            totals += array.tolist()
        return totals

    results = together(size, work, lambda *_: [Slow(rank, size, memory, barrier) for rank in range(size)])
    assert results == [[11.0, 22.0, 33.0, 44.0, 55.0, 66.0]] * 2


# Training


class Stopped(BaseException):
    """Ends a training run, and holds a copy of its state."""


def trained(group=None, *, resume=None, stop_at=None, stopper=0, callbacks=(), **options):
    """Parameters, the loss of each batch, and the history. If worker `stopper` wants to stop, in batch `stop_at`, the
    state takes the place of the history."""
    rng, losses = np.random.default_rng(3), []
    sizes = dict(embedding_dim=3, hidden_dim=6, num_layers=2, cell="gru", tie_weights=False)
    model = create_char_rnn_model(V, rng, **{name: options.pop(name, size) for name, size in sizes.items()})
    settings = dict(num_epochs=2, batch_size=8, window_size=10, stride=7, clip_norm=0.0, learning_rate=0.01)
    rank = group.rank if group else 0

    def stop(now):
        raise Stopped(copy.deepcopy(now))

    calls = Calls(
        batch=lambda now, loss: losses.append(loss),
        stop=stop,
        asked=lambda: len(losses) + 1 == stop_at and rank == stopper,
    )
    arguments = (model, TEXT, TEXT[:53], TrainingConfig(**settings | options))
    shared = dict(rng=rng, resume=copy.deepcopy(resume), callbacks=[calls, *callbacks])
    try:
        history = train(*arguments, **shared, workers=group) if group else fit(*arguments, **shared)
    except Stopped as stopped:
        return model.parameters, losses, stopped.args[0]
    return model.parameters, losses, history


# 57 windows, of which the last batch of 8 has 1: fewer than there are workers.
SETTINGS = {
    "gru": dict(clip_norm=0.5, weight_decay=0.1, schedule="cosine"),
    "dropout": dict(dropout=0.4),
    "carried state": dict(carry_state=True, dropout=0.4, num_layers=3),
    "lstm": dict(cell="lstm", carry_state=True, batch_size=2, optimizer="momentum"),
    "last": dict(cell="rnn", targets="last"),
    "tied": dict(tie_weights=True, num_layers=1, dropout=0.2),
}
each_setting = pytest.mark.parametrize("setting", SETTINGS)


@cache
def alone(setting):
    """Training with one worker."""
    return trained(workers=1, **SETTINGS[setting])


def assert_alike(one, other):
    """To rounding. Not the parameters: where a gradient is nearly zero, Nadam makes much of its rounding at first."""
    np.testing.assert_allclose(one[1], other[1], rtol=1e-5)
    for row, expected in zip(one[2], other[2], strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


def assert_equal(one, other):
    """To the last bit."""
    assert one[0].tobytes() == other[0].tobytes() and one[1:] == other[1:]


@each_setting
@pytest.mark.parametrize("workers", [2, 3])
def test_processes_train_as_one_worker_does_and_always_alike(workers, setting):
    results = trained(workers=workers, **SETTINGS[setting])
    assert_alike(results, alone(setting))
    assert results[0].tobytes() != alone(setting)[0].tobytes()  # sums in another order: they were at work
    assert_equal(results, trained(workers=workers, **SETTINGS[setting]))


def test_there_may_be_more_workers_than_sequences():
    options = dict(batch_size=3, window_size=100, stride=100)
    assert_alike(trained(workers=5, **options), trained(workers=1, **options))


@each_setting
@pytest.mark.parametrize("size", [2, 3])
def test_all_workers_of_a_group_return_the_same(size, setting, mpi4py):
    results = together(size, partial(trained, **SETTINGS[setting]))
    assert_alike(results[0], alone(setting))
    for other in results[1:]:
        assert_equal(other, results[0])


@pytest.mark.parametrize("size", [2, 3])
def test_all_processes_end_with_the_same_parameters(size):
    model = create_char_rnn_model(V, np.random.default_rng(0), embedding_dim=3, hidden_dim=6)
    config = TrainingConfig(num_epochs=2, batch_size=8, window_size=10, stride=7, dropout=0.3, weight_decay=0.1)
    job = partial(jobs.trained_parameters, model.layers, model.parameters, TEXT, config)
    rows = run(size, job, message_bytes=4 * size * len(model.parameters))
    assert len({row.tobytes() for row in rows}) == 1
    assert (rows[0] != model.parameters).all()


@each_setting
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("stop_at", [3, 9])
def test_another_number_of_workers_can_resume(before, after, stop_at, setting, mpi4py):
    options = SETTINGS[setting]
    work = partial(trained, stop_at=stop_at, stopper=before - 1, **options)
    stopped = together(before, work)
    assert [len(losses) for _, losses, _ in stopped] == [stop_at] * before  # one wants to stop, and all do
    resumed = together(after, partial(trained, resume=stopped[0][2], **options))
    for parameters, losses, history in resumed:
        assert_alike((parameters, stopped[0][1] + losses, history), alone(setting))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("setting", ["gru", "carried state"])
def test_training_resumed_in_the_middle_of_an_epoch_gives_the_same_bytes(workers, setting):
    options = SETTINGS[setting]
    expected = trained(workers=workers, **options)
    stopped = trained(workers=workers, stop_at=3, **options)
    assert (stopped[2].epoch, stopped[2].batch) == (1, 3)
    parameters, losses, history = trained(workers=workers, resume=stopped[2], **options)
    assert_equal((parameters, stopped[1] + losses, history), expected)
    other = trained(workers=3 - workers, resume=stopped[2], **options)
    assert_alike((other[0], stopped[1] + other[1], other[2]), expected)


@pytest.mark.parametrize("num_streams", [1, 2, 7])
def test_workers_evaluate_as_one_does(num_streams, monkeypatch, mpi4py):
    monkeypatch.setattr("charrnn.evaluation.POSITIONS_AT_ONCE", 50)
    model = create_char_rnn_model(V, np.random.default_rng(7), embedding_dim=3, hidden_dim=6)
    expected = evaluate(model, TEXT, num_streams=num_streams)
    results = together(3, lambda workers: evaluate(model, TEXT, num_streams=num_streams, workers=workers))
    assert results[0] == pytest.approx(expected, rel=1e-6)
    assert results == [results[0]] * 3


def test_a_training_step_costs_one_message():
    messages = []

    class Counting(Workers):
        def all_reduce(self, *arrays):
            messages.append(sum(array.size for array in arrays))

    parameters, losses, history = trained(Counting(), carry_state=True, batch_size=4, num_layers=2, hidden_dim=6)
    step, evaluation = len(parameters) + 2 + 2 * 4 * 6, 3
    assert messages == (len(losses) // 2 * [step] + [evaluation]) * len(history)


def test_callbacks_are_called_in_this_process_alone(tmp_path):
    pids = set()
    callback = Calls(batch=lambda *_: pids.add(os.getpid()), epoch=lambda _: pids.add(os.getpid()))
    trained(workers=3, callbacks=[callback])
    assert pids == {os.getpid()}


def test_a_layer_of_ones_own_from_a_module_can_be_trained_by_several_workers():
    model = Model([Embedding(V, 3), LeakyAverage(3), Dense(3, V)], np.random.default_rng(0))
    start, losses = model.parameters.copy(), []
    for workers in (1, 2):
        model.parameters[...] = start
        history = model.fit(
            TEXT, TEXT, rng=np.random.default_rng(0), num_epochs=1, window_size=10, stride=10, workers=workers
        )
        losses.append(history[0]["train_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


HASH = """
import hashlib, os, sys
import numpy as np
from charrnn import create_char_rnn_model
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
rng = np.random.default_rng(0)
ids = rng.integers(60, size=3300).astype(np.uint8)
for workers in (1, 2):
    model = create_char_rnn_model(60, rng, hidden_dim=64)
    history = model.fit(ids, ids[:1000], rng=rng, num_epochs=1, window_size=50, stride=50, workers=workers)
    print(workers, hashlib.sha256(model.parameters.tobytes() + repr(history).encode()).hexdigest())
"""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_bytes_depend_on_the_number_of_workers_alone():
    """Not on that of the cores, nor on the threads that BLAS may use."""
    places = [("", {}), ("", {"OPENBLAS_NUM_THREADS": "1"}), ("", {"OPENBLAS_NUM_THREADS": "4"})]
    if hasattr(os, "sched_setaffinity"):
        places.append(("one core", {}))
    command = [sys.executable, "-c", HASH]
    outputs = [
        subprocess.check_output([*command, where], env=ENVIRONMENT | extra, timeout=GUARD) for where, extra in places
    ]
    assert len(set(outputs)) == 1
    assert len({line.split()[1] for line in outputs[0].splitlines()}) == 2
