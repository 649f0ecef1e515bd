"""Sparse categorical cross-entropy, fused with the softmax that precedes it.

    loss = -1/N Σ_n log p_n[target_n],   p_n = softmax(logits_n)   (nats per character)

Fused, the gradient is as simple as can be, d loss / d logits = (p - onehot(target)) / N, and no logarithm is ever
taken of a probability that has underflowed to zero (Goodfellow, Bengio and Courville 2016, section 6.2.2.3).
"""

import numpy as np

from charrnn.arrays import Arrays, aligned_empty


class SparseCategoricalCrossentropy:
    """The loss of logits (T, B, V) against the ids (T, B) of any integer dtype that came true.

    Like a layer, it keeps nothing: `allocate` makes the buffers that `forward` fills and `backward` reads.
    """

    def allocate(self, T: int, B: int, V: int, dtype: np.typing.DTypeLike) -> Arrays:
        """Buffers for one pass over (T, B, V) logits."""
        return Arrays(
            exp=aligned_empty((T, B, V), dtype),  # of the logits less the largest of their position
            row=aligned_empty((T, B, 1), dtype),  # the largest logit of each position, then Σ exp
            losses=aligned_empty((T, B), dtype),  # nats
            of_target=aligned_empty((T, B), dtype),  # the target's logit less the largest, then its gradient
            places=np.arange(T * B).reshape(T, B) * V,  # where each position's logits begin in the flat array
            at_target=aligned_empty((T, B), np.intp),
        )

    def forward(self, logits: np.ndarray, targets: np.ndarray, buffers: Arrays) -> np.ndarray:
        """The loss of each position (T, B) in nats, in a buffer."""
        exp, row, losses, of_target = buffers.exp, buffers.row, buffers.losses, buffers.of_target
        buffers.at_target[...] = targets
        buffers.at_target += buffers.places
        np.max(logits, axis=-1, keepdims=True, out=row)
        np.subtract(logits, row, out=exp)
        np.take(exp, buffers.at_target, out=of_target, mode="clip")
        np.exp(exp, out=exp)
        np.sum(exp, axis=-1, keepdims=True, out=row)
        np.log(row[..., 0], out=losses)
        return np.subtract(losses, of_target, out=losses)  # log Σ exp(logits) - logits[target]

    def backward(self, buffers: Arrays, share: float = 1.0) -> np.ndarray:
        """d (share · mean loss) / d logits (T, B, V), in place of the exponentials."""
        dlogits, of_target = buffers.exp, buffers.of_target
        scale = share / of_target.size
        dlogits *= np.divide(scale, buffers.row, out=buffers.row)  # softmax = exp / Σ exp
        np.take(dlogits, buffers.at_target, out=of_target, mode="clip")
        of_target -= scale
        np.put(dlogits, buffers.at_target, of_target, mode="clip")
        return dlogits
