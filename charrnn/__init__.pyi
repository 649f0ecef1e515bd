"""The public names for type checkers, which can't follow the lazy imports of `__init__.py`."""

from charrnn.config import DynamicConfig, ModelConfig, SamplingConfig, TrainingConfig
from charrnn.dynamic import adapted, evaluate_dynamically, mean_squared_gradients
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
    "DynamicConfig",
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
    "adapted",
    "add_characters",
    "context_curve",
    "create_char_rnn_model",
    "evaluate",
    "evaluate_dynamically",
    "generate",
    "generate_streams",
    "gradient_check",
    "load_model",
    "mean_squared_gradients",
    "save_model",
]
