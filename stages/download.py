"""Stage 1, download: fetch the corpus into data/raw/input.txt, and record its source in metrics/data.json."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from charrnn.data.download import fetch
from charrnn.errors import InputError
from charrnn.messages import counted, shown
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.metrics_files import write_json
from stages.common.params import DownloadConfig, params_of
from stages.common.program import run

PARAMS = params_of(DownloadConfig)
PATHS = ("data_dir", "data_filename", "metrics_dir")
TEMPORARY = Path(".dvc/tmp/exps")  # where DVC runs the experiments of --temp and --queue
LATER = "`dvc repro --force download` tries all sources again"


def main() -> None:
    args = flags.parser(__doc__, PARAMS, PATHS).parse_args()
    params = flags.values(args, PARAMS)
    sources = [params["data_url"]] if isinstance(params["data_url"], str) else params["data_url"]
    paths = flags.paths(args)
    metrics = paths.metrics_dir / "data.json"

    with sole_writer(paths.raw, metrics):
        about = _fetch(sources, paths.raw, params["max_corpus_mb"])
        write_json(metrics, about)
    print(f"{counted(about['characters'], 'character')} from {shown(about['source'])}")


def _fetch(sources: Sequence[str], destination: Path, max_mb: float) -> dict[str, Any]:
    hint = _hint(sources)
    try:
        return fetch(
            sources,
            destination,
            warn=lambda message: _say(f"warning: {message}; {LATER}{hint}"),
            announce=_say,
            max_mb=max_mb,
        )
    except InputError as error:
        raise InputError(f"{error}{hint}") from None


def _say(message: str) -> None:
    tqdm.write(message, file=sys.stderr)  # clears a progress bar first


def _hint(sources: Sequence[str]) -> str:
    """A hint if a path in `sources` may be missing only in DVC's temporary folder."""
    in_temporary_folder = f"/{TEMPORARY.as_posix()}/" in Path.cwd().as_posix()
    relative = [source for source in sources if "://" not in source and not os.path.isabs(source)]
    if not in_temporary_folder or all(map(os.path.exists, relative)):
        return ""
    return "; with --temp or --queue, Git must track a text in the project, or its path must be absolute"


if __name__ == "__main__":
    run(main)
