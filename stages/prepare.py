"""Stage 2, prepare: turn the characters of the corpus into ids, and split it into training, validation and test."""

from charrnn.data.corpus import describe, vectorize
from charrnn.preprocessing import split_sizes
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.params import SplitConfig, params_of
from stages.common.paths import made_by_earlier_stages
from stages.common.prepared import write_vocabulary
from stages.common.program import run

PARAMS = params_of(SplitConfig)
PATHS = ("data_dir", "data_filename")


def main() -> None:
    args = flags.parser(__doc__, PARAMS, PATHS).parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)

    with sole_writer(paths.vocabulary):
        with made_by_earlier_stages():
            about, vectorizer = describe(paths.raw)
        sizes = dict(zip(("train", "validation", "test"), split_sizes(about["characters"], **params)))
        paths.vocabulary.unlink(missing_ok=True)  # so that it never stands beside the ids of another text
        hashes = vectorize(paths.raw, vectorizer, [(paths.part(name), size) for name, size in sizes.items()])
        data = {"corpus_sha256": about["sha256"], **params}
        write_vocabulary(paths.vocabulary, vectorizer, data, dict(zip(sizes, hashes)))

    print(f"{vectorizer.vocabulary_size} different characters")
    print(", ".join(f"{size:,} for {part}" for part, size in sizes.items()))


if __name__ == "__main__":
    run(main)
