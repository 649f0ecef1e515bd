"""Stage 2, prepare: turn the characters of the corpus into ids, and split it into training, validation and test."""

from charrnn.corpus import describe, vectorize
from charrnn.preprocessing import split_sizes
from stages import cli
from stages.processed import write_vocabulary

PARAMS = ("train_size", "validation_size")


def main() -> None:
    args = cli.parser(__doc__, PARAMS).parse_args()
    params = cli.values(args, PARAMS)
    where = cli.locations(args)

    about, vectorizer = describe(where.raw)
    sizes = dict(zip(("train", "validation", "test"), split_sizes(about["characters"], **params)))
    vectorize(where.raw, vectorizer, [(where.processed / f"{part}.npy", size) for part, size in sizes.items()])
    write_vocabulary(where.vocabulary, vectorizer, {"corpus_sha256": about["sha256"], **params})

    print(f"{vectorizer.vocabulary_size} different characters")
    print(", ".join(f"{size:,} for {part}" for part, size in sizes.items()))


if __name__ == "__main__":
    cli.run(main)
