"""dvc.yaml lists what the code of each stage reads, imports and writes; DVC would silently not rerun what it omits."""

import ast
import importlib
import subprocess
import sys
from contextlib import suppress
from importlib.util import resolve_name
from pathlib import Path

import pytest

from charrnn import ORIGINS
from stages.common.params import BUNDLED_PLAY
from stages.common.params import PARAMS as TABLE
from tests.dvc_project import OUTS, PIPELINE, ROOT, STAGES

each_stage = pytest.mark.parametrize("name", STAGES)


def module_file(module):
    """The file of a first-party module, or None if there is no such module."""
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


def imports(source, package):
    """The names of all modules that this code, in this package, may import; it may contain programs as texts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and "import " in str(node.value):
            with suppress(SyntaxError, ValueError):
                yield from imports(str(node.value), package)


def source_files(module):
    """The first-party files that are run when a module is, as paths from the root of the repository."""
    found, waiting = {}, [module]
    while waiting:
        module = waiting.pop()
        package, _, name = module.rpartition(".")
        if package == "charrnn":
            module = ORIGINS.get(name, module)
        file = module_file(module)
        if file is None or module in found:
            continue
        found[module] = file.relative_to(ROOT).as_posix()
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        waiting += [module.rpartition(".")[0], *imports(file.read_text(encoding="utf-8"), package)]
    return set(found.values())


def covers(dep, file):
    """Whether a dep is a file, or a folder that contains it."""
    return f"{file}/".startswith(f"{dep}/")


def code_deps(name):
    """The deps of a stage that are code: Python files, and folders of them."""
    return [dep for dep in STAGES[name]["deps"] if dep.endswith(".py") or any((ROOT / dep).glob("**/*.py"))]


def assert_same(declared, used, where):
    declared, used = list(declared), set(used)
    problems = [f"missing: {item}" for item in sorted(used.difference(declared))]
    problems += [f"too much: {item}" for item in sorted(set(declared) - used)]
    problems += [f"twice: {item}" for item in sorted({item for item in declared if declared.count(item) > 1})]
    assert not problems, "\n  ".join([f"{where} in dvc.yaml", *problems])


@each_stage
def test_command_runs_the_module_of_the_stage(name):
    assert STAGES[name]["cmd"].split()[:3] == ["python", "-m", f"stages.{name}"]


@each_stage
def test_params_are_those_of_the_module(name):
    assert_same(STAGES[name].get("params", ()), importlib.import_module(f"stages.{name}").PARAMS, f"params of {name}")


@each_stage
def test_module_names_no_other_param(name):
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    declared = TABLE if "params.yaml" in STAGES[name]["deps"] else STAGES[name]["params"]
    assert not strings & set(TABLE) - set(declared)


@each_stage
def test_deps_cover_the_files_that_the_module_imports(name):
    declared, used = code_deps(name), source_files(f"stages.{name}")
    problems = [f"missing: {file}" for file in sorted(used) if not any(covers(dep, file) for dep in declared)]
    problems += [f"too much: {dep}" for dep in declared if not any(covers(dep, file) for file in used)]
    problems += [f"twice: {dep}" for dep in declared if sum(covers(other, dep) for other in declared) > 1]
    assert not problems, "\n  ".join([f"deps of {name} in dvc.yaml", *problems])


@each_stage
def test_what_the_module_imports_is_found_without_running_it(name):
    code = f"import sys, stages.{name}; print(*(getattr(m, '__file__', None) for m in sys.modules.values()), sep='\\n')"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    loaded = {Path(line) for line in printed.stdout.splitlines()}
    assert {path.relative_to(ROOT).as_posix() for path in loaded if ROOT in path.parents} <= source_files(
        f"stages.{name}"
    )


def test_the_program_that_worker_processes_run_is_found():
    """Nothing imports it."""
    assert "charrnn/parallel/worker_main.py" in source_files("stages.train")


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("charrnn/layers/gru.py", ["train", "evaluate", "sample", "report"]),
        ("charrnn/training/trainer.py", ["train", "evaluate", "sample", "report"]),  # `Model.fit` needs it
        ("charrnn/calibration.py", ["train"]),
        ("charrnn/sampling.py", ["train", "evaluate", "sample", "report"]),
        ("charrnn/memorisation.py", ["evaluate", "report"]),
        ("stages/check.py", ["check"]),
        ("stages/train.py", ["train"]),
        ("stages/common/flags.py", ["download", "prepare", "check", "train", "evaluate", "sample", "report"]),
        ("report/page.html.j2", ["report"]),
        ("tuning/search.py", []),
    ],
)
def test_a_change_to_a_file_reruns_no_other_stages(file, stages):
    assert (ROOT / file).is_file()
    assert [name for name in STAGES if any(covers(dep, file) for dep in code_deps(name))] == stages


def test_folders_are_compared_without_what_python_compiles():
    assert "__pycache__/" in (ROOT / ".dvcignore").read_text(encoding="utf-8").splitlines()


def test_every_param_belongs_to_a_stage():
    assert_same(
        {param for stage in STAGES.values() for param in stage.get("params", ())}, TABLE, "params of all stages"
    )


def test_data_deps_are_outs_of_other_stages_or_files_of_the_project():
    deps = {dep for name, stage in STAGES.items() for dep in set(stage["deps"]).difference(code_deps(name))}
    assert deps - set(OUTS) == {BUNDLED_PLAY, "params.yaml", "${init_from}"}


def test_metrics_and_plots_show_outs():
    shown = set(PIPELINE["metrics"])
    for plot in PIPELINE["plots"]:  # a picture, or the axes of a plot by its title
        shown.update([plot] if isinstance(plot, str) else [path for axes in plot.values() for path in axes["y"]])
    not_written = shown - set(OUTS)
    assert not not_written


def test_git_keeps_what_is_in_the_metrics_folder_and_dvc_the_rest():
    kept_by_git = {path for path, flags in OUTS.items() if flags.get("cache") is False}
    assert kept_by_git == {path for path in OUTS if path.startswith("metrics/")}
    assert kept_by_git.issuperset(PIPELINE["metrics"])
