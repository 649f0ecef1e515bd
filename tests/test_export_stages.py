"""`stages.export` and `stages.import_model`: out and back, what they print, and one line for what can't work."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from charrnn.interop.exporting import FORMATS
from charrnn.interop.packages import optional_package
from charrnn.interop.state_dict import to_state_dict
from charrnn.layers import Dense, Embedding
from charrnn.model_file import save_model
from tests.interop_models import ALL, AS_IN_PYTORCH, VECTORIZER, E, V, trained
from tests.networks import LeakyAverage
from tests.requirements_report import INSTALL_EXPORT, INSTALL_PYTORCH
from tests.stage_project import ENVIRONMENT, ROOT, call, files, printed_by

PACKAGES = {"onnx": "onnx", "pytorch": "torch", "safetensors": "safetensors"}
INSTALL = {"onnx": INSTALL_EXPORT, "pytorch": INSTALL_PYTORCH, "safetensors": INSTALL_EXPORT}


def needs(format):
    package = PACKAGES[format]
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is missing; {INSTALL[format]}")


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes among its files")
each_format = pytest.mark.parametrize("format", [pytest.param(format, marks=needs(format)) for format in FORMATS])

OUT_AND_BACK = [
    *(pytest.param("stacked gru", format, marks=needs(format)) for format in FORMATS),
    *(pytest.param("stacked mogrifier", format, marks=needs(format)) for format in ("onnx", "safetensors")),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with a model file that every format can express."""
    save_model(tmp_path / "models/a.npz", trained(AS_IN_PYTORCH["stacked gru"]))
    return tmp_path


@pytest.mark.parametrize(("name", "format"), OUT_AND_BACK)
def test_a_model_goes_out_and_comes_back_byte_for_byte(folder, name, format):
    contents = trained(ALL[name])
    save_model(folder / "models/a.npz", contents)
    path = f"models/a{FORMATS[format].suffix}"
    printed = printed_by(folder, "export", "--format", format, "--weights-path", "models/a.npz")
    size = (folder / path).stat().st_size
    opened = FORMATS[format].opened_by.format(f"'{path}'")
    assert printed == f"{path}: {size:,} bytes; open it with {opened}, see docs/export.md\n"
    printed = printed_by(folder, "import_model", path, "--output", "b.npz")
    sample = "python -m stages.sample --weights-path b.npz"
    layers = ", ".join(type(layer).__name__ for layer in contents.model.layers)
    assert re.fullmatch(rf"b\.npz: {layers}, [\d,]+ parameters; [^`]+`{sample}`\n", printed)
    assert (folder / "b.npz").read_bytes() == (folder / "models/a.npz").read_bytes()
    assert sorted(files(folder)) == sorted(["b.npz", "models/a.npz", path])


@each_format
def test_a_file_goes_where_output_says_and_replaces_what_is_there(folder, format):
    path = f"deep/b{FORMATS[format].suffix}"
    first = printed_by(folder, "export", "--format", format, "--weights-path", "models/a.npz", "--output", path)
    content = (folder / path).read_bytes()
    (folder / path).write_bytes(b"another one")
    again = printed_by(folder, "export", "--format", format, "--weights-path", "models/a.npz", "--output", path)
    assert first == again and (folder / path).read_bytes() == content


@needs("safetensors")
def test_a_state_dict_with_a_vocabulary_becomes_a_model_that_samples(folder):
    save_file = optional_package("safetensors.numpy").save_file
    save_file(to_state_dict(trained(AS_IN_PYTORCH["relu"]).model), folder / "net.safetensors")
    (folder / "characters.txt").write_bytes(VECTORIZER.vocabulary.encode())
    flags = ("--vocabulary", "characters.txt", "--nonlinearity", "relu")
    printed = printed_by(folder, "import_model", "net.safetensors", *flags)
    assert printed.startswith("net.npz: Embedding, SimpleRNN, Dense, ")
    flags = ("--temperature", "0", "--num-to-generate", "50", "--no-color")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    save_model(folder / "same.npz", trained(AS_IN_PYTORCH["relu"]))
    found, expected = (
        printed_by(folder, "sample", "ROMEO:", "--weights-path", name, *flags) for name in ("net.npz", "same.npz")
    )
    assert found == expected and len(found) == 57


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def nothing(folder):
    pass


def own_layer(folder):
    save_model(folder / "own.npz", trained([Embedding(V, E), LeakyAverage(E), Dense(E, V)]))


def save(name):
    return lambda folder: save_model(folder / "b.npz", trained(ALL[name]))


def pipe(name):
    return lambda folder: os.mkfifo(folder / name)


def state_dict(folder):
    save_file = optional_package("safetensors.numpy").save_file
    save_file(to_state_dict(trained(AS_IN_PYTORCH["lstm"]).model), folder / "m.safetensors")


