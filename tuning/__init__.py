"""The hyperparameter search: `python -m tuning`."""
