"""Stage 1, download: bring the corpus to data/raw/input.txt and note where it came from in metrics/data.json."""

import sys

from charrnn.data import fetch
from stages import cli
from stages.files import write_json

PARAMS = ("data_url", "max_corpus_mb")


def main() -> None:
    args = cli.parser(__doc__, PARAMS).parse_args()
    params = cli.values(args, PARAMS)
    sources = params["data_url"]
    where = cli.locations(args)

    about = fetch(
        [sources] if isinstance(sources, str) else sources,
        where.raw,
        warn=lambda message: print(f"warning: {message}", file=sys.stderr),
        max_mb=params["max_corpus_mb"],
    )
    write_json(where.metrics_dir / "data.json", about)
    print(f"{about['characters']:,} characters from {about['source']}")


if __name__ == "__main__":
    cli.run(main)
