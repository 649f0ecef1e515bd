"""The projection of the inputs to the gates: x W + b before the recurrence, and its gradients after it.

An input from an embedding is one of V vectors. If V is small, training passes a `Lookup` instead of the vectors. Then
each of the V vectors is multiplied once and the product is looked up at the T·B positions, instead of a multiplication
at every position.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.arrays import Array, Arrays, DType, aligned_empty
from charrnn.layers.embedding import Embedding


@dataclass(frozen=True)
class Lookup:
    """The inputs x_t = table[id_t], before they are looked up.

    Attributes
    ----------
    ids
        (T, B) intp.
    table
        (V, D) the embedding table.
    one_hot
        (T·B, V), each row 1 at the position's id and 0 elsewhere.
    """

    ids: Array
    table: Array
    one_hot: Array


def project_to_gates(p: Arrays, x: Array | Lookup, gates: Array, num_halved: int) -> None:
    """Write x W + b to `gates` (G, T, B, H), halved for the first `num_halved` gates.

    x is (T, B, D), or a `Lookup`, for which rows of table W + b (G, V, H) are looked up. The halves are for
    `charrnn.activations.sigmoid_of_twice`.
    """
    kernel, bias = p.kernel.copy(), p.bias.copy()
    kernel[:num_halved] *= 0.5  # exact: halving rounds nothing
    bias[:num_halved] *= 0.5
    if isinstance(x, Lookup):
        table = np.matmul(x.table, kernel)
        table += bias[:, None, :]
        np.take(table, x.ids, axis=1, out=gates, mode="clip")  # "clip" writes straight into `out`
        return
    G, D, H = kernel.shape
    np.matmul(x.reshape(-1, D), kernel, out=gates.reshape(G, -1, H))
    gates += bias[:, None, None, :]


def project_to_gates_backward(p: Arrays, grad: Arrays, x: Array | Lookup, dgates: Array, buffers: Arrays) -> Array:
    """Write dW = Σ_t x_tᵀ dgates_t and db = Σ_t dgates_t to `grad`, and return dx = Σ_gates dgates Wᵀ.

    For a `Lookup`, with P = table W + b: dP = Σ_t one_hot_tᵀ dgates_t, dW = tableᵀ dP, db = Σ_v dP_v, and the return
    value is d table = Σ_gates dP Wᵀ.
    """
    G, D, H = p.kernel.shape
    dgates = dgates.reshape(G, -1, H)
    if isinstance(x, Lookup):
        dP = np.matmul(x.one_hot.T, dgates)
        np.matmul(x.table.T, dP, out=grad.kernel)
        np.sum(dP, axis=1, out=grad.bias)
        return np.matmul(dP, p.kernel.swapaxes(1, 2)).sum(axis=0)
    np.matmul(x.reshape(-1, D).T, dgates, out=grad.kernel)
    np.sum(dgates, axis=1, out=grad.bias)
    np.matmul(dgates, p.kernel.swapaxes(1, 2), out=buffers.dx_of_gates)
    np.sum(buffers.dx_of_gates, axis=0, out=buffers.dx.reshape(-1, D))
    return buffers.dx


@dataclass(frozen=True)
class LookupEmbedding(Embedding):
    """An embedding whose output is a `Lookup`, and whose `backward` takes the gradient of the table.

    Only the training network has this layer, before a layer that `accepts_lookup`.
    """

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        return Arrays(
            ids=aligned_empty((T, B), np.intp),
            one_hot=aligned_empty((T * B, self.input_dim), dtype),
            identity=np.eye(self.input_dim, dtype=dtype),
        )

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Any:  # a Lookup, which only some layers accept
        buffers.ids[...] = x
        np.take(buffers.identity, buffers.ids.reshape(-1), axis=0, out=buffers.one_hot, mode="clip")
        return Lookup(buffers.ids, p.table, buffers.one_hot)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> None:
        if self.tied:  # add to the gradient that the output layer left there
            grad.table += dy
        else:
            grad.table[...] = dy


def lookup_is_faster(embedding: Embedding) -> bool:
    """Whether to train with a `Lookup`.

    The backward pass takes V multiply-adds for each position and gate unit instead of 2 D, but it saves the additions
    of the bias and the sums over gates and positions, which take as long as about 96 multiply-adds.
    """
    return embedding.input_dim < 2 * embedding.output_dim + 96
