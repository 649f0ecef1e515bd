"""dvc.yaml says of every stage what its code reads, imports and writes; DVC would silently not rerun what it omits."""

import ast
import importlib
from importlib.util import resolve_name
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.params import BUNDLED_PLAY
from stages.params import PARAMS as TABLE

ROOT = Path(__file__).resolve().parent.parent
PIPELINE = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")
STAGES = PIPELINE["stages"]
OUTS = {
    path: flags or {}
    for stage in STAGES.values()
    for out in stage["outs"]
    for path, flags in (out if isinstance(out, dict) else {out: {}}).items()
}
each_stage = pytest.mark.parametrize("name", STAGES)


def module_file(module):
    """The file of a first-party module, or None if there is no such module."""
    if module.partition(".")[0] not in ("charrnn", "stages"):
        return None
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()), None)


def imports(module, file):
    """The names of all modules that a module may import, those of the packages around them included."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def source_files(module):
    """The first-party files that are run when a module is, as paths from the root of the repository."""
    found, waiting = {}, [module]
    while waiting:
        module = waiting.pop()
        file = module_file(module)
        if file is None or module in found:
            continue
        found[module] = file.relative_to(ROOT).as_posix()
        waiting += [module.rpartition(".")[0], *imports(module, file)]
    return set(found.values())


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
    assert_same(STAGES[name]["params"], importlib.import_module(f"stages.{name}").PARAMS, f"params of {name}")


@each_stage
def test_module_names_no_other_param(name):
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text(encoding="utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    undeclared = strings & set(TABLE) - set(STAGES[name]["params"])
    assert not undeclared


@each_stage
def test_deps_are_all_files_that_the_module_imports(name):
    declared = [path for path in STAGES[name]["deps"] if path.endswith(".py")]
    assert_same(declared, source_files(f"stages.{name}"), f"deps of {name}")


def test_every_param_belongs_to_a_stage():
    assert_same({param for stage in STAGES.values() for param in stage["params"]}, TABLE, "params of all stages")


def test_data_deps_are_outs_of_other_stages_or_the_bundled_play():
    deps = {path for stage in STAGES.values() for path in stage["deps"] if not path.endswith(".py")}
    assert deps - set(OUTS) == {BUNDLED_PLAY}


def test_metrics_and_plots_show_outs():
    shown = set(PIPELINE["metrics"])
    shown.update(path for plots in PIPELINE["plots"] for plot in plots.values() for path in plot["y"])
    not_written = shown - set(OUTS)
    assert not not_written


def test_git_keeps_what_is_in_the_metrics_folder_and_dvc_the_rest():
    kept_by_git = {path for path, flags in OUTS.items() if flags.get("cache") is False}
    assert kept_by_git == {path for path in OUTS if path.startswith("metrics/")}
    assert kept_by_git.issuperset(PIPELINE["metrics"])
