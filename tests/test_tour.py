"""docs/tour.ipynb runs from top to bottom, and is committed with the outputs of such a run."""

import re

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tests.run_notebook import TOUR, execute

MOST_BYTES = 200_000


@pytest.fixture
def tour(tmp_path, monkeypatch):
    """The notebook. Its kernel is this Python, and leaves nothing in the home directory."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    return nbformat.read(TOUR, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_runs(tour):
    """With one epoch; what it prints before it trains is exactly what the file has."""
    (parameters,) = (cell for cell in tour.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = re.sub(r"EPOCHS = \d+", "EPOCHS = 1", parameters.source)
    assert parameters.source.startswith("EPOCHS = 1 ")
    kept = [cell.outputs for cell in code_cells(tour)]
    execute(tour)
    outputs = [cell.outputs for cell in code_cells(tour)]
    assert list(map(len, outputs)) == list(map(len, kept))
    assert sum(map(len, outputs[:5])) == 3 and outputs[:5] == kept[:5]  # text, batch and network: no rounding


def test_an_error_in_a_cell_is_not_overlooked(tour):
    tour.cells = [nbformat.v4.new_code_cell("1 / 0")]
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(tour)


def test_its_outputs_are_those_of_one_run(tour):
    """In order, without errors, and without what differs from machine to machine or from run to run."""
    nbformat.validate(tour)
    assert TOUR.stat().st_size < MOST_BYTES
    cells = code_cells(tour)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {(output.output_type, output.name) for output in outputs} == {("stream", "stdout")}
    text = TOUR.read_text(encoding="utf-8")
    assert not re.search(r"(?i)[/\\](home|root|tmp|work|users)[/\\]", text)
    assert not any(cell.metadata.keys() - {"tags"} for cell in tour.cells)


def test_its_links_lead_somewhere(tour):
    targets = [
        target
        for cell in tour.cells
        if cell.cell_type == "markdown"
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source)
    ]
    assert targets
    for target in targets:
        assert (TOUR.parent / target).exists(), target
