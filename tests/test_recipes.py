"""The recipes in recipes/: whole params files, up to date, with the losses that the benchmark of quality measured."""

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import quality
from stages.common.params import HEADING, PARAMS, default_file, load_params, params_file

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
DEFAULTS = {name: param.default for name, param in PARAMS.items()}

recipes = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def update(*paths):
    """Run `python -m stages.params` on some files."""
    command = [sys.executable, "-m", "stages.params", *paths]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")


@recipes
def test_a_recipe_is_a_whole_params_file(recipe):
    params = load_params(recipe)  # an error names the recipe, and what it lacks
    text = recipe.read_text(encoding="utf-8")
    heading = text.partition("\n")[0]
    assert text == params_file(params, heading), "`python -m stages.params recipes/*.yaml` brings them up to date"


@pytest.mark.parametrize("name", quality.NETWORKS)
def test_no_network_learns_from_the_last_tenth_of_the_text(name):
    assert quality.network_params(name)["train_size"] <= quality.FIRST_PART


@recipes
def test_the_first_line_of_a_recipe_has_what_was_measured(recipe):
    heading = recipe.read_text(encoding="utf-8").partition("\n")[0]
    assert heading.startswith(f"# {recipe.stem.capitalize()}, ")
    pattern = r": loss (\d\.\d{3}) on the last 10 % of Tiny Shakespeare, (\d+) s on two cores\.$"
    loss, seconds = map(float, re.search(pattern, heading).groups())
    written = json.loads((ROOT / "benchmarks/results/quality.json").read_text(encoding="utf-8"))
    ((runs, params),) = ((row["runs"], row["params"]) for row in written["rows"] if row["name"] == recipe.stem)
    assert DEFAULTS | params == load_params(recipe), "the recipe has changed since it was measured"
    assert loss == pytest.approx(median(run["loss"] for run in runs), abs=0.01)
    assert seconds == pytest.approx(median(run["seconds"] for run in runs), rel=0.3, abs=1)


@recipes
def test_the_readme_says_how_to_use_a_recipe(recipe):
    assert f"recipes/{recipe.name}" in README


def test_the_benchmark_measures_every_recipe():
    assert {path.stem for path in RECIPES} == set(quality.NETWORKS) - {"default"}


def test_files_are_brought_up_to_date(tmp_path):
    """Missing params get their defaults, and order and comments are restored; the first line and all values stay."""
    old, empty_handed = tmp_path / "old.yaml", tmp_path / "no heading.yaml"
    old.write_text(
        "# My own.\nhidden_dim: 64\n# a comment\ndata_url: ['a: b', c/d.txt]\ncell: lstm\n", encoding="utf-8"
    )
    empty_handed.write_text("seed: 7\n", encoding="utf-8")
    assert update(old, empty_handed).returncode == 0
    changes = {"hidden_dim": 64, "data_url": ["a: b", "c/d.txt"], "cell": "lstm"}
    assert old.read_text(encoding="utf-8") == params_file(DEFAULTS | changes, "# My own.")
    assert load_params(old) == DEFAULTS | changes
    assert empty_handed.read_text(encoding="utf-8") == params_file(DEFAULTS | {"seed": 7}, HEADING)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hiden_dim: 64", "'hiden_dim' is not a hyperparameter"),
        ("hidden_dim: 0", "hidden_dim is 0; it must be an integer of at least 1"),
    ],
)
def test_a_wrong_file_stays_as_it_is(tmp_path, line, message):
    path = tmp_path / "params.yaml"
    path.write_text(f"{line}\n", encoding="utf-8")
    process = update(path)
    assert process.returncode == 1 and message in process.stderr and str(path) in process.stderr
    assert path.read_text(encoding="utf-8") == f"{line}\n"


def test_the_default_file_has_the_defaults():
    assert default_file() == params_file(DEFAULTS)


texts = st.text(min_size=1, max_size=20) | st.from_regex(r"[\w./:#~ '\"-]{1,12}", fullmatch=True)
sources = texts | st.fixed_dictionaries({"join": st.lists(texts, min_size=1, max_size=3)})


@given(start_string=texts, data_url=sources | st.lists(sources, min_size=1, max_size=3), rate=st.floats(1e-300, 1e300))
def test_any_value_loads_back(tmp_path_factory, start_string, data_url, rate):
    values = DEFAULTS | {
        "start_string": start_string,
        "data_url": data_url,
        "separator": start_string,
        "temperature": rate,
        "carry_state": True,
    }
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(params_file(values), encoding="utf-8", newline="")
    assert load_params(path) == values
