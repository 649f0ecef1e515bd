"""Recipes for small models of Tiny Shakespeare, by what they cost: the params that differ from the defaults.

All learn from the first 90 % of the text, so that the last 10 % measures them, as it does elsewhere.
"""

from collections.abc import Mapping

from stages.params import Value

Recipe = Mapping[str, Value]

# What all have in common: the text in order with carried state, AdamW, a warm-up and a cosine.
_COMMON: Recipe = {
    "train_size": 0.9,
    "validation_size": 0.01,
    "carry_state": True,
    "optimizer": "adam",
    "beta_2": 0.99,
    "schedule": "cosine",
}

RECIPES: dict[str, Recipe] = {
    "fast": _COMMON
    | {
        "embedding_dim": 64,
        "window_size": 32,
        "batch_size": 128,
        "num_epochs": 2,
        "learning_rate": 0.03,
        "warmup_batches": 20,
        "weight_decay": 0.01,
    },
    "middle": _COMMON
    | {
        "calibrate": True,
        "embedding_dim": 256,
        "hidden_dim": 320,
        "dropout": 0.3,
        "window_size": 64,
        "num_epochs": 4,
        "learning_rate": 0.008,
        "warmup_batches": 100,
        "weight_decay": 0.05,
    },
    "best": _COMMON
    | {
        "calibrate": True,
        "num_layers": 2,
        "embedding_dim": 256,
        "hidden_dim": 384,
        "dropout": 0.4,
        "window_size": 64,
        "num_epochs": 9,
        "learning_rate": 0.006,
        "warmup_batches": 100,
        "weight_decay": 0.2,
    },
    "long": _COMMON
    | {
        "calibrate": True,
        "num_layers": 2,
        "embedding_dim": 256,
        "hidden_dim": 384,
        "dropout": 0.5,
        "window_size": 64,
        "num_epochs": 17,
        "learning_rate": 0.006,
        "warmup_batches": 100,
        "weight_decay": 0.2,
    },
}


def command(recipe: Recipe) -> str:
    """The line that runs a recipe in the pipeline."""
    shown = {name: str(value).lower() if isinstance(value, bool) else value for name, value in recipe.items()}
    return " ".join(["dvc exp run", *(f"-S {name}={value}" for name, value in shown.items())])
