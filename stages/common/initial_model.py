"""The model that training starts with: random weights, or those of another model (`init_from`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from charrnn.arrays import Array
from charrnn.calibration import require_scalable
from charrnn.config import ModelConfig, Value, settings
from charrnn.errors import InputError
from charrnn.fine_tuning import add_characters, model_config
from charrnn.initializers import Initializer, log_frequencies, random_uniform, zeros
from charrnn.messages import quoted, shown
from charrnn.model_file import ModelFile, load_model
from charrnn.models import Model, create_char_rnn_model
from charrnn.preprocessing import TextVectorizer, count_ids
from stages.common.fingerprint import file_hash
from stages.common.params import config_from


@dataclass(frozen=True)
class Init:
    """A model to start from: the file, its contents, and its SHA-256."""

    path: Path
    trained: ModelFile
    sha256: str

    @property
    def in_words(self) -> str:
        """The file and, if it is a checkpoint, which weights are used."""
        return ", ".join(filter(None, (shown(self.path), self.trained.unfinished)))


def load_init(path: Path | None) -> Init | None:
    """The model in a model file or checkpoint; None, for random weights, if there is no path.

    Raises
    ------
    InputError
        If the file is neither, or is damaged.
    OSError
        If it can't be read.
    """
    return Init(path, load_model(path), file_hash(path)) if path else None


def initial_model(
    params: Mapping[str, Value], vectorizer: TextVectorizer, train_ids: Array, init: Init | None
) -> tuple[Model, np.random.Generator]:
    """The model to train on a prepared text, and the random generator that training uses next.

    Parameters
    ----------
    vectorizer
        The vocabulary of the prepared text, which begins with that of the model to start from.
    train_ids
        (n,) the training text, whose characters may set the initial output bias.

    Raises
    ------
    InputError
        If the text was prepared without the model to start from, the params describe another network, or the model
        should be calibrated but can't be.
    """
    rng = np.random.default_rng(params["seed"])
    if init is None:
        model = random_model(params, vectorizer.vocabulary_size, train_ids, rng)
    else:
        require_startable(params, vectorizer, init)
        model = add_characters(init.trained.model, vectorizer.vocabulary_size - init.trained.vectorizer.vocabulary_size)
    if params["calibrate"]:
        require_scalable(model)
    return model, rng


def random_model(params: Mapping[str, Value], V: int, train_ids: Array, rng: np.random.Generator) -> Model:
    """A model with random weights, drawn as the params say."""
    output_bias: Initializer = zeros
    if params["output_bias"] == "log_frequencies":
        output_bias = partial(log_frequencies, counts=count_ids(train_ids, V))
    return create_char_rnn_model(
        V,
        rng,
        embedding_initializer=partial(random_uniform, limit=params["embedding_limit"]),
        output_bias_initializer=output_bias,
        **{name: params[name] for name in settings(ModelConfig)},
    )


def require_startable(params: Mapping[str, Value], vectorizer: TextVectorizer, init: Init) -> None:
    """Raise InputError unless training with these params, on a text with this vocabulary, can start from the model."""
    if not vectorizer.vocabulary.startswith(init.trained.vectorizer.vocabulary):
        raise InputError(
            f"the text was prepared without {shown(init.path)}, whose characters have other ids; set init_from to this "
            "file and run `python -m stages.prepare` again"
        )
    try:
        its_own = vars(model_config(init.trained.model))
    except InputError as error:
        raise InputError(f"training can't start from {shown(init.path)}: {error}") from None
    wanted = vars(config_from(params, ModelConfig))
    differing = [
        f"{name} {quoted(its_own[name])}, not {quoted(value)}"
        for name, value in wanted.items()
        if value != its_own[name]
    ]
    if differing:
        raise InputError(
            f"training can't start from {shown(init.path)}: its network has {', '.join(differing)}; use its values"
        )
