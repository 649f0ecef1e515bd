"""The same network in other hands, one file each: what `benchmarks.training` times charrnn against.

Weights and gradients change hands as a dict of float32 arrays in charrnn's shapes, gates in the order r, z, c:
`embedding.table` (V, E), `gru.kernel` (3, E, H), `gru.recurrent_kernel` (3, H, H), `gru.bias` (3, H), with reset_after
`gru.recurrent_bias` (H,), `dense.kernel` (H, V) and `dense.bias` (V,).
"""

from typing import Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


class Rival(Protocol):
    """What a rival offers. It is made from weights, which it copies, and a batch of ids x and y (T, B)."""

    reset_after: bool  # the form of charrnn's GRU that it must agree with
    targets: str  # "every" or "last", as in `charrnn.training.fit`

    def __init__(self, weights: Arrays, x: np.ndarray, y: np.ndarray) -> None:
        """Bring weights and batch into its own form."""

    def loss_and_gradients(self) -> tuple[float, Arrays]:
        """The mean loss in nats, and its gradients in charrnn's shapes."""

    def step(self) -> object:
        """Forward pass, loss, backward pass and update of the weights, all finished on return."""


# Where each one is, as `pkgutil.resolve_name` reads it: a rival's packages are imported only if it takes part.
RIVALS = {
    "PyTorch, NAdam": "benchmarks.rivals.pytorch:PyTorchNAdam",
    "PyTorch, Adam": "benchmarks.rivals.pytorch:PyTorchAdam",
    "JAX": "benchmarks.rivals.jax_scan:JaxScan",
    "Keras": "benchmarks.rivals.keras_jax:KerasOnJax",
    "textbook": "benchmarks.rivals.textbook:Textbook",
    "textbook, float32": "benchmarks.rivals.textbook:TextbookFloat32",
}
