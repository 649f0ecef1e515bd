"""A character-level recurrent network in NumPy: layers, training, evaluation and sampling.

Each name below is imported from its module on first use, so a program loads only the modules it needs.
"""

from importlib import import_module
from typing import Any

MODULES = {
    "charrnn.config": ("DynamicConfig", "ModelConfig", "SamplingConfig", "TrainingConfig"),
    "charrnn.dynamic": ("adapted", "evaluate_dynamically", "mean_squared_gradients"),
    "charrnn.errors": ("CharRNNError", "DivergenceError", "InputError"),
    "charrnn.evaluation": ("context_curve", "evaluate"),
    "charrnn.fine_tuning": ("add_characters",),
    "charrnn.gradient_checking": ("gradient_check",),
    "charrnn.layers": ("GRU", "LSTM", "Dense", "Embedding", "Layer", "SimpleRNN", "TiedDense"),
    "charrnn.model_file": ("ModelFile", "load_model", "save_model"),
    "charrnn.models": ("Model", "create_char_rnn_model"),
    "charrnn.optimizers": ("SGD", "Adagrad", "Adam", "Nadam", "RMSprop"),
    "charrnn.parallel.processes": ("WorkerError",),
    "charrnn.preprocessing": ("TextVectorizer",),
    "charrnn.sampling": ("generate", "generate_streams"),
    "charrnn.training": ("Callback", "TrainingState"),
}
ORIGINS = {name: module for module, names in MODULES.items() for name in names}

__all__ = list(ORIGINS)


def __getattr__(name: str) -> Any:
    if name not in ORIGINS:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    return getattr(import_module(ORIGINS[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *ORIGINS]
