"""What a stage says of whatever can't work: one line, an exit code above 0, and every file as it was."""

import errno
import os
import signal
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from charrnn.errors import InputError
from stages.common import program
from tests.stage_project import (
    CHECKPOINT,
    ENVIRONMENT,
    STAGES,
    TEXT,
    call,
    change_param,
    command,
    files,
    printed_by,
    remove,
    replace_part,
    rewrite,
    start,
)

OF_A_FOLDER = os.strerror(errno.EACCES if os.name == "nt" else errno.EISDIR)  # what reading one as a file ends with
HUGE = 10**30
NOT_OF_THIS_TEXT = "is damaged (it is not the file that was written with vocabulary.json); run `python -m stages.prepa"
HEADER = "the header of the array is damaged"
MODEL = "models/char_rnn.npz"


def cut(content):
    return content[: len(content) // 2]


def spoil(content):
    return content[:900] + bytes([content[900] ^ 255]) + content[901:]


def flip_last_bit(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def crafted(header):
    """A change to a folder: with this header in the training ids, and their correct hash."""

    def change(folder):
        ids = (folder / "data/processed/train.npy").read_bytes()[128:]
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        replace_part(folder, "train", start + header.encode() + ids)

    return change


def append(text):
    return rewrite("params.yaml", lambda content: content + text)


def corpus(text):
    """A change to a folder: with another corpus, which has not been prepared."""
    return rewrite("data/raw/input.txt", lambda content: text)


def prepare(*flags):
    """A change to a folder: with the corpus split in another way."""
    return lambda folder: printed_by(folder, "prepare", *flags)


def prepare_another_text(folder):
    rewrite("data/raw/input.txt", lambda text: text.replace(b"a", b"A"))(folder)
    printed_by(folder, "prepare")


def replace_by_folder(name):
    """A change to a folder: with a folder of this name instead of a file."""

    def change(folder):
        remove(name)(folder)
        (folder / name).mkdir()

    return change


FLAGS = [
    ("download --data-url nowhere.txt", "'nowhere.txt': No such file or directory"),
    ("download --data-url models", "'models': it is a folder without texts; their names must end in .txt, .txt.gz"),
    ("download --data-url *.text", "'*.text': no file matches it"),
    ("download --data-sha256 abc", "data_sha256 is 'abc'; it must be empty or 64 hexadecimal digits"),
    (f"download --data-url {MODEL}", f"'{MODEL}': it is a zip archive of "),
    ("download --data-url ftp://127.0.0.1/text", "ftp:// is not supported; a source must be an http, https or file"),
    ("download --data-url http://[::1", "'http://[::1': Invalid IPv6 URL"),
    ("download --data-url http://", "'http://': Invalid URL 'http://': No host supplied"),
    ("download --data-url=", "data_url is ['']; it must be a non-empty text, {join: [texts]}, or a list of these"),
    ("download --max-corpus-mb 0", "max_corpus_mb is '0'; it must be a number above 0"),
    ("download --max-corpus-mb 1e-3", "'corpus.txt': it is larger than 0.001 MB, the limit that max_corpus_mb sets"),
    ("prepare --train-size 1", "train_size is '1'; it must be a number above 0 and below 1"),
    ("prepare --train-size 0.9999", "3,000 characters, which leaves 1 for test at train_size 0.9999"),
    ("train --cell lstn", "cell is 'lstn'; it must be one of gru, lstm, rnn"),
    ("train --num-layers 0", "num_layers is '0'; it must be an integer of at least 1"),
    ("train --num-layers 1001", "num_layers is '1001'; it must be an integer of at least 1 and at most 1,000"),
    (f"train --embedding-dim {HUGE}", f"embedding_dim is '{HUGE}'; it must be an integer of at least 1 and"),
    (f"train --hidden-dim {HUGE}", f"hidden_dim is '{HUGE}'; it must be an integer of at least 1 and at most"),
    ("train --hidden-dim 8.5", "hidden_dim is '8.5'; it must be an integer of at least 1"),
    ("train --hidden-dim 1000000 --num-layers 1000", "out of memory: "),
    ("train --hidden-dim 1000000 --num-layers 1000 --workers 2", "out of memory: "),
    ("train --dropout 1", "dropout is '1'; it must be a number of at least 0 and below 1"),
    ("train --patience=-1", "patience is '-1'; it must be an integer of at least 0"),
    ("train --schedule cosy", "schedule is 'cosy'; it must be one of constant, step, cosine"),
    ("train --learning-rate=-1e-3", "learning_rate is '-1e-3'; it must be a number above 0"),
    ("train --final-learning-rate 1", "final_learning_rate is 1.0; it must be at least 0 and at most the"),
    ("train --weight-decay 1000", "weight_decay is 1000.0; times the learning_rate, 0.001, it must be below 1"),
    ("train --seed -1", "seed is '-1'; it must be an integer of at least 0"),
    ("train --batch-size 1000001", "batch_size is '1000001'; it must be an integer of at least 1 and at most"),
    ("train --workers 0", "workers is '0'; it must be an integer of at least 1"),
    ("train --checkpoint-seconds x", "checkpoint_seconds is 'x'; it must be a number of at least 0"),
    ("train --window-size 480", "window_size is 480; it must be below the length of the validation text, 480"),
    ("train --window-size 1920", "window_size is 1920; it must be below the length of the validation text, 480"),
    ("train --window-size 5 --stride 6", "stride is 6; it must be at most window_size, 5"),
    ("train --optimizer sgd --learning-rate 1e38 --clip-norm 0", "training diverged in epoch 1, batch "),
    ("train --optimizer sgd --learning-rate 1e38 --clip-norm 0 --workers 2", "training diverged in epoch 1, batch "),
    ("train --weights-path nothing.npz", "error: nothing.npz: No such file or directory"),
    (
        f"train --hidden-dim 9 --weights-path {MODEL}",
        f"training can't start from {MODEL}: its network has hidden_dim 8, not 9; use its values",
    ),
    ("evaluate --text nothing.txt", "'nothing.txt' is not a file"),
    ("evaluate --text=", "'' is not a file"),
    (f"evaluate --text {MODEL}", f"{MODEL} is not UTF-8"),
    ("evaluate --window-size 600", "window_size is 600; it must be below the length of the text, 600 characters"),
    ("sample --temperature nan", "temperature is 'nan'; it must be a number of at least 0"),
    ("sample --temperatures 0.5 x", "temperature is 'x'; it must be a number of at least 0"),
    ("sample --temperatures 0.5 --temperature 1", "--temperature and --temperatures are given; use only one"),
    ("sample --show 0", "show is '0'; it must be an integer of at least 1"),
    ("sample --show x", "show is 'x'; it must be an integer of at least 1"),
    *(
        (f"sample --show 3 --{name} 1", f"--{name} and --show are given; use only one of them")
        for name in ("temperature", "temperatures", "top-k", "top-p", "seed", "num-samples", "stop", "num-to-generate")
    ),
    *(
        (f"sample --interactive --{name} 1", f"--{name} and --interactive are given; use only one of them")
        for name in ("output", "num-samples", "temperatures")
    ),
    ("sample --interactive", "--interactive needs a terminal, but standard input is not one"),
    ("evaluate --by-line", "--by-line is given without --text, which it needs"),
    ("evaluate --text corpus.txt --sort", "--sort is given without --by-line, which it needs"),
    ("evaluate --text corpus.txt --csv", "--csv is given without --by-line, which it needs"),
    ("evaluate --by-line --text nothing.txt", "'nothing.txt' is not a file"),
    (f"evaluate --by-line --text {MODEL}", f"{MODEL} is not UTF-8"),
    ("sample --top-k=-1", "top_k is '-1'; it must be an integer of at least 0"),
    ("sample --top-p 0", "top_p is '0'; it must be a number above 0 and at most 1"),
    ("sample --num-samples 0", "num_samples is '0'; it must be an integer of at least 1"),
    (f"sample --num-samples {HUGE}", f"num_samples is '{HUGE}'; it must be an integer of at least 1"),
    ("sample --num-to-generate 0", "num_to_generate is '0'; it must be an integer of at least 1"),
    (f"sample --num-to-generate {HUGE}", f"num_to_generate is '{HUGE}'; it must be an integer of at least 1"),
    ("sample a --start-string b", "the start string is given twice; use only one of TEXT, --prompt-file and"),
    ("sample --prompt-file nothing.txt", "'nothing.txt' is not a file"),
    (f"sample --prompt-file {MODEL}", f"{MODEL} is not UTF-8"),
    ("sample ", "start_string is ''; it must be a non-empty text"),
    ("sample --start-string=", "start_string is ''; it must be a non-empty text"),
    ("sample abx¤", "start_string is 'abx¤': the vocabulary lacks "),
    ("sample ab\udcff", "text has a lone surrogate '\\udcff' at position 2; only characters are allowed"),
    ("report --start-string=abx¤", "start_string is 'abx¤': the vocabulary lacks "),
    ("sample --output .", "error: .: Is a directory"),
    ("sample --output models", "error: models: Is a directory"),
    ("sample --output corpus.txt/sample.txt", "corpus.txt"),
    ("sample --weights-path corpus.txt", "corpus.txt is not a charrnn file"),
    ("sample --weights-path data/processed/test.npy", "test.npy is not a charrnn file"),
    pytest.param(
        "evaluate --text /proc/self/mem",
        "error: /proc/self/mem: Input/output error",
        marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that opens but fails"),
    ),
]  # fmt: skip

PARAMS_FILES = [
    *((append(b"hiden_dim: 8\n"), stage, "'hiden_dim' is not a hyperparameter; did you mean") for stage in STAGES),
    (append(b"seed: 1\n"), "sample", "column 1: duplicate key 'seed'"),
    (append(b"\xff"), "train", "column 1: not UTF-8"),
    (append(b"#" * 70_000), "train", "params.yaml has more than 65,536 characters"),
    (append(b"a: &a [[[[x]]]]\n"), "train", "nested too deeply; a value may be a number, a text, "),
    (rewrite("params.yaml", lambda text: b""), "train", "params.yaml has no hyperparameters"),
    *(
        (change_param(name, value), stage, f"params.yaml: {name} is {shown}; it must be a")
        for stage in ("download", "train")
        for name, value, shown in (
            ("learning_rate", ".nan", "nan"),
            ("learning_rate", "-.inf", "-inf"),
            ("learning_rate", "-1", "-1"),
            ("learning_rate", "fast", "'fast'"),
            ("hidden_dim", "1.5", "1.5"),
            ("hidden_dim", "0x" + 5000 * "f", "a number with too many digits"),
            ("max_corpus_mb", "null", "None"),
        )
    ),
    (change_param("start_string", "''"), "sample", "start_string is ''; it must be a non-empty text"),
    (change_param("start_string", "ab¤"), "sample", "'ab¤': the vocabulary lacks '¤'"),
    (change_param("start_string", r'"a\ud800"'), "sample", r"'a\ud800': text has a lone surrogate '\ud800' at pos"),
    (replace_by_folder("params.yaml"), "train", f"params.yaml: {OF_A_FOLDER}"),
    (remove("params.yaml"), "train", "params.yaml: No such file or directory"),
]  # fmt: skip

OTHER_SPLIT = f"{MODEL} was trained on another text than the one in data/processed, or on another split; prepare its"
OTHER_FILES = [
    (remove("data/raw"), "prepare", "data/raw/input.txt is missing; run the earlier stages first"),
    (replace_by_folder("data/raw/input.txt"), "prepare", "error: data/raw/input.txt is a folder; a corpus must"),
    (corpus(b""), "prepare", "data/raw/input.txt is empty"),
    (corpus(TEXT.encode() + b"\xff"), "prepare", f"is not UTF-8: invalid start byte at byte {len(TEXT.encode())}"),
    (corpus(b"x"), "prepare", "has no character but 'x'; a corpus must have at least two different ones"),
    (corpus(b"x" * 28), "prepare", "has no character but 'x'; a corpus must have at least two different ones"),
    (corpus(b"xyz"), "prepare", "the text has 3 characters, which leaves 0 for"),
    (remove("data/processed"), "train", "data/processed/vocabulary.json is missing; run the earlier stages"),
    (remove("data/processed/train.npy"), "train", "data/processed/train.npy is missing; run the earlier stages"),
    (remove("data/processed"), "evaluate", "data/processed/vocabulary.json is missing; run the earlier stages"),
    (remove("data/processed/test.npy"), "evaluate", "data/processed/test.npy is missing; run the earlier stages"),
    (rewrite("data/processed/train.npy", cut), "train", "data/processed/train.npy is damaged"),
    (rewrite("data/processed/test.npy", cut), "evaluate", "data/processed/test.npy is damaged"),
    *(
        (rewrite(f"data/processed/{part}.npy", flip_last_bit), stage, f"data/processed/{part}.npy {NOT_OF_THIS_TEXT}")
        for stage, part in (("train", "train"), ("train", "validation"), ("evaluate", "train"), ("evaluate", "test"))
    ),
    *(
        (crafted(header), "train", f"data/processed/train.npy is damaged ({why}")
        for header, why in (
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (1920,), }" + " " * 20_000, HEADER),
            ("{'descr': " + "-" * 9000 + "1, 'fortran_order': False, 'shape': (1920,), }", HEADER),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (1921,), }", "mmap length is greater than file size"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 960), }", "it has no array of ids"),
            ("{'descr': '|i1', 'fortran_order': False, 'shape': (1920,), }", "it has no array of ids"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (240,), }", "the array holds objects, or is not"),
        )
    ),
    (rewrite("data/processed/vocabulary.json", cut), "train", "data/processed/vocabulary.json is damaged"),
    (rewrite("data/processed/vocabulary.json", cut), "evaluate", "data/processed/vocabulary.json is damaged"),
    (rewrite("data/processed/vocabulary.json", lambda text: b"{}"), "train", "processed/vocabulary.json is damaged"),
    (prepare("--train-size", 0.5, "--validation-size", 0.9), "train --window-size 150", "length of the text, 150 "),
    *(
        (remove("models"), stage, f"{MODEL} is missing; run the earlier stages first")
        for stage in ("evaluate", "sample", "report")
    ),
    *(
        (remove("models"), f"{stage} --weights-path {MODEL}", f"error: {MODEL}: No such file or directory")
        for stage in ("evaluate", "sample", "train")  # the user named it
    ),
    *(
        (rewrite(MODEL, damage), stage, f"{MODEL} is not a charrnn file")
        for stage in ("evaluate", "sample", f"train --weights-path {MODEL}")
        for damage in (cut, spoil)
    ),
    (prepare_another_text, f"train --weights-path {MODEL}", f"the text was prepared without {MODEL}, whose characters"),
    (prepare_another_text, "evaluate", OTHER_SPLIT),
    (prepare_another_text, "sample", OTHER_SPLIT),
    (prepare_another_text, "report", OTHER_SPLIT),
    (remove("data/processed/train.npy"), "report", "data/processed/train.npy is missing; run the earlier stages"),
    (prepare_another_text, f"evaluate --weights-path {MODEL}", OTHER_SPLIT),
    (prepare("--train-size", 0.5), "evaluate", OTHER_SPLIT),
    *(
        (change_param("batch_size", 9), stage, "was trained with batch_size 8, but params.yaml has 9; train again, or")
        for stage in ("evaluate", "sample", "report", "evaluate --text corpus.txt")
    ),
    (change_param("train_size", 0.7), "sample", "was trained with train_size 0.8, but params.yaml has 0.7; train"),
    (rewrite("corpus.txt", lambda text: b"XYZ"), "evaluate --text corpus.txt", "has 0 characters; it must have at"),
]  # fmt: skip


