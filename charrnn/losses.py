"""Sparse categorical cross-entropy, fused with the softmax that precedes it.

    loss = -1/N Σ_n log p_n[target_n],   p_n = softmax(logits_n)   (nats per character)

Fused, the gradient is as simple as can be, d loss / d logits = (p - onehot(target)) / N, and no logarithm is ever
taken of a probability that has underflowed to zero (Goodfellow, Bengio and Courville 2016, section 6.2.2.3).
"""

from types import SimpleNamespace

import numpy as np


class SparseCategoricalCrossentropy:
    """The loss of logits (T, B, V) against the ids (T, B) that came true.

    Like a layer, it keeps nothing: `work` makes the buffers that `forward` fills and `backward` needs.
    """

    def work(self, T: int, B: int, V: int, dtype: np.typing.DTypeLike) -> SimpleNamespace:
        """Buffers for one pass over (T, B, V) logits."""
        return SimpleNamespace(
            softmax=np.empty((T, B, V), dtype),
            row=np.empty((T, B, 1), dtype),
            losses=np.empty((T, B), dtype),  # nats, one a position
            places=np.arange(T * B).reshape(T, B) * V,  # where each position's logits begin in the flat array
            at_target=np.empty((T, B), np.intp),
        )

    def forward(self, logits: np.ndarray, targets: np.ndarray, work: SimpleNamespace) -> float:
        """The mean loss in nats; `work.losses` (T, B) keeps the loss of each position."""
        softmax, row = work.softmax, work.row
        work.at_target[...] = targets
        work.at_target += work.places
        np.max(logits, axis=-1, keepdims=True, out=row)
        np.subtract(logits, row, out=softmax)
        np.take(softmax, work.at_target, out=work.losses, mode="clip")
        np.exp(softmax, out=softmax)
        np.sum(softmax, axis=-1, keepdims=True, out=row)
        softmax /= row
        np.log(row, out=row)
        np.subtract(row[..., 0], work.losses, out=work.losses)  # log Σ exp(logits) - logits[target]
        return float(work.losses.mean(dtype=np.float64))

    def backward(self, work: SimpleNamespace, share: float = 1.0) -> np.ndarray:
        """d (share · loss) / d logits (T, B, V), in place of the softmax."""
        dlogits, of_targets = work.softmax, work.row[..., 0]
        np.take(dlogits, work.at_target, out=of_targets, mode="clip")
        of_targets -= 1
        np.put(dlogits, work.at_target, of_targets, mode="clip")
        dlogits *= share / of_targets.size
        return dlogits
