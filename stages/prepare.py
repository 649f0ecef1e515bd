"""Stage 2, prepare: turn the characters of the corpus into ids, and split it into training, validation and test."""

from charrnn.data.corpus import describe, vectorize
from charrnn.preprocessing import split_sizes
from stages.common import flags
from stages.common.params import SplitConfig, params_of
from stages.common.prepared import write_vocabulary
from stages.common.program import run

PARAMS = params_of(SplitConfig)


def main() -> None:
    args = flags.parser(__doc__, PARAMS).parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)

    about, vectorizer = describe(paths.raw)
    sizes = dict(zip(("train", "validation", "test"), split_sizes(about["characters"], **params)))
    vectorize(paths.raw, vectorizer, [(paths.processed / f"{part}.npy", size) for part, size in sizes.items()])
    write_vocabulary(paths.vocabulary, vectorizer, {"corpus_sha256": about["sha256"], **params})

    print(f"{vectorizer.vocabulary_size} different characters")
    print(", ".join(f"{size:,} for {part}" for part, size in sizes.items()))


if __name__ == "__main__":
    run(main)