def assert_one_line(ended, message):
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize("words, message", FLAGS)
def test_flags_that_cannot_work_end_with_one_line(project, words, message):
    before = files(project)
    assert_one_line(call(project, *words.split(" ")), message)
    assert files(project) == before


@pytest.mark.parametrize("change, words, message", PARAMS_FILES + OTHER_FILES)
def test_files_that_cannot_work_end_a_stage_with_one_line(project, change, words, message):
    change(project)
    before = files(project)
    assert_one_line(call(project, *words.split(" ")), message)
    assert files(project) == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_fails_as_a_program_does_so_in_one_line_too(project, stage):
    append(b"hiden_dim: 8\n")(project)
    before = files(project)
    assert_one_line(start(project, stage), "'hiden_dim' is not a hyperparameter; did you mean hidden_dim?")
    assert files(project) == before


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "error: Cannot allocate memory"),
        (OSError("it did not answer"), "error: it did not answer"),
        (PermissionError(errno.EACCES, "Permission denied", "x.txt"), "error: x.txt: Permission denied"),
        (MemoryError("it has no room"), "error: out of memory: it has no room"),
        (InputError("red \x1b[31m\nand more"), r"error: red \x1b[31m\nand more"),
        (PermissionError(errno.EACCES, "Permission denied", "\x1b[31m"), r"error: \x1b[31m: Permission denied"),
        (InputError(3000 * "x"), "error: " + 1993 * "x" + "..."),
    ],
)
def test_an_error_of_the_system_is_one_line(error, line):
    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        program.run(main)
    assert ended.value.code == line


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("download", "data/raw/input.txt"),
        ("prepare", "data/processed/train.npy"),
        ("train", CHECKPOINT),
        ("evaluate", "metrics/evaluation.json"),
        ("sample --output metrics/sample.txt", "metrics/sample.txt"),
    ],
)
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(stage, path, project):
    import resource

    before = files(project)
    ended = subprocess.run(
        command(*stage.split(), *(["--seed", 8] if stage.startswith("sample") else [])),
        cwd=project,
        env={name: value for name, value in ENVIRONMENT.items() if not name.startswith("COVERAGE")},  # it writes too
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),  # as good as a full disk
    )
    assert ended.returncode == 1
    assert ended.stderr == f"error: {path}: File too large\n"
    if stage == "prepare":  # so that it never stands beside the ids of another text
        del before["data/processed/vocabulary.json"]
    assert files(project) == before


