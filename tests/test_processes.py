"""Worker processes: they start from any program, what goes wrong in one is one error, and none is ever left behind."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import DivergenceError, InputError
from charrnn.evaluation import evaluate
from charrnn.layers import Dense, Embedding
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import SGD
from charrnn.parallel import processes
from charrnn.parallel.processes import WorkerError, start_workers
from tests import worker_jobs as jobs
from tests.callbacks import Calls
from tests.worker_jobs import GUARD

pytestmark = pytest.mark.usefixtures("started")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
V = 5
TEXT = np.random.default_rng(1).integers(V, size=403, dtype=np.uint8)
ENDLESS = 10**9
SIGKILLED = "worker {} died (signal 9), so all workers were stopped"


def train(*callbacks, layers=None, train_ids=TEXT, validation_ids=TEXT[:53], **settings):
    """A small model, trained by three workers unless the settings say otherwise."""
    rng = np.random.default_rng(3)
    model = Model(layers, rng) if layers else create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6)
    settings = dict(num_epochs=1, batch_size=8, window_size=10, stride=10, workers=3) | settings
    model.fit(train_ids, validation_ids, rng=rng, callbacks=callbacks, **settings)
    return model


def run(size, job):
    with start_workers(size, 64, job) as workers:
        job(workers)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_all_end(pids):
    """They do so soon, though not at once."""
    assert pids
    deadline = time.monotonic() + GUARD
    while running := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


# One of the workers dies or fails


@posix
@pytest.mark.parametrize("which", [1, 2])
def test_a_worker_killed_before_its_job_arrives_ends_all(which, started, monkeypatch):
    start = processes._start

    def start_and_kill(*args):
        process = start(*args)
        if len(started) == which:
            process.kill()
            process.wait()
        return process

    monkeypatch.setattr(processes, "_start", start_and_kill)
    with pytest.raises(WorkerError) as error:
        train(num_epochs=ENDLESS)
    assert str(error.value) == SIGKILLED.format(which)


@posix
@pytest.mark.parametrize("which", [1, 2])
def test_a_worker_killed_in_training_ends_all(which, started):
    def kill(now, loss):
        if (now.epoch, now.batch) == (2, 3):
            started[which - 1].kill()

    with pytest.raises(WorkerError) as error:
        train(Calls(batch=kill), num_epochs=ENDLESS)
    assert str(error.value) == SIGKILLED.format(which)


@posix
@pytest.mark.parametrize("which", [1, 2])
def test_a_worker_killed_in_evaluation_ends_all(which, started, monkeypatch):
    def kill_and_evaluate(*args, **options):
        started[which - 1].kill()
        return evaluate(*args, **options)

    monkeypatch.setattr("charrnn.training.trainer.evaluate", kill_and_evaluate)
    with pytest.raises(WorkerError) as error:
        train(num_epochs=ENDLESS)
    assert str(error.value) == SIGKILLED.format(which)


@posix
@pytest.mark.parametrize("seconds", [0, 0.03, 0.1, 0.2, 0.3])
def test_a_worker_killed_at_any_moment_ends_all(seconds, started):
    def kill():
        if started:
            started[0].kill()
        else:
            threading.Timer(0.01, kill).start()

    threading.Timer(seconds, kill).start()
    with pytest.raises(WorkerError) as error:
        train(num_epochs=ENDLESS)
    assert str(error.value) == SIGKILLED.format(1)


def test_a_worker_that_leaves_ends_all_and_its_exit_code_is_named():
    with pytest.raises(WorkerError) as error:
        run(3, partial(jobs.leave, 3))
    assert str(error.value) == "worker 1 died (exit code 3), so all workers were stopped"


@pytest.mark.parametrize(
    ("rank", "raised"),
    [
        (1, MemoryError("no room")),
        (2, InputError("ids range from 0 to 9; the model knows only 0 to 4")),
        (2, InputError("long " * 100_000)),  # more than a pipe holds
        (1, DivergenceError("training diverged")),
        (1, KeyboardInterrupt("by hand")),
        (2, SystemExit(7)),
    ],
    ids=["memory", "input", "long", "divergence", "interrupt", "exit"],
)
def test_what_a_worker_raises_is_raised_here(rank, raised, capfd):
    with pytest.raises(type(raised)) as caught:
        run(3, partial(jobs.fail, {rank: raised}))
    assert (type(caught.value), caught.value.args) == (type(raised), raised.args)
    assert capfd.readouterr() == ("", "")


def test_an_error_here_is_raised_here_and_ends_the_others(capfd):
    with pytest.raises(ZeroDivisionError, match="mine"):
        run(3, partial(jobs.fail, {0: ZeroDivisionError("mine"), 2: MemoryError("not mine")}))
    assert capfd.readouterr() == ("", "")


def test_an_error_that_cannot_be_sent_is_put_into_words(capfd):
    with pytest.raises(WorkerError, match="^a worker failed: Unpicklable: "):
        run(2, jobs.fail_unpicklably)
    assert capfd.readouterr() == ("", "")


def test_an_error_from_a_worker_has_its_traceback():
    with pytest.raises(MemoryError) as error:
        run(2, partial(jobs.fail, {1: MemoryError("no room")}))
    assert "in fail" in "".join(error.value.__notes__)


def test_a_layer_that_fails_in_a_worker_alone_fails_here():
    layers = [Embedding(V, 3), jobs.FailsElsewhere(3, V, pid=os.getpid(), message="Unable to allocate 2 TiB")]
    with pytest.raises(MemoryError) as error:
        train(layers=layers)
    assert str(error.value) == "Unable to allocate 2 TiB"


def test_what_all_workers_find_wrong_is_one_error_and_no_worker_says_a_word(capfd):
    with pytest.raises(InputError, match="^validation text: id 5 at position 20; the model knows only 0 to 4$"):
        train(validation_ids=np.insert(TEXT[:53], 20, V))
    with pytest.warns(RuntimeWarning), pytest.raises(DivergenceError, match="^training diverged in epoch 1, batch"):
        train(optimizer=SGD(1e38), clip_norm=0, num_epochs=3)
    assert capfd.readouterr() == ("", "")


def test_a_job_that_other_processes_cannot_load_is_an_error(monkeypatch):
    module = type(sys)("only_here")
    exec("def job(workers): pass", vars(module))
    monkeypatch.setitem(sys.modules, "only_here", module)
    with start_workers(2, 64, module.job) as workers, pytest.raises(ModuleNotFoundError, match="only_here"):
        workers.all_reduce(np.ones(1))


# The first one fails, is interrupted or killed


@pytest.mark.parametrize("event", ["batch", "epoch"])
@pytest.mark.parametrize("raised", [KeyboardInterrupt, OSError])
def test_an_exception_in_a_callback_ends_all(event, raised, started, capfd):
    def fail(*_):
        raise raised("stop here")

    with pytest.raises(raised, match="stop here"):
        train(Calls(**{event: fail}), num_epochs=ENDLESS)
    assert len(started) == 2 and None not in [process.returncode for process in started]
    assert capfd.readouterr() == ("", "")


def test_an_interruption_before_the_jobs_arrive_ends_all(started, monkeypatch, capfd):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(processes, "write_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert len(started) == 2 and None not in [process.returncode for process in started]
    assert capfd.readouterr() == ("", "")


def test_if_one_process_cannot_be_started_those_before_it_end(started, monkeypatch, capfd):
    start = processes._start

    def start_one(*args):
        if started:
            raise OSError(11, "Resource temporarily unavailable")
        return start(*args)

    monkeypatch.setattr(processes, "_start", start_one)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        train()
    assert len(started) == 1 and started[0].returncode is not None
    assert capfd.readouterr() == ("", "")


SCRIPT = """
import os, signal, sys
import numpy as np
from charrnn import Callback, create_char_rnn_model
from charrnn.parallel import processes

