"""README.md and docs/ say what the code does: the page of hyperparameters, the example, commands, and links."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stages.common.params import PARAMS
from stages.params import page
from tests.stage_project import call

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MISSPELT = "hiden_dim"  # on purpose, in a question about misspelt names
SHELL_WORD = r"""'[^']*'|"[^"]*"|[^\s`'"]+"""

each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def without_code(text):
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(path):
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def has_flag(module, flag):
    """Whether the help of a stage shows a flag, or the package of another program mentions it."""
    if module.startswith("stages."):
        return flag in re.findall(r"--[\w-]+", call(ROOT, module.removeprefix("stages."), "--help").stdout)
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / module.partition(".")[0]).rglob("*.py")]
    return any(f'"{name}"' in source for source in sources for name in (flag, flag.removeprefix("--")))


def test_the_page_of_hyperparameters_lists_each_with_its_default_meaning_and_range():
    written = (ROOT / "docs/params.md").read_text(encoding="utf-8")
    assert written == page(), "python -m stages.params --table > docs/params.md"
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", page(), flags=re.MULTILINE)
    assert [name for name, *_ in rows] == list(PARAMS)
    for name, default, meaning, allowed in rows:
        param = PARAMS[name]
        shown = str(param.default).lower() if isinstance(param.default, bool) else param.default
        shown = {"\n": r'"\n"', "": '""'}.get(shown, shown) if isinstance(shown, str) else shown
        assert default == (", ".join(f"`{item}`" for item in shown) if isinstance(shown, list) else f"`{shown}`")
        assert (meaning, allowed) == (param.help, param.allowed)


def test_the_two_commands_that_continuous_integration_runs_are_there():
    commands = re.findall(r"(?m)^python -m pip install.*$", README)
    assert commands == ["python -m pip install -e . && dvc repro", 'python -m pip install -e ".[dev]" && pytest']


def test_the_example_runs():
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    ended = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "'epoch': 2" in ended.stdout and "TOBIAS:" in ended.stdout


@each_page
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8")))
    for target in targets:
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@each_page
def test_programs_that_a_page_names_exist_with_their_flags(path):
    for module, rest in re.findall(r"python -m ([\w.]+)((?: [^`\n&|]*)?)", path.read_text(encoding="utf-8")):
        if module in ("pip", "venv"):
            continue
        assert importlib.util.find_spec(module), module
        unknown = [flag for flag in re.findall(r"(?<=\s)--[\w-]+", rest) if not has_flag(module, flag)]
        assert not unknown, module


@each_page
def test_params_that_a_page_sets_exist_and_may_have_such_values(path):
    for word in re.findall(rf"-S ({SHELL_WORD})", path.read_text(encoding="utf-8")):
        name, _, value = word.strip("'").partition("=")
        if name == MISSPELT:
            continue
        values = [value.strip('"')] if isinstance(PARAMS[name].default, str | list) else value.split(",")
        for each in values:
            PARAMS[name].parse(each)
