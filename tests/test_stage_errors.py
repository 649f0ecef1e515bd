"""What stages say of whatever can't work: one line, an exit code above 0, and every file as it was."""

import errno
import os
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
    rewrite,
    start,
)

OF_A_FOLDER = os.strerror(errno.EACCES if os.name == "nt" else errno.EISDIR)  # what reading one as a file ends with


def cut(content):
    return content[: len(content) // 2]


def spoil(content):
    return content[:900] + bytes([content[900] ^ 255]) + content[901:]


def prepare_another_split(folder):
    printed_by(folder, "prepare", "--train-size", "0.5")


def prepare_another_text(folder):
    rewrite("data/raw/input.txt", lambda text: text.replace(b"a", b"A"))(folder)
    printed_by(folder, "prepare")


def replace_by_folder(name):
    """A change to a folder: with a folder of this name instead of a file."""

    def change(folder):
        remove(name)(folder)
        (folder / name).mkdir()

    return change


def unchanged(folder):
    pass


BAD_SOURCES = {
    "nowhere.txt": "No such file or directory",
    "data": OF_A_FOLDER,
    "models/char_rnn.npz": "the text is not UTF-8: ",
    "ftp://127.0.0.1/text": "ftp:// is not supported; a source is an http, https or file URL, or a path",
    "http://[::1": "Invalid IPv6 URL",
    "http://": "Invalid URL 'http://': No host supplied",
}


@pytest.mark.parametrize(
    "change, words, message",
    [
        *((unchanged, f"download --data-url {source}", f"'{source}': {why}") for source, why in BAD_SOURCES.items()),
        (unchanged, "download --data-url=", "data_url is ['']; it must be a text or a list of texts, none of them emp"),
        (unchanged, "download --max-corpus-mb 0", "max_corpus_mb is '0'; it must be a number above 0"),
        (unchanged, "download --max-corpus-mb 1e-3", "'corpus.txt': it has more than 0.001 MB, the limit that max_cor"),
        (unchanged, "prepare --train-size 1", "train_size is '1'; it must be a number above 0 and below 1"),
        (unchanged, "prepare --train-size 0.9999", "3000 characters, which leaves 1 for test at train_size 0.9999"),
        (unchanged, "train --cell lstn", "cell is 'lstn'; it must be one of gru, lstm, rnn"),
        (unchanged, "train --num-layers 0", "num_layers is '0'; it must be an integer of at least 1"),
        (unchanged, "train --dropout 1", "dropout is '1'; it must be a number of at least 0 and below 1"),
        (unchanged, "train --patience=-1", "patience is '-1'; it must be an integer of at least 0"),
        (unchanged, "train --schedule cosy", "schedule is 'cosy'; it must be one of constant, step, cosine"),
        (unchanged, "train --final-learning-rate 1", "final_learning_rate is 1.0; it must be at least 0 and at most"),
        (unchanged, "train --learning-rate=-1e-3", "learning_rate is '-1e-3'; it must be a number above 0"),
        (
            unchanged,
            "train --weight-decay 1000",
            "weight_decay is 1000.0; times the learning_rate, 0.001, it must be below",
        ),
        (unchanged, "train --hidden-dim 8.5", "hidden_dim is '8.5'; it must be an integer of at least 1"),
        (unchanged, "train --hidden-dim 1000000 --num-layers 1000", "memory"),
        (unchanged, "train --seed -1", "seed is '-1'; it must be an integer of at least 0"),
        (
            unchanged,
            "train --num-layers 1001",
            "num_layers is '1001'; it must be an integer of at least 1 and at most 1",
        ),
        *(
            (
                unchanged,
                f"train --{flag}-dim {10**30}",
                f"{flag}_dim is '{10**30}'; it must be an integer of at least 1",
            )
            for flag in ("embedding", "hidden")
        ),
        (unchanged, "train --batch-size 1000001", "batch_size is '1000001'; it must be an integer of at least 1 and"),
        (unchanged, "train --window-size 480", "window_size is 480; in a validation text of 480 characters it must be"),
        (unchanged, "train --window-size 1920", "window_size is 1920; in a validation text of 480 characters it must"),
        (
            lambda folder: printed_by(folder, "prepare", "--train-size", "0.5", "--validation-size", "0.9"),
            "train --window-size 150",
            "window_size is 150; in a text of 150 characters it must be below",
        ),
        pytest.param(
            unchanged,
            "evaluate --text /proc/self/mem",
            "error: /proc/self/mem: Input/output error",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that opens but fails"),
        ),
        (unchanged, "evaluate --text nothing.txt", "'nothing.txt' is not a file"),
        (unchanged, "evaluate --text=", "'' is not a file"),
        (unchanged, "evaluate --text models/char_rnn.npz", "models/char_rnn.npz is not UTF-8"),
        (rewrite("corpus.txt", lambda text: b"XYZ"), "evaluate --text corpus.txt", "has 0 characters; it must have at"),
        (unchanged, "evaluate --window-size 600", "window_size is 600; in a text of 600 characters it must be below"),
        (unchanged, "sample --temperature nan", "temperature is 'nan'; it must be a number of at least 0"),
        (unchanged, "sample --temperatures 0.5 x", "temperature is 'x'; it must be a number of at least 0"),
        (
            unchanged,
            "sample --temperatures 0.5 --temperature 1",
            "--temperature and --temperatures are given; they exc",
        ),
        (unchanged, "sample --top-k=-1", "top_k is '-1'; it must be an integer of at least 0"),
        (unchanged, "sample --top-p 0", "top_p is '0'; it must be a number above 0 and at most 1"),
        (unchanged, "sample --num-samples 0", "num_samples is '0'; it must be an integer of at least 1"),
        (unchanged, "sample a --start-string b", "the start string is given twice; TEXT, --prompt-file and --start"),
        (
            unchanged,
            f"sample --num-samples {10**30}",
            f"num_samples is '{10**30}'; it must be an integer of at least 1",
        ),
        (unchanged, f"sample --num-to-generate {10**30}", f"num_to_generate is '{10**30}'; it must be an integer of"),
        (unchanged, "sample --prompt-file nothing.txt", "'nothing.txt' is not a file"),
        (unchanged, "sample --prompt-file models/char_rnn.npz", "models/char_rnn.npz is not UTF-8"),
        (unchanged, "sample --num-to-generate 0", "num_to_generate is '0'; it must be an integer of at least 1"),
        (unchanged, "sample ", "start_string is ''; it must be a text that is not empty"),
        (unchanged, "sample abx¤", "start_string is 'abx¤': text has characters that are not in"),
        (
            unchanged,
            "sample ab\udcff",
            "text has a lone surrogate '\\udcff' at position 2; only characters are allowed",
        ),
        *(
            (change_param("start_string", value), "sample", f"start_string is {shown}")
            for value, shown in {
                "''": "''; it must be a text that is not empty",
                "ab¤": "'ab¤': text has characters that are not in the vocabulary: '¤' at position 2",
                r'"a\ud800"': r"'a\ud800': text has a lone surrogate '\ud800' at position 1",
            }.items()
        ),
        (unchanged, "sample --start-string=", "start_string is ''; it must be a text that is not empty"),
        (unchanged, "sample --output .", "error: .: Is a directory"),
        (unchanged, "sample --output models", "error: models: Is a directory"),
        (unchanged, "sample --output corpus.txt/sample.txt", "corpus.txt"),
        *(
            (rewrite("params.yaml", lambda text: text + b"hiden_dim: 8\n"), stage, "is not a hyperparameter; known are")
            for stage in STAGES
        ),
        (rewrite("params.yaml", lambda text: text + b"seed: 1\n"), "sample", "duplicate key"),
        (rewrite("params.yaml", lambda text: b""), "train", "params.yaml holds no hyperparameters; `python -m stages."),
        (
            rewrite("params.yaml", lambda text: text + b"\xff"),
            "train",
            "params.yaml is not YAML: unacceptable character",
        ),
        (rewrite("params.yaml", lambda text: text + b"#" * 70_000), "train", "params.yaml has more than 65,536 bytes"),
        (rewrite("params.yaml", lambda text: text + b"a: &a [[x]]\n"), "train", "nested too deep; a name may have"),
        *(
            (change_param(name, value), stage, f"params.yaml: {name} is {shown}; it must be a")
            for stage in ("download", "train")
            for name, value, shown in (
                ("learning_rate", ".nan", "nan"),
                ("learning_rate", "-.inf", "-inf"),
                ("learning_rate", "-1", "-1"),
                ("learning_rate", "fast", "'fast'"),
                ("hidden_dim", "1.5", "1.5"),
                ("hidden_dim", "0x" + 5000 * "f", "a number of too many digits"),
                ("max_corpus_mb", "null", "None"),
            )
        ),
        (replace_by_folder("params.yaml"), "train", f"params.yaml: {OF_A_FOLDER}"),
        (remove("params.yaml"), "train", "params.yaml: No such file or directory"),
        (remove("data/raw"), "prepare", "data/raw/input.txt is missing; run the stages before"),
        (rewrite("data/raw/input.txt", lambda text: b""), "prepare", "data/raw/input.txt is empty"),
        *(
            (rewrite("data/raw/input.txt", lambda _, text=text: text), "prepare", f"data/raw/input.txt {why}")
            for text, why in {
                TEXT.encode() + b"\xff": f"is not UTF-8: invalid start byte at byte {len(TEXT.encode())}",
                b"x": "has no character but 'x'; a corpus must have at least two different ones",
                b"xxxxxxxxxxxxxxxxxxxxxxxxxxxx": "has no character but 'x'; a corpus must have at least two diff",
            }.items()
        ),
        (
            rewrite("data/raw/input.txt", lambda text: b"xyz"),
            "prepare",
            "the text has 3 characters, which leaves 0 for",
        ),
        (replace_by_folder("data/raw/input.txt"), "prepare", f"error: data/raw/input.txt: {OF_A_FOLDER}"),
        (remove("data/processed"), "train", "data/processed/train.npy is missing; run the stages before"),
        (remove("data/processed"), "evaluate", "data/processed/vocabulary.json is missing; run the stages before"),
        (remove("data/processed/test.npy"), "evaluate", "data/processed/test.npy is missing; run the stages before"),
        (rewrite("data/processed/train.npy", cut), "train", "data/processed/train.npy"),
        (rewrite("data/processed/test.npy", cut), "evaluate", "data/processed/test.npy"),
        (rewrite("data/processed/vocabulary.json", cut), "train", "data/processed/vocabulary.json"),
        (rewrite("data/processed/vocabulary.json", cut), "evaluate", "data/processed/vocabulary.json"),
        (rewrite("data/processed/vocabulary.json", lambda text: b"{}"), "train", "data/processed/vocabulary.json"),
        *(
            (remove("models"), stage, "models/char_rnn.npz is missing; run the stages before")
            for stage in ("evaluate", "sample", "train --weights-path models/char_rnn.npz")
        ),
        *(
            (rewrite("models/char_rnn.npz", damage), stage, "models/char_rnn.npz is not a charrnn file")
            for stage in ("evaluate", "sample", "train --weights-path models/char_rnn.npz")
            for damage in (cut, spoil)
        ),
        (unchanged, "sample --weights-path corpus.txt", "corpus.txt is not a charrnn file"),
        (unchanged, "sample --weights-path data/processed/test.npy", "test.npy is not a charrnn file"),
        (unchanged, "train --hidden-dim 9 --weights-path models/char_rnn.npz", "another vocabulary or other layers"),
        (prepare_another_text, "train --weights-path models/char_rnn.npz", "another vocabulary or other layers"),
        (prepare_another_text, "evaluate", "models/char_rnn.npz was trained on another text, or another split of it"),
        (prepare_another_text, "sample", "models/char_rnn.npz was trained on another text, or another split of it"),
        *(
            (
                change_param("batch_size", 9),
                stage,
                "was trained with batch_size 8, but params.yaml has 9; train again, or",
            )
            for stage in ("evaluate", "sample", "evaluate --text corpus.txt")
        ),
        (change_param("train_size", 0.7), "sample", "was trained with train_size 0.8, but params.yaml has 0.7; train"),
        (
            prepare_another_text,
            "evaluate --weights-path models/char_rnn.npz",
            "was trained on another text, or another",
        ),
        (prepare_another_split, "evaluate", "models/char_rnn.npz was trained on another text, or another split of it"),
        (unchanged, "train --optimizer sgd --learning-rate 1e38 --clip-norm 0", "training diverged in epoch 1, batch "),
        (unchanged, "train --window-size 5 --stride 6", "stride is 6; it must be at most window_size, 5"),
    ],
)
def test_what_can_not_work_ends_with_one_line(project, change, words, message):
    change(project)
    before = files(project)
    ended = call(project, *words.split(" "))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert files(project) == before


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
def test_a_file_that_can_not_be_written_whole_stays_as_it_was(stage, path, project):
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
    assert files(project) == before


@pytest.mark.parametrize(
    "flags, why",
    [
        ((), "it is an HTML page; a corpus must be plain text"),
        (("--max-corpus-mb", "1e-5"), "it has more than 1e-05 MB, the limit that max_corpus_mb sets"),
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
    assert ended.returncode != 0
    assert ended.stderr == f"error: data_url: no source could be read: '{url}': {why}\n"
    assert files(project) == before
