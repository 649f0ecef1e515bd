"""What some tests need beyond Python packages, and the lines in which pytest says at its start what is missing."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

INSTALL_MPI = 'python -m pip install -e ".[mpi]"'
INSTALL_EXPORT = 'python -m pip install -e ".[export]"'
INSTALL_PYTORCH = 'python -m pip install -e ".[pytorch]"'
INSTALL_TUNE = 'python -m pip install -e ".[tune]"'


def find_mpiexec():
    """The path of mpiexec, in the folder of this Python (where a package installs it) or on the PATH, or None."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def find_initdb():
    """The program of a PostgreSQL server that makes a database, or None if no server is installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(debian[-1]) if debian else shutil.which("initdb")


def find_node():
    """Node.js: on the PATH, or the one that Playwright brings, or None."""
    on_path = shutil.which("node") or shutil.which("nodejs")
    if on_path or not is_installed("playwright"):
        return on_path
    (folder,) = importlib.util.find_spec("playwright").submodule_search_locations
    bundled = Path(folder, "driver", "node.exe" if sys.platform == "win32" else "node")
    return str(bundled) if bundled.exists() else None


def find_chromium():
    """The path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def is_installed(*packages):
    return all(importlib.util.find_spec(package) for package in packages)


def requirements_report():
    """A line for each group of tests that needs more than `pip install -e ".[dev]"` is sure to bring."""
    needs = ("MPI", "a PostgreSQL server", "Optuna", "ONNX", "PyTorch", "Node.js", "Chromium")
    missing: dict[str, str | None] = dict.fromkeys(needs)
    if not (is_installed("mpi4py") and find_mpiexec()):
        missing["MPI"] = f"mpi4py or mpiexec is missing; {INSTALL_MPI}"
    if not find_initdb():
        missing["a PostgreSQL server"] = "no server is installed; Debian's package is postgresql"
    if not is_installed("optuna", "plotly", "psycopg"):
        missing["Optuna"] = f"optuna, plotly or psycopg is missing; {INSTALL_TUNE}"
    if not is_installed("onnx", "onnxruntime", "safetensors"):
        missing["ONNX"] = f"onnx, onnxruntime or safetensors is missing; {INSTALL_EXPORT}"
    if not is_installed("torch"):
        missing["PyTorch"] = f"torch is missing; {INSTALL_PYTORCH}"
    if not find_node():
        missing["Node.js"] = "no node is installed; Debian's package is nodejs"
    if not (find_chromium() and is_installed("playwright")):
        missing["Chromium"] = "no chromium is installed, or playwright is missing; Debian's package is chromium"
    return [f"tests that need {what}: {f'skipped ({why})' if why else 'run'}" for what, why in missing.items()]
