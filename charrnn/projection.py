"""How the inputs of all time steps get to the gates: x W + b before going through time, and its gradients after it.

What comes from an embedding is one of V vectors. In training, if V is small, or small beside their width, they are
handed on as `Rows`, so that each is multiplied once and then looked up, instead of once for each of the T·B places
where it occurs.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from charrnn.arrays import Array, Arrays, DType
from charrnn.buffers import empty
from charrnn.layers import Embedding


@dataclass(frozen=True)
class Rows:
    """The inputs x_t = table[id_t], not looked up yet.

    Attributes
    ----------
    ids
        (T, B) intp.
    table
        (V, D) of the embedding.
    one_hot
        (T·B, V), each row 1 at the position's id and 0 elsewhere.
    """

    ids: Array
    table: Array
    one_hot: Array


def project_to_gates(p: Arrays, x: Array | Rows, gates: Array) -> None:
    """gates = x W + b, for x (T, B, D) and gates (G, T, B, H); for rows it is looked up in table W + b (G, V, H)."""
    if isinstance(x, Rows):
        of_ids = np.matmul(x.table, p.kernel)
        of_ids += p.bias[:, None, :]
        np.take(of_ids, x.ids, axis=1, out=gates, mode="clip")  # "clip" writes straight into `out`
        return
    G, D, H = p.kernel.shape
    np.matmul(x.reshape(-1, D), p.kernel, out=gates.reshape(G, -1, H))
    gates += p.bias[:, None, None, :]


def gradients_of_projection(p: Arrays, grad: Arrays, x: Array | Rows, dgates: Array, work: Arrays) -> Array:
    """dW = Σ_t x_tᵀ dgates_t and db = Σ_t dgates_t go to `grad`; dx = Σ_gates dgates Wᵀ is returned.

    For rows, with P = table W + b: dP = Σ_t one_hot_tᵀ dgates_t, dW = tableᵀ dP, db = Σ_v dP_v, and what is returned
    is d table = Σ_gates dP Wᵀ.
    """
    G, D, H = p.kernel.shape
    dgates = dgates.reshape(G, -1, H)
    if isinstance(x, Rows):
        of_ids = np.matmul(x.one_hot.T, dgates)
        np.matmul(x.table.T, of_ids, out=grad.kernel)
        np.sum(of_ids, axis=1, out=grad.bias)
        return np.matmul(of_ids, p.kernel.swapaxes(1, 2)).sum(axis=0)
    np.matmul(x.reshape(-1, D).T, dgates, out=grad.kernel)
    np.sum(dgates, axis=1, out=grad.bias)
    np.matmul(dgates, p.kernel.swapaxes(1, 2), out=work.dx_of_gate)
    np.sum(work.dx_of_gate, axis=0, out=work.dx.reshape(-1, D))
    return work.dx


@dataclass(frozen=True)
class EmbeddingOfRows(Embedding):
    """An embedding whose output is `Rows`, and whose `backward` is given the gradient of its table.

    Only the chain that is trained has this layer, in front of one that `accepts_rows`.
    """

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        return SimpleNamespace(
            ids=empty((T, B), np.intp),
            one_hot=empty((T * B, self.input_dim), dtype),
            identity=np.eye(self.input_dim, dtype=dtype),
        )

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Any:  # Rows, which those layers know that accept them
        work.ids[...] = x
        np.take(work.identity, work.ids.reshape(-1), axis=0, out=work.one_hot, mode="clip")
        return Rows(work.ids, p.table, work.one_hot)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> None:
        if self.tied:  # the other layer has left its gradient there
            grad.table += dy
        else:
            grad.table[...] = dy


def pays(embedding: Embedding) -> bool:
    """Whether rows cost less: backwards they take V multiply-adds a position and gate unit instead of 2 D, but spare
    the additions of the bias and the sums over gates and positions, which take as long as some 96 more."""
    return embedding.input_dim < 2 * embedding.output_dim + 96
