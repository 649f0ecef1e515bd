"""Sparse categorical cross-entropy, fused with the softmax that precedes it.

    loss = -1/N Σ_n log p_n[target_n],   p_n = softmax(logits_n)   (nats per character)

Fused, the gradient is as simple as can be, d loss / d logits = (p - onehot(target)) / N, and no logarithm is ever
taken of a probability that has underflowed to zero (Goodfellow, Bengio and Courville 2016, section 6.2.2.3).
"""

from types import SimpleNamespace

import numpy as np

from charrnn.buffers import empty


class SparseCategoricalCrossentropy:
    """The loss of logits (T, B, V) against the ids (T, B) of any integer dtype that came true.

    Like a layer, it keeps nothing: `work` makes the buffers that `forward` fills and `backward` needs.
    """

    def work(self, T: int, B: int, V: int, dtype: np.typing.DTypeLike) -> SimpleNamespace:
        """Buffers for one pass over (T, B, V) logits."""
        return SimpleNamespace(
            exp=empty((T, B, V), dtype),  # of the logits less the largest of their position
            row=empty((T, B, 1), dtype),  # the largest logit of each position, then Σ exp
            losses=empty((T, B), dtype),  # nats
            of_target=empty((T, B), dtype),  # the target's logit less the largest, then its gradient
            places=np.arange(T * B).reshape(T, B) * V,  # where each position's logits begin in the flat array
            at_target=empty((T, B), np.intp),
        )

    def forward(self, logits: np.ndarray, targets: np.ndarray, work: SimpleNamespace) -> np.ndarray:
        """The loss of each position (T, B) in nats, in a buffer of `work`."""
        exp, row, losses, of_target = work.exp, work.row, work.losses, work.of_target
        work.at_target[...] = targets
        work.at_target += work.places
        np.max(logits, axis=-1, keepdims=True, out=row)
        np.subtract(logits, row, out=exp)
        np.take(exp, work.at_target, out=of_target, mode="clip")
        np.exp(exp, out=exp)
        np.sum(exp, axis=-1, keepdims=True, out=row)
        np.log(row[..., 0], out=losses)
        return np.subtract(losses, of_target, out=losses)  # log Σ exp(logits) - logits[target]

    def backward(self, work: SimpleNamespace, share: float = 1.0) -> np.ndarray:
        """d (share · mean loss) / d logits (T, B, V), in place of the exponentials."""
        dlogits, of_target = work.exp, work.of_target
        scale = share / of_target.size
        dlogits *= np.divide(scale, work.row, out=work.row)  # softmax = exp / Σ exp
        np.take(dlogits, work.at_target, out=of_target, mode="clip")
        of_target -= scale
        np.put(dlogits, work.at_target, of_target, mode="clip")
        return dlogits
