"""Recipes for small models of Tiny Shakespeare, by what they cost: the params that differ from the defaults.

All learn from the first 90 % of the text, so that the last 10 % measures them, as it does elsewhere.
"""

from collections.abc import Mapping

from stages.params import Value

Recipe = Mapping[str, Value]

RECIPES: dict[str, Recipe] = {
    "fast": {
        "train_size": 0.9,
        "validation_size": 0.02,
        "carry_state": True,
        "learning_rate": 0.003,
        "schedule": "cosine",
    },
    "middle": {
        "train_size": 0.9,
        "validation_size": 0.02,
        "hidden_dim": 256,
        "carry_state": True,
        "learning_rate": 0.003,
        "schedule": "cosine",
    },
    "best": {
        "train_size": 0.9,
        "validation_size": 0.02,
        "hidden_dim": 512,
        "dropout": 0.3,
        "carry_state": True,
        "num_epochs": 20,
        "learning_rate": 0.002,
        "schedule": "cosine",
    },
    "long": {
        "train_size": 0.9,
        "validation_size": 0.02,
        "num_layers": 2,
        "hidden_dim": 512,
        "dropout": 0.4,
        "carry_state": True,
        "num_epochs": 40,
        "learning_rate": 0.002,
        "schedule": "cosine",
    },
}


def command(recipe: Recipe) -> str:
    """The line that runs a recipe in the pipeline."""
    shown = {name: str(value).lower() if isinstance(value, bool) else value for name, value in recipe.items()}
    return " ".join(["dvc exp run", *(f"-S {name}={value}" for name, value in shown.items())])
