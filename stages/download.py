"""Stage 1, download: fetch the corpus into data/raw/input.txt, and record its source in metrics/data.json."""

import sys

from charrnn.data.download import fetch
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.metrics_files import write_json
from stages.common.params import DownloadConfig, params_of
from stages.common.program import run

PARAMS = params_of(DownloadConfig)


def main() -> None:
    args = flags.parser(__doc__, PARAMS).parse_args()
    params = flags.values(args, PARAMS)
    sources = params["data_url"]
    paths = flags.paths(args)
    metrics = paths.metrics_dir / "data.json"

    with sole_writer(paths.raw, metrics):
        about = fetch(
            [sources] if isinstance(sources, str) else sources,
            paths.raw,
            warn=lambda message: print(f"warning: {message}", file=sys.stderr),
            max_mb=params["max_corpus_mb"],
        )
        write_json(metrics, about)
    print(f"{about['characters']:,} characters from {about['source']}")


if __name__ == "__main__":
    run(main)
