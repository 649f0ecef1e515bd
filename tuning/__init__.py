"""The hyperparameter search: `python -m tuning`."""

import stages as stages  # which ends this program with one line if Ctrl-C comes while modules are imported
