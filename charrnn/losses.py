"""Sparse categorical cross-entropy, fused with the softmax that precedes it.

    loss = -1/N Σ_n log p_n[target_n],   p_n = softmax(logits_n)   (nats per character)

Fusing makes the gradient simple, d loss / d logits = (p - onehot(target)) / N, and avoids the logarithm of a
probability that has underflowed to zero (Goodfellow, Bengio and Courville 2016, section 6.2.2.3).
"""

import numpy as np

from charrnn.arrays import Arrays, aligned_empty
from charrnn.preprocessing import require_ids


class SparseCategoricalCrossentropy:
    """The loss of logits (T, B, V) for target ids (T, B) of any integer dtype.

    Like a layer, it is stateless: `allocate` makes the buffers that `forward` fills and `backward` reads.
    """

    def allocate(self, T: int, B: int, V: int, dtype: np.typing.DTypeLike) -> Arrays:
        """Buffers for one pass over (T, B, V) logits."""
        return Arrays(
            exp=aligned_empty((T, B, V), dtype),  # exp(logits - the largest logit of the position)
            row=aligned_empty((T, B, 1), dtype),  # the largest logit of each position, then Σ exp
            losses=aligned_empty((T, B), dtype),  # nats
            target=aligned_empty((T, B), dtype),  # the target's logit minus the largest, then its gradient
            starts=np.arange(T * B).reshape(T, B) * V,  # index of each position's first logit in the flat array
            target_index=aligned_empty((T, B), np.intp),  # index of its target's logit
        )

    def forward(self, logits: np.ndarray, targets: np.ndarray, buffers: Arrays) -> np.ndarray:
        """The loss at each position (T, B) in nats, in a buffer.

        Raises
        ------
        InputError
            If a target is not an integer in 0 … V-1.
        """
        require_ids(targets, logits.shape[-1], "targets")
        exp, row, losses, target_logit = buffers.exp, buffers.row, buffers.losses, buffers.target
        buffers.target_index[...] = targets
        buffers.target_index += buffers.starts
        np.max(logits, axis=-1, keepdims=True, out=row)
        np.subtract(logits, row, out=exp)
        np.take(exp, buffers.target_index, out=target_logit, mode="clip")
        np.exp(exp, out=exp)
        np.sum(exp, axis=-1, keepdims=True, out=row)
        np.log(row[..., 0], out=losses)
        return np.subtract(losses, target_logit, out=losses)  # log Σ exp(logits) - logits[target]

    def backward(self, buffers: Arrays, share: float = 1.0) -> np.ndarray:
        """d (share · mean loss) / d logits (T, B, V); overwrites the exponentials."""
        dlogits, target_logit = buffers.exp, buffers.target
        scale = share / target_logit.size
        dlogits *= np.divide(scale, buffers.row, out=buffers.row)  # softmax = exp / Σ exp
        np.take(dlogits, buffers.target_index, out=target_logit, mode="clip")
        target_logit -= scale
        np.put(dlogits, buffers.target_index, target_logit, mode="clip")
        return dlogits
