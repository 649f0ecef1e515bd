"""The same network in other libraries, one file each, for `benchmarks.training` to compare charrnn with.

Weights and gradients are passed as a dict of float32 arrays in charrnn's shapes, gates in the order r, z, c:
`embedding.table` (V, E), `gru1.kernel` (3, E, H), `gru1.recurrent_kernel` (3, H, H), `gru1.bias` (3, H), with
reset_after `gru1.recurrent_bias` (H,), the same for `gru2` if there are two layers, `dense.kernel` (H, V) and
`dense.bias` (V,).
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
    reset_after
        Which form of the GRU this is, see `charrnn.layers.GRU`.
    targets
        Which positions of a window predict the next character: "every" or "last".
    one_layer_only
        Whether it supports only one GRU layer.
    """

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


def num_gru_layers(weights: Arrays) -> int:
    """The number of GRU layers that these weights are for."""
    return sum(name.endswith(".recurrent_kernel") for name in weights)


# The class of each, in the form that `pkgutil.resolve_name` reads: its packages are imported only if it takes part.
RIVALS = {
    "PyTorch, NAdam": "benchmarks.rivals.pytorch:PyTorchNAdam",
    "PyTorch, Adam": "benchmarks.rivals.pytorch:PyTorchAdam",
    "JAX": "benchmarks.rivals.jax_scan:JaxScan",
    "Keras": "benchmarks.rivals.keras_jax:KerasOnJax",
    "plain GRU": "benchmarks.rivals.plain:PlainGRU",
    "textbook": "benchmarks.rivals.textbook:Textbook",
    "textbook, float32": "benchmarks.rivals.textbook:TextbookFloat32",
}
