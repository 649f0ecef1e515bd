"""Stage 1, download: fetch the corpus into data/raw/input.txt, and record its source in metrics/data.json."""

import glob
import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from charrnn.data.download import fetch
from charrnn.errors import InputError
from charrnn.messages import counted, shown
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.metrics_files import write_json
from stages.common.params import DownloadConfig, config_from, params_of
from stages.common.program import run

PARAMS = params_of(DownloadConfig)
PATHS = ("data_dir", "data_filename", "metrics_dir")
TEMPORARY = Path(".dvc/tmp/exps")  # where DVC runs the experiments of --temp and --queue
DVC_RECORD = Path("dvc.lock")
LATER = "`dvc repro --force download` tries all sources again"


def main() -> None:
    args = flags.parser(__doc__, PARAMS, PATHS).parse_args()
    config = config_from(flags.values(args, PARAMS), DownloadConfig)
    paths = flags.paths(args)
    metrics = paths.metrics_dir / "data.json"

    with sole_writer(paths.raw, metrics):
        _require_recorded(paths.raw, metrics)
        about = _fetch(config, paths.raw, metrics)
    num_files = len(about["files"])
    of_several = f", {num_files:,} files" if num_files > 1 else ""
    print(f"{counted(about['characters'], 'character')} from {shown(about['source'])}{of_several}")


def _require_recorded(corpus: Path, metrics: Path) -> None:
    """Raise InputError if there is a corpus of which neither metrics/data.json nor dvc.lock has a record.

    Somebody has put it there, and it would be lost. It is `persist` in dvc.yaml, so that DVC does not remove it before
    this stage runs.
    """
    if not corpus.is_file():
        return
    with suppress(OSError, ValueError, TypeError, LookupError, RecursionError):  # there is no record, or a damaged one
        if json.loads(metrics.read_bytes())["sha256"] == _file_hash(corpus, "sha256"):
            return
    with suppress(FileNotFoundError):
        if f"md5: {_file_hash(corpus, 'md5')}" in DVC_RECORD.read_text(encoding="utf-8"):  # DVC has it in its cache
            return
    raise InputError(
        f"{corpus} is not a text that this stage wrote, and would be overwritten; to train on it, move it elsewhere "
        "and set data_url to its path, or run `dvc commit --force download`; if you don't need it, remove it"
    )


def _file_hash(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _fetch(config: DownloadConfig, destination: Path, metrics: Path) -> dict[str, Any]:
    hint = _hint(config)
    try:
        return fetch(
            config.sources,
            destination,
            warn=lambda message: _say(f"warning: {message}; {LATER}{hint}"),
            announce=_say,
            max_mb=config.max_corpus_mb,
            separator=config.separator,
            expected_sha256=config.data_sha256,
            record=partial(write_json, metrics),  # so that a new corpus has a record even after a kill
        )
    except InputError as error:
        raise InputError(f"{error}{hint}") from None


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)  # clears a progress bar first


def _hint(config: DownloadConfig) -> str:
    """A hint if the path of a source may be missing only in DVC's temporary folder."""
    in_temporary_folder = f"/{TEMPORARY.as_posix()}/" in Path.cwd().as_posix()
    names = [name for source in config.sources for name in ([source] if isinstance(source, str) else source)]
    relative = [name for name in names if "://" not in name and not os.path.isabs(os.path.expanduser(name))]
    if not in_temporary_folder or all(os.path.exists(name) or glob.glob(name, recursive=True) for name in relative):
        return ""
    return "; with --temp or --queue, Git must track a text in the project, or its path must be absolute"


if __name__ == "__main__":
    run(main)
