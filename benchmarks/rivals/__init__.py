"""The same network in other libraries, one file each, for `benchmarks.training` to compare charrnn with.

Weights and gradients are passed as a dict of float32 arrays in charrnn's shapes, gates in the order r, z, c:
`embedding.table` (V, E), `gru1.kernel` (3, E, H), `gru1.recurrent_kernel` (3, H, H), `gru1.bias` (3, H), with
reset_after `gru1.recurrent_bias` (H,), the same for `gru2` if there are two layers, `dense.kernel` (H, V) and
`dense.bias` (V,). The layers of an LSTM are called `lstm1` and `lstm2`, and have four gates in the order o, i, f, g.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import numpy as np

Arrays = dict[str, np.ndarray]


class Contender(ABC):
    """A training step that can be checked and timed. A rival's constructor takes weights, which it copies, x and y.

    x and y are (T, B) ids to read and to predict.

    Attributes
    ----------
    cell
        The type of its recurrent layers: "gru" or "lstm".
    reset_after
        Which form of the GRU this is, see `charrnn.layers.GRU`.
    targets
        Which positions of a window predict the next character: "every" or "last".
    one_layer_only
        Whether it supports only one recurrent layer.
    """

    cell = "gru"
    reset_after = False
    targets = "every"
    one_layer_only = False

    @abstractmethod
    def loss_and_gradients(self) -> tuple[float, Arrays]:
        """The mean loss in nats, and its gradients in charrnn's shapes."""

    @abstractmethod
    def step(self) -> object:
        """Forward pass, loss, backward pass and update of the weights, all finished on return."""

    def turn(self) -> AbstractContextManager[object]:
        """The context in which steps are taken."""
        return nullcontext()


def recurrent_layers(weights: Arrays) -> list[str]:
    """The names of the recurrent layers that these weights are for, such as gru1 and gru2."""
    return sorted(name.removesuffix(".recurrent_kernel") for name in weights if name.endswith(".recurrent_kernel"))


# The class of each, in the form that `pkgutil.resolve_name` reads: its packages are imported only if it takes part.
RIVALS = {
    "PyTorch, NAdam": "benchmarks.rivals.pytorch:PyTorchNAdam",
    "PyTorch, Adam": "benchmarks.rivals.pytorch:PyTorchAdam",
    "JAX": "benchmarks.rivals.jax_scan:JaxScan",
    "Keras": "benchmarks.rivals.keras_jax:KerasOnJax",
    "PyTorch LSTM, NAdam": "benchmarks.rivals.pytorch:PyTorchLSTMNAdam",
    "PyTorch LSTM, Adam": "benchmarks.rivals.pytorch:PyTorchLSTMAdam",
    "JAX LSTM": "benchmarks.rivals.jax_scan:JaxLSTMScan",
    "Keras LSTM": "benchmarks.rivals.keras_jax:KerasLSTMOnJax",
    "plain GRU": "benchmarks.rivals.plain:PlainGRU",
    "textbook": "benchmarks.rivals.textbook:Textbook",
    "textbook, float32": "benchmarks.rivals.textbook:TextbookFloat32",
}
