"""Load the trained model, and refuse it if it does not match params.yaml and the prepared text."""

import hashlib
import sys
from pathlib import Path

from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.model_file import ModelFile, load_model
from stages.common.fingerprint import file_hash
from stages.common.init_from import starts_from_model
from stages.common.params import PARAMS_FILE, load_params
from stages.common.paths import Paths, made_by_earlier_stages
from stages.common.prepared import PreparedText, read_prepared


def load_trained(paths: Paths) -> ModelFile:
    """Load the pipeline's model and check it, or load the model that --weights-path names without any check.

    --weights-path may also name the checkpoint of an unfinished run. A line on standard error then says which weights
    are used.

    DVC records params when a stage ends, so it would not notice an edit that was made while the stage ran.

    Raises
    ------
    InputError
        If the file is not a model file, or the model was trained with hyperparameters that differ from params.yaml, or
        on another text or split than the prepared one, if there is one.
    OSError
        If a file can't be read.
    """
    if paths.weights_path:
        trained = load_model(paths.weights_path)
        if trained.unfinished:
            about = f"{shown(paths.weights_path)} is from an unfinished run; using {trained.unfinished}"
            print(about, file=sys.stderr, flush=True)
        return trained
    with made_by_earlier_stages():
        trained = load_model(paths.model)
    now = load_params()
    for name, value in {**trained.params, **trained.data}.items():
        if name in now and value != now[name]:
            raise InputError(
                f"{paths.model} was trained with {name} {quoted(value)}, but {PARAMS_FILE} has {quoted(now[name])}; "
                "train again, or name the model with --weights-path to use it anyway"
            )
    start = now["init_from"]
    if starts_from_model(start) and Path(start).exists() and file_hash(Path(start)) != trained.init_sha256:
        raise InputError(
            f"{paths.model} was not trained from the model that is now in {shown(start)} (init_from); train again, or "
            "name the model with --weights-path to use it anyway"
        )
    if paths.vocabulary.exists():
        read_same_text(trained, paths)
    return trained


def read_same_text(trained: ModelFile, paths: Paths) -> PreparedText:
    """The prepared text; raises InputError unless the model was trained on it."""
    prepared = read_prepared(paths)
    if prepared.data != trained.data:
        raise InputError(
            f"{paths.trained} was trained on another text than the one in {paths.processed}, or on another split; "
            "prepare its own text again, or train a model on this one"
        )
    if prepared.vectorizer != trained.vectorizer:
        raise InputError(
            f"{paths.trained} orders the characters differently from the text in {paths.processed}; train again"
        )
    return prepared


def parameters_hash(trained: ModelFile) -> str:
    """The SHA-256 of the model's parameters, stored with its figures so that they are not shown for another model."""
    return hashlib.sha256(trained.model.parameters.tobytes()).hexdigest()