started, start, write_all = [], processes._start, processes.write_all

def start_noted(*args):
    started.append(start(*args))
    return started[-1]

def show_pids(*_):
    print(*(process.pid for process in started), flush=True)

class ShowPids(Callback):
    on_batch = show_pids

    def should_stop(self):
        return bool(received)

    def on_stop(self, now):
        raise KeyboardInterrupt("after a batch")

def killed_before_the_jobs_arrive(*_):
    show_pids()
    os.kill(os.getpid(), signal.SIGKILL)

def killed_while_a_job_arrives(process, message):
    show_pids()
    write_all(process, message[: len(message) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

received = []
# A shell that has started the tests in the background makes them ignore the signal.
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[1] == "after a batch":
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
processes._start = start_noted
processes.write_all = globals().get(sys.argv[1], write_all)
rng = np.random.default_rng(0)
ids = rng.integers(5, size=400).astype(np.uint8)
model = create_char_rnn_model(5, rng, embedding_dim=3, hidden_dim=6)
settings = dict(num_epochs=10**9, window_size=10, stride=10, workers=3)
try:
    model.fit(ids, ids, rng=rng, callbacks=[ShowPids()], **settings)
except KeyboardInterrupt as interrupt:
    print("interrupted", *interrupt.args, *(process.returncode for process in started))
"""


@pytest.fixture
def begin():
    """Starts the script in a process group of its own; returns it and the process ids of its workers."""
    scripts = []

    def begin(*args):
        script = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *args],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
        scripts.append(script)
        return script, [int(pid) for pid in script.stdout.readline().split()]

    yield begin
    for script in scripts:
        script.kill()


@linux
@pytest.mark.parametrize("moment", ["in training", "killed_before_the_jobs_arrive", "killed_while_a_job_arrives"])
def test_all_end_without_a_word_when_the_first_is_killed(moment, begin):
    script, pids = begin(moment)
    if moment == "in training":
        script.kill()
    _, errors = script.communicate(timeout=GUARD)  # returns when the workers, too, have closed standard error
    assert (script.returncode, errors, len(pids)) == (-signal.SIGKILL, "", 2)
    assert_all_end(pids)


@linux
@pytest.mark.parametrize("when", ["", "after a batch"])
def test_ctrl_c_reaches_the_first_alone_which_ends_the_others_when_it_wants_to(when, begin):
    """As a terminal does it, the signal goes to the whole process group."""
    script, pids = begin(when)
    os.killpg(script.pid, signal.SIGINT)
    output, errors = script.communicate(timeout=GUARD)
    assert (script.returncode, errors) == (0, "")
    assert output.splitlines()[-1].split() == ["interrupted", *when.split(), "1", "1"]
    assert len(pids) == 2 and not any(is_running(pid) for pid in pids)


# Whatever program starts them

PROGRAM = """
import sys
from dataclasses import dataclass
import numpy as np
from charrnn import SGD, Dense, Embedding, InputError, Model, create_char_rnn_model
ids = np.random.default_rng(0).integers(5, size=400).astype(np.uint8)

def train(layers, workers, optimizer="nadam"):
    model, rng = Model(layers, np.random.default_rng(1)), np.random.default_rng(2)
    settings = dict(num_epochs=1, window_size=10, stride=10, workers=workers)
    try:
        history = model.fit(ids, ids, rng=rng, optimizer=optimizer, **settings)
        print(history[0]["train_loss"])
    except InputError as error:
        print(error)

@dataclass(frozen=True)
class OwnLayer(Dense):
    pass

@dataclass(frozen=True)
class OwnOptimizer(SGD):
    pass

def own_initializer(shape, rng):
    return np.full(shape, 0.125)

standard = [Embedding(5, 3), Dense(3, 5)]
for workers in (1, 2):
    train(standard, workers)
    train([Embedding(5, 3), OwnLayer(3, 5)], workers)
    train(standard, workers, OwnOptimizer(0.1))
    train([Embedding(5, 3), Dense(3, 5, initializer=own_initializer)], workers)

sys.path.insert(0, "elsewhere")
from found_late import Late
for workers in (1, 2):
    train([Embedding(5, 3), Late(3, 5)], workers)

"""
MODULE = """
from dataclasses import dataclass
from charrnn.layers import Dense

@dataclass(frozen=True)
class Late(Dense):
    activation: str = "tanh"
"""


@pytest.mark.parametrize("way", ["a script", "-c", "standard input", "an interactive session"])
def test_no_program_needs_a_guard_and_what_it_defines_itself_is_for_one_worker_alone(way, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/found_late.py").write_text(MODULE)
    (tmp_path / "program.py").write_text(PROGRAM)
    arguments = {"a script": ["program.py"], "-c": ["-c", PROGRAM], "standard input": ["-"]}
    ended = subprocess.run(
        [sys.executable, *arguments.get(way, ["-i", "-q", "-"])],
        cwd=tmp_path,
        env=ENVIRONMENT,
        input="" if way in ("a script", "-c") else PROGRAM,
        capture_output=True,
        encoding="utf-8",
        timeout=GUARD,
    )
    prompts = " \n>." if way == "an interactive session" else ""
    assert (ended.returncode, ended.stderr.strip(prompts)) == (0, "")
    lines = ended.stdout.splitlines()
    names = ["OwnLayer", "OwnOptimizer", "own_initializer"]
    assert lines[5:8] == [
        f"workers is 2; {name} is defined in __main__, where other processes can't find it: define it in a module, "
        "or set workers to 1"
        for name in names
    ]
    losses = [float(line) for line in [*lines[:5], *lines[8:]]]
    assert losses[4] == pytest.approx(losses[0], rel=1e-6)
    assert losses[6] == pytest.approx(losses[5], rel=1e-6)


def test_a_module_in_the_current_folder_does_not_replace_one_of_python(tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise ImportError('this is not the pickle of Python')\n")
    monkeypatch.chdir(tmp_path)
    assert train()


def test_what_is_defined_in_a_function_is_refused_by_name():
    @dataclass(frozen=True)
    class Local(Dense):
        pass

    for layer, name in (Local(3, V), "Local"), (Dense(3, V, initializer=lambda shape, rng: 0), "<lambda>"):
        with pytest.raises(InputError) as error:
            train(layers=[Embedding(V, 3), layer])
        assert str(error.value).startswith(
            "workers is 3; test_what_is_defined_in_a_function_is_refused_by_name.<locals>."
        )
        assert str(error.value).endswith(
            f"{name} is defined in a function or lambda, where other processes can't find it: define it in a module, "
            "or set workers to 1"
        )
        assert train(layers=[Embedding(V, 3), layer], workers=1)


# What crosses over, and what it costs


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """A text that is mapped into memory from a file whose relative name was another folder's."""
    monkeypatch.chdir(tmp_path)
    np.save("ids.npy", np.tile(TEXT, 2000))
    ids = np.load("ids.npy", mmap_mode="r")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    return ids


def crossed(array):
    """An array as other processes get it, and the size of the message."""
    message = processes._pickled(partial(print, array), 2)
    return pickle.loads(message).args[0], len(message)


def test_a_mapped_file_crosses_by_its_name(mapped):
    array, size = crossed(mapped)
    assert size < 1000 < len(mapped)
    assert isinstance(array, np.memmap) and array.mode == "r" and array.filename == mapped.filename
    np.testing.assert_array_equal(array, mapped)


@pytest.mark.parametrize("part", [slice(1, None), slice(None, -1), slice(1000, 5000), slice(None)])
def test_a_part_of_a_mapped_file_crosses_by_its_place(part, mapped):
    for piece in mapped[part], mapped[part][7:-7]:
        array, size = crossed(piece)
        assert size < 1000 and isinstance(array, np.memmap)
        np.testing.assert_array_equal(array, piece)


def test_every_third_id_of_a_mapped_file_crosses_by_value(mapped):
    array, size = crossed(mapped[1000:5000:3])
    assert size >= len(array)
    np.testing.assert_array_equal(array, mapped[1000:5000:3])


@pytest.mark.parametrize("change", ["another text", "a shorter one", "none"])
def test_a_mapped_file_that_has_been_replaced_is_refused(change, mapped):
    message = processes._pickled(partial(print, mapped), 2)
    Path(mapped.filename).unlink()
    if change != "none":
        np.save(mapped.filename, mapped[::-1] if change == "another text" else mapped[: len(mapped) // 2])
    with pytest.raises(InputError, match=r"ids\.npy has changed since it was opened; open it again$"):
        pickle.loads(message)


@pytest.mark.parametrize("mode", ["c", "r+"])
def test_a_mapped_file_that_may_have_been_changed_crosses_by_value(mode, mapped):
    ids = np.load(mapped.filename, mmap_mode=mode)
    ids[:5] = 4
    array, _ = crossed(ids)
    np.testing.assert_array_equal(array, ids)


def test_mapped_texts_train_as_others_do(tmp_path):
    np.save(tmp_path / "ids.npy", TEXT)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    expected = train()
    for texts in (mapped, mapped[:53]), (mapped[:], TEXT[:53]):
        model = train(train_ids=texts[0], validation_ids=texts[1])
        assert model.parameters.tobytes() == expected.parameters.tobytes()


@linux
def test_a_worker_takes_less_than_60_mb_beside_its_buffers(started):
    sizes = []

    def measure(now):
        for process in started:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            sizes.append(next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024)

    train(Calls(epoch=measure))
    assert len(sizes) == 2 and 5 < max(sizes) < 60


def test_workers_do_not_need_memory_without_a_name(monkeypatch):
    """Some builds of Python have no `memfd_create`, and some kernels refuse it."""
    expected = train().parameters.tobytes()
    if sys.platform == "linux":
        with monkeypatch.context() as patch:
            patch.setattr(os, "memfd_create", lambda name: open("/no/such/file"))
            assert train().parameters.tobytes() == expected
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert train().parameters.tobytes() == expected


@linux
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_workers_start_where_standard_streams_are_closed(closed, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\nfrom charrnn import create_char_rnn_model\n"
        "rng = np.random.default_rng(0)\nids = rng.integers(0, 5, 300)\n"
        "model = create_char_rnn_model(5, rng, hidden_dim=4)\n"
        "model.fit(ids, ids, rng=rng, num_epochs=1, window_size=30, workers=3)\n"
        "open('done', 'w').close()\n"
    )
    command = ["sh", "-c", f"{sys.executable} program.py {closed}"]
    subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, timeout=GUARD)
    assert (tmp_path / "done").exists()


@linux
def test_training_again_and_again_leaves_no_file_and_no_memory_open():
    def open_files():
        gc.collect()
        maps = Path("/proc/self/maps").read_text()
        return len(os.listdir("/proc/self/fd")), maps.count("memfd:charrnn")

    train()
    before = open_files()
    for _ in range(3):
        train()
    assert open_files() == before == (before[0], 0)
