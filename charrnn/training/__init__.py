"""Training: mini-batch gradient descent with truncated backpropagation through time."""

from charrnn.training.callbacks import Callback
from charrnn.training.fit import fit
from charrnn.training.state import History, TrainingState, best_epoch
from charrnn.training.trainer import fresh_state, train

__all__ = ["Callback", "History", "TrainingState", "best_epoch", "fit", "fresh_state", "train"]
