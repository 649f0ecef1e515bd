"""Stage 3, check: find errors now that would stop a later stage after hours of training.

It depends on the whole params.yaml, so it also finds misspelt hyperparameters.
"""

from collections.abc import Mapping

from charrnn.config import ModelConfig, TrainingConfig, Value
from charrnn.errors import InputError
from charrnn.messages import quoted
from charrnn.preprocessing import TextVectorizer, require_window
from charrnn.storage.files import atomic_write
from stages.common import flags
from stages.common.params import PARAMS_FILE, config_from, load_params
from stages.common.prepared import read_prepared
from stages.common.program import run

PARAMS: tuple[str, ...] = ()  # no flags: it reads all of them from params.yaml
PATHS = ("data_dir",)
LONGEST_EXAMPLE = 10  # characters


def main() -> None:
    paths = flags.paths(flags.parser(__doc__, PARAMS, PATHS).parse_args())
    params, prepared = load_params(), read_prepared(paths)
    texts = {part: prepared.ids(part) for part in ("train", "validation", "test")}

    for config in (ModelConfig, TrainingConfig):
        config_from(params, config)  # raises an error if values contradict each other
    for part, ids in texts.items():
        require_window(len(ids), params["window_size"], f"{part} text")
    example = prepared.vectorizer.decode(texts["train"][:LONGEST_EXAMPLE])
    require_known_start(params, prepared.vectorizer, example)

    # Training depends on this file, so DVC checks first. It is always the same, so DVC does not train again.
    with atomic_write(paths.checked) as file:
        file.write(b"params.yaml fits the text\n")
    print(f"{PARAMS_FILE} fits the text")


def require_known_start(params: Mapping[str, Value], vectorizer: TextVectorizer, example: str) -> None:
    """Raise InputError if the text lacks characters of the start string: sampling would refuse it."""
    start = params["start_string"]
    try:
        vectorizer.encode(start)
    except InputError as error:
        raise InputError(
            f"start_string is {quoted(start)}: {error}; choose characters of the text, which begins with {example!r}"
        ) from None


if __name__ == "__main__":
    run(main)
