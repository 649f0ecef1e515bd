"""Stage 2, prepare: turn the characters of the corpus into ids, and split it into training, validation and test.

If training starts from a model (`init_from`), its characters keep their ids, and new ones get the next ids.
"""

from charrnn.data.corpus import describe, vectorize
from charrnn.messages import counted, shown
from charrnn.preprocessing import TextVectorizer, read_vectorizer, split_sizes
from stages.common import flags
from stages.common.init_from import init_path
from stages.common.lock import sole_writer
from stages.common.params import SplitConfig, params_of
from stages.common.paths import made_by_earlier_stages
from stages.common.prepared import write_vocabulary
from stages.common.program import run

SPLIT = params_of(SplitConfig)
PARAMS = (*SPLIT, "init_from")
PATHS = ("data_dir", "data_filename")
NEW_NAMED = 10  # new characters that are printed


def main() -> None:
    args = flags.parser(__doc__, PARAMS, PATHS).parse_args()
    params = flags.values(args, PARAMS)
    split = {name: params[name] for name in SPLIT}
    paths, init = flags.paths(args), init_path(params["init_from"])
    known = read_vectorizer(init) if init else None

    with sole_writer(paths.vocabulary):
        with made_by_earlier_stages():
            about, vectorizer = describe(paths.raw)
        if known:
            vectorizer = known.extended(vectorizer)
        sizes = dict(zip(("train", "validation", "test"), split_sizes(about["characters"], **split)))
        paths.vocabulary.unlink(missing_ok=True)  # so that it is never next to the ids of another text
        hashes = vectorize(paths.raw, vectorizer, [(paths.part(name), size) for name, size in sizes.items()])
        data = {"corpus_sha256": about["sha256"], **split}
        write_vocabulary(paths.vocabulary, vectorizer, data, dict(zip(sizes, hashes)))

    if known:
        print(f"{counted(known.vocabulary_size, 'character')} of {shown(init)}, {new_characters(vectorizer, known)}")
    else:
        print(f"{vectorizer.vocabulary_size} different characters")
    print(", ".join(f"{size:,} for {part}" for part, size in sizes.items()))


def new_characters(vectorizer: TextVectorizer, known: TextVectorizer) -> str:
    """The characters that were added to those of a model, in words."""
    added = vectorizer.vocabulary[known.vocabulary_size :]
    if not added:
        return "and no new ones"
    more = f" and {len(added) - NEW_NAMED:,} more" if len(added) > NEW_NAMED else ""
    return f"and {len(added):,} new: {', '.join(map(repr, added[:NEW_NAMED]))}{more}"


if __name__ == "__main__":
    run(main)
