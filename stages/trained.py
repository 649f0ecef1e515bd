"""The trained model, held against what it is said to be: no stage goes on with one that params.yaml would not give."""

from charrnn.errors import InputError
from charrnn.storage import ModelFile, load_model
from stages.cli import Locations
from stages.params import PARAMS_FILE, load_params
from stages.processed import read_vocabulary


def load_trained(where: Locations) -> ModelFile:
    """The model of the pipeline, or, without questions, the one that --weights-path names.

    DVC notes hyperparameters when a stage has ended, so it would take for the truth what was changed meanwhile.

    Raises
    ------
    InputError
        If the file is no model, or the model was trained with other hyperparameters than those of params.yaml, or on
        other data than those that `prepare` has left, if it has left any.
    OSError
        If a file can't be read.
    """
    trained = load_model(where.trained)
    if where.weights_path:
        return trained
    now = load_params()
    for name, value in {**trained.params, **trained.data}.items():
        if name in now and value != now[name]:
            raise InputError(
                f"{where.model} was trained with {name} {value!r}, but {PARAMS_FILE} has {now[name]!r}; train again, "
                "or name the model with --weights-path to take it as it is"
            )
    if where.vocabulary.exists():
        require_same_data(trained, where)
    return trained


def require_same_data(trained: ModelFile, where: Locations) -> None:
    """Raise InputError unless the processed data are those that the model was trained on."""
    if read_vocabulary(where.vocabulary)[1] != trained.data:
        raise InputError(
            f"{where.trained} was trained on another text, or another split of it, than the one in {where.processed}; "
            "train again"
        )
