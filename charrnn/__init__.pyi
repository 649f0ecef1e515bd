"""The public names for type checkers, which can't follow the lazy imports of `__init__.py`."""

from charrnn.config import ModelConfig, SamplingConfig, TrainingConfig
from charrnn.errors import CharRNNError, DivergenceError, InputError
from charrnn.evaluation import context_curve, evaluate
from charrnn.fine_tuning import add_characters
from charrnn.gradient_checking import gradient_check
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, SimpleRNN, TiedDense
from charrnn.model_file import ModelFile, load_model, save_model
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import SGD, Adagrad, Adam, Nadam, RMSprop
from charrnn.parallel.processes import WorkerError
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate, generate_streams
from charrnn.training import Callback, TrainingState

__all__ = [
    "GRU",
    "LSTM",
    "SGD",
    "Adagrad",
    "Adam",
    "Callback",
    "CharRNNError",
    "Dense",
    "DivergenceError",
    "Embedding",
    "InputError",
    "Layer",
    "Model",
    "ModelConfig",
    "ModelFile",
    "Nadam",
    "RMSprop",
    "SamplingConfig",
    "SimpleRNN",
    "TextVectorizer",
    "TiedDense",
    "TrainingConfig",
    "TrainingState",
    "WorkerError",
    "add_characters",
    "context_curve",
    "create_char_rnn_model",
    "evaluate",
    "generate",
    "generate_streams",
    "gradient_check",
    "load_model",
    "save_model",
]