SUFFIXES = {name: format.suffix for name, format in FORMATS.items()}
OUT = "--weights-path models/a.npz"
REFUSED = [
    (nothing, f"export --format tflite {OUT}", "format is 'tflite'; it must be one of onnx, pytorch, safetensors"),
    (nothing, f"export --format onnx {OUT} --output m.pt", "'m.pt' can't be the name of this file; it must end in .on"),
    (nothing, f"export --format safetensors {OUT} --output models/a.npz", "it must end in .safetensors"),
    (nothing, "export --format onnx --weights-path none.npz", "error: none.npz: No such file or directory"),
    (nothing, "export --format onnx", "models/char_rnn.npz is missing; run the earlier stages first"),
    (write("b.npz", b"text"), "export --format onnx --weights-path b.npz", "b.npz is not a charrnn file"),
    (own_layer, "export --format onnx --weights-path own.npz", "unknown layer 'LeakyAverage'; it must be one of"),
    (save("gru"), "export --format pytorch --weights-path b.npz", "the GRU has reset_after false, and PyTorch's nn.G"),
    (save("mogrifier"), "export --format pytorch --weights-path b.npz", "the GRU has mogrifier true, which PyTorch's"),
    (nothing, "import_model none.pt", "none.pt"),
    (nothing, "import_model models/a.npz --output c.npz", "must end in one of .onnx, .safetensors, .pt, .pth, .bin"),
    (write("m.onnx", b""), "import_model m.onnx --output m.onnx", "--output is 'm.onnx'; the name of a model file mu"),
    (write("models/a.pt", b""), "import_model models/a.pt", "models/a.npz exists; to overwrite it or to write another"),
    (nothing, "import_model m.pt --vocabulary none.txt", "none.txt: No such file or directory"),
    (nothing, "import_model m.pt --nonlinearity sine", "nonlinearity is 'sine'; it must be tanh or relu"),
    pytest.param(state_dict, "import_model m.safetensors", "m.safetensors: it has no vocabulary; give one with --vocab",
                 marks=needs("safetensors")),
    pytest.param(write("m.safetensors", b"x"), "import_model m.safetensors", "it is not a safetensors file, or is dama",
                 marks=needs("safetensors")),
    pytest.param(write("m.pt", b"x"), "import_model m.pt", "m.pt: it is damaged, or holds more than the tensors",
                 marks=needs("pytorch")),
    *(pytest.param(pipe(f"m{suffix}"), f"import_model m{suffix}", "is not a regular file", marks=[needs(format), posix])
      for format, suffix in SUFFIXES.items()),
    pytest.param(write("m.onnx", b"\x08"), "import_model m.onnx", "m.onnx: it is not an ONNX file, or is damaged",
                 marks=needs("onnx")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line", "message"), REFUSED)
def test_what_cannot_work_is_one_line_and_changes_no_file(folder, change, line, message):
    change(folder)
    before = files(folder)  # without pipes
    stage, *flags = line.split()
    ended = call(folder, stage, *flags)
    assert ended.returncode == 1 and ended.stdout == ""
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    assert message in ended.stderr
    assert files(folder) == before


@needs("safetensors")
@needs("onnx")
def test_the_programs_on_the_page_run(folder, monkeypatch, capsys):
    """But for the loop of sampling, which another test compares."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text(encoding="utf-8"), re.DOTALL)
    (folder / "models/a.npz").rename(folder / "models/char_rnn.npz")
    monkeypatch.chdir(folder)
    loop, reading, from_python = programs
    exec(from_python, {})
    exec(reading, {})
    assert "onnxruntime" in loop and "'1.gru.kernel': (3, 6, 10)" in capsys.readouterr().out
    assert (folder / "models/again.npz").read_bytes() == (folder / "models/char_rnn.npz").read_bytes()


BLOCK = (
    "import sys\n"
    "class Blocked:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] in ('onnx', 'onnxruntime', 'safetensors', 'torch', 'jax', 'keras'):\n"
    "            raise ModuleNotFoundError(f'no {name}', name=name.partition('.')[0])\n"
    "sys.meta_path.insert(0, Blocked())\n"
)


def test_everything_can_be_imported_without_these_packages():
    program = BLOCK + (
        "import importlib, pkgutil, charrnn, report, stages\n"
        "for package in (charrnn, report, stages):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('worker_main'):\n"
        "            importlib.import_module(module.name)\n"
        "print(*sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert {"charrnn.interop.onnx_file", "stages.export", "stages.import_model"} <= set(ended.stdout.split())


@pytest.mark.parametrize("format", FORMATS)
def test_a_missing_package_is_one_line_that_says_how_to_install_it(folder, format):
    runs = "import runpy; sys.argv = {}; runpy.run_module('{}', run_name='__main__', alter_sys=True)"
    path = f"m{FORMATS[format].suffix}"
    (folder / path).write_bytes(b"")
    for stage, flags in (
        ("export", ["--format", format, "--weights-path", "models/a.npz"]),
        ("import_model", [path]),
    ):
        program = BLOCK + runs.format(["-m", *flags], f"stages.{stage}")
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
        )
        extra = "pytorch" if format == "pytorch" else "export"
        install = f"`python -m pip install -e '.[{extra}]'` installs it"
        where = "" if stage == "export" else f"{path}: "
        expected = f"error: {where}the package {PACKAGES[format]} is not installed; {install}\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", expected)