KILLED_AT_A_RENAME = """
import os, signal, sys
from stages import prepare
from stages.common.program import run

rename, remaining = os.replace, int(sys.argv.pop(1))

def rename_or_die(source, target):
    global remaining
    remaining -= 1
    if remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)

os.replace = rename_or_die
run(prepare.main)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_what_a_killed_prepare_leaves_is_refused(number, project):
    """It is killed before one of its renames."""
    rewrite("data/raw/input.txt", lambda text: text.decode()[::-1].replace("é", "E").encode())(project)
    before = files(project)
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_A_RENAME, str(number)], cwd=project, env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    for stage in ("train", "evaluate"):
        assert_one_line(call(project, stage), "data/processed/vocabulary.json is missing; run the earlier stages first")
    if number > 1:  # even if the old vocabulary is put back
        (project / "data/processed/vocabulary.json").write_bytes(before["data/processed/vocabulary.json"])
        for stage in ("train", "evaluate"):
            assert_one_line(call(project, stage), f"data/processed/train.npy {NOT_OF_THIS_TEXT}")
    printed_by(project, "prepare")
    assert not list(project.rglob("*.partial")) and not list(project.rglob(".*.lock"))
    printed_by(project, "train")
    printed_by(project, "evaluate")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
@pytest.mark.parametrize(
    ("path", "stage", "message"),
    [
        (MODEL, "sample", f"error: {MODEL} is not a regular file, but a pipe or a device"),
        (MODEL, f"train --weights-path {MODEL}", f"error: {MODEL} is not a regular file, but a pipe or a device"),
        (CHECKPOINT, "train", f"error: {CHECKPOINT} is not a regular file; remove it"),
        ("data/processed/train.npy", "train", "(data/processed/train.npy is not a regular file, but a pipe or a devi"),
        ("data/processed/vocabulary.json", "evaluate", "(data/processed/vocabulary.json is not a regular file, but a "),
    ],
)
def test_a_pipe_in_place_of_a_file_does_not_block(path, stage, message, project):
    (project / path).unlink(missing_ok=True)
    os.mkfifo(project / path)
    assert_one_line(call(project, *stage.split()), message)


@pytest.mark.parametrize(
    "flags, why",
    [
        ((), "it is an HTML page; a corpus must be plain text"),
        (("--max-corpus-mb", "1e-5"), "it is larger than 1e-05 MB, the limit that max_corpus_mb sets"),
    ],
)
def test_a_page_that_is_no_corpus_ends_with_one_line(project, flags, why):
    (project / "page.html").write_text("<html>Sign in to read this</html>")
    before = files(project)
    name = "corpus.txt" if flags else "page.html"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=project)) as server:
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            ended = start(project, "download", "--data-url", url, *flags)
        finally:
            server.shutdown()
    assert ended.returncode == 1
    assert ended.stderr == f"error: data_url: no source could be read: '{url}': {why}\n"
    assert files(project) == before
