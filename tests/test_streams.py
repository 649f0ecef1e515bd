"""Standard streams that are closed, full or no longer read, and Ctrl-C while modules are imported: no traceback."""

import os
import signal
import subprocess
import sys

import pytest

from tests.stage_project import ENVIRONMENT, MODEL, STAGES, command, files, run, untrained

pytestmark = pytest.mark.skipif(os.name == "nt", reason="closes descriptors of a child process")
each_buffering = pytest.mark.parametrize("unbuffered", ["", "1"])
SAMPLE = ("--output", "metrics/sample.txt")


def closing(*descriptors):
    """Options of a subprocess that starts with these descriptors closed."""
    return {"preexec_fn": lambda: [os.close(descriptor) for descriptor in descriptors]}


def end_of(folder, words, **options):
    """How a program ends, with what it writes to standard error unless that is closed or passed as an option."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": ENVIRONMENT} | options
    ended = subprocess.run(words, cwd=folder, encoding="utf-8", timeout=60, **options)
    return ended.returncode, ended.stderr or ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_every_stage_runs_with_closed_streams(closed, project, finished):
    untrained(project)
    for stage in STAGES:
        flags = SAMPLE if stage == "sample" else ()
        assert end_of(project, command(stage, *flags), **closing(*closed)) == (0, "")
    assert files(project) == files(finished)


def test_an_error_with_every_stream_closed_still_fails(project):
    assert end_of(project, command("train", "--cell", "x"), **closing(0, 1, 2))[0] == 1


@each_buffering
@pytest.mark.parametrize(
    "words", [command("params"), command("params", "--help"), command("sample"), command("train", "--seed", 3)], ids=str
)
def test_standard_output_that_is_full_is_named(words, unbuffered, project):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    if "--help" in words and unbuffered:
        pytest.skip("argparse suppresses the error")
    with open("/dev/full", "wb") as full:
        ended = end_of(project, words, stdout=full, env=ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered})
    assert ended == (1, "error: standard output: No space left on device\n")


def read_a_little(folder, words, unbuffered, num_bytes):
    """The exit code and the standard error of a program whose standard output is closed after some bytes."""
    env = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(words, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        os.read(process.stdout.fileno(), num_bytes) if num_bytes else None
        process.stdout.close()
        errors = process.stderr.read().decode()
    return process.returncode, errors


@each_buffering
def test_output_that_nobody_reads_ends_the_program_silently(unbuffered, project):
    assert read_a_little(project, command("params"), unbuffered, 0) == (1, "")
    assert read_a_little(project, command("sample", "--num-to-generate", 10**18), unbuffered, 5) == (1, "")


@each_buffering
def test_the_output_file_is_complete_even_if_nobody_reads_the_printed_text(unbuffered, project):
    flags = ("--num-to-generate", 100_000)
    assert read_a_little(project, command("sample", *flags, "--output", "text.txt"), unbuffered, 5) == (1, "")
    left = (project / "text.txt").read_text(encoding="utf-8")
    assert len(left) == len("a\n") + 100_000
    assert left == run(project, "sample", *flags)


def test_output_may_be_a_device_or_a_pipe(project):
    expected = run(project, "sample")
    assert run(project, "sample", "--output", os.devnull) == expected
    os.mkfifo(project / "pipe")
    with subprocess.Popen(["cat", project / "pipe"], stdout=subprocess.PIPE) as reader:
        assert run(project, "sample", "--output", "pipe") == expected
        assert reader.stdout.read().decode() == expected
    assert (project / "pipe").is_fifo()
    assert not list(project.rglob(".*.lock"))


def test_output_to_the_name_of_standard_output_is_written_to_it(project):
    if not os.path.exists("/dev/stdout"):
        pytest.skip("no /dev/stdout")
    expected = run(project, "sample")
    assert sorted(run(project, "sample", "--output", "/dev/stdout")) == sorted(2 * expected)
    with open(project / "log", "wb") as file:
        file.write(b"header\n")
        file.flush()
        subprocess.run(
            command("sample", "--output", "/dev/stdout"), cwd=project, env=ENVIRONMENT, stdout=file, check=True
        )
    assert (project / "log").read_text(encoding="utf-8").startswith("header\n")


def test_a_pipe_to_which_output_is_written_is_named_if_it_breaks(project):
    os.mkfifo(project / "pipe")
    with subprocess.Popen(["head", "-c", "1", project / "pipe"], stdout=subprocess.DEVNULL):
        words = command("sample", "--num-to-generate", 300_000, "--output", "pipe")
        assert end_of(project, words) == (1, "error: pipe: Broken pipe\n")


INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["-m"]
runpy.run_module("{program}", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("program", ["stages.train", "stages.sample", "tuning.__main__"])
@pytest.mark.parametrize("module", ["numpy", "threadpoolctl", "charrnn.config"])
def test_ctrl_c_during_an_import_is_one_line(program, module, project):
    code = INTERRUPTED_IMPORT.format(module=module, program=program)
    handling = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    assert end_of(project, [sys.executable, "-c", code], **handling) == (130, "\ninterrupted\n")


def test_a_program_that_ignores_ctrl_c_still_ignores_it(project):
    code = INTERRUPTED_IMPORT.format(module="numpy", program="stages.train")
    ignored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    assert end_of(project, [sys.executable, "-c", code], **ignored) == (0, "")
    assert (project / MODEL).exists()


def test_importing_the_packages_leaves_signals_alone():
    code = "import signal, stages, tuning; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    handling = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    assert end_of(None, [sys.executable, "-c", code], **handling) == (0, "")
