"""Execute docs/tour.ipynb from top to bottom: `python -m tests.run_notebook` also writes its outputs into the file."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[1] / "docs" / "tour.ipynb"


def execute(notebook):
    """Run all cells in the folder of the tour, and keep their outputs; an error in a cell raises CellExecutionError.

    Nothing that differs from run to run is kept: no times, and what a cell prints is one output.
    """
    options = dict(timeout=None, kernel_name="python3", record_timing=False, coalesce_streams=True)
    NotebookClient(notebook, **options, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    notebook.metadata["language_info"] = {"name": "python"}


if __name__ == "__main__":
    tour = nbformat.read(TOUR, as_version=4)
    execute(tour)
    nbformat.write(tour, TOUR)
