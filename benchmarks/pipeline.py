"""Run stages of the pipeline in a separate folder with its own params.yaml, as `dvc repro` would."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from charrnn.config import Value
from stages.common.params import PARAMS, PARAMS_FILE, params_file
from stages.common.paths import Paths

ROOT = Path(__file__).parents[1]
DEFAULTS = {name: param.default for name, param in PARAMS.items()}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}  # for processes in another folder


def set_up(folder: Path, params: Mapping[str, Value] = DEFAULTS) -> Path:
    """Make a folder for the pipeline, and return the path of the raw text in it."""
    raw = folder / Paths().raw
    raw.parent.mkdir(parents=True)
    (folder / PARAMS_FILE).write_text(params_file(params), encoding="utf-8")
    return raw


def stage(name: str) -> list[str]:
    """The command that runs a stage."""
    return [sys.executable, "-m", f"stages.{name}"]


def run_stage(name: str, folder: Path) -> None:
    """Run a stage in the folder, and exit if it fails."""
    ended = subprocess.run(stage(name), cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    if ended.returncode:
        sys.exit(f"error: the {name} stage ended with exit code {ended.returncode}; it must be 0")
