"""The layers that a network is made of; `charrnn.layers.Layer` defines their interface."""

from collections.abc import Callable

from charrnn.layers.base import Layer
from charrnn.layers.dense import Dense, TiedDense
from charrnn.layers.dropout import Dropout, DropoutMasks
from charrnn.layers.embedding import Embedding
from charrnn.layers.gru import GRU
from charrnn.layers.last_step import LastStep
from charrnn.layers.lstm import LSTM
from charrnn.layers.recurrent import Recurrent
from charrnn.layers.simple_rnn import SimpleRNN

__all__ = [
    "CELLS", "GRU", "LSTM", "Dense", "Dropout", "DropoutMasks", "Embedding", "LastStep", "Layer", "Recurrent",
    "SimpleRNN", "TiedDense",
]  # fmt: skip

CELLS: dict[str, Callable[..., Recurrent]] = {"gru": GRU, "lstm": LSTM, "rnn": SimpleRNN}
"""The recurrent layers by their names in `charrnn.ModelConfig.cell`."""
