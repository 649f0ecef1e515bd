"""The order of modules in docs/architecture.md: imports run one way."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def rows():
    """The paths in each row of the table, from the top down; a path without a folder is in that of the one before."""
    for cell in re.findall(r"^\| (`.*?`) \|", TABLE, flags=re.MULTILINE):
        paths, folder = [], Path()
        for name in re.findall(r"`(.*?)`", cell):
            path = Path(name) if "/" in name else folder / name
            folder = path.parent
            paths.append(path)
        yield paths


def modules():
    """The row of each first-party module, by its dotted name."""
    found = {}
    for row, paths in enumerate(rows()):
        for path in paths:
            pattern = path.name if "*" in path.name else None
            base = ROOT / (path.parent if pattern else path)
            files = base.glob(pattern) if pattern else base.rglob("*.py") if base.is_dir() else [base]
            for file in files:
                name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                assert file.exists() and name not in found, file
                found[name] = row
    return found


MODULES = modules()
FOLDERS = {row for row, paths in enumerate(rows()) if (ROOT / paths[0]).is_dir()}


def imported(name):
    """The first-party modules that a module imports, wherever in its code."""
    path = ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} & MODULES.keys())
        elif isinstance(node, ast.Import):
            yield from ({alias.name for alias in node.names} & MODULES.keys())


def test_every_module_has_a_place():
    folders = ("charrnn", "pages", "playground", "report", "stages", "tuning")
    files = {file for folder in folders for file in (ROOT / folder).rglob("*.py")} - {ROOT / "charrnn" / "__init__.py"}
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files}
    assert names == MODULES.keys()


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_down(name):
    for other in imported(name):
        same_folder = MODULES[other] == MODULES[name] in FOLDERS
        assert MODULES[other] > MODULES[name] or same_folder, f"{name} imports {other}"


def test_no_import_hides_from_the_order():
    for name in MODULES:
        path = ROOT.joinpath(*name.split("."))
        text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        assert "TYPE_CHECKING" not in text, name


def test_no_module_imports_a_deep_learning_framework():
    """`charrnn.interop` gets the packages for other formats by `optional_package`, inside functions."""
    frameworks = re.compile(r"^\s*(import|from) (torch|onnx|onnxruntime|safetensors|jax|keras|tensorflow)\b", re.M)
    for name in MODULES:
        path = ROOT.joinpath(*name.split("."))
        text = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        assert not frameworks.search(text), name


def test_only_the_pages_import_their_libraries():
    folders = ("charrnn", "stages", "tuning")
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        assert not re.search(r"^\s*(import|from) (matplotlib|jinja2)", path.read_text(encoding="utf-8"), re.M), path
    for page, users in (("report", {"stages.report", "playground.probes"}), ("playground", {"stages.playground"})):
        importers = {name for name in MODULES if any(other.startswith(page) for other in imported(name))}
        assert {name for name in importers if not name.startswith(page)} == users
