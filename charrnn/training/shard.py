"""The loss and gradient of a batch, which each worker computes for its shard of the sequences."""

import numpy as np

from charrnn.arrays import Array, Arrays, HiddenState
from charrnn.layers import Dropout
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.network import Buffers, Network
from charrnn.parallel.workers import ALONE, Workers


class Shard:
    """One worker's shard of every batch, and the buffers for it."""

    def __init__(self, network: Network, workers: Workers = ALONE) -> None:
        self.network, self.workers = network, workers
        self.masks = [layer.masks for layer in network.layers if isinstance(layer, Dropout)]
        self.cross_entropy = SparseCategoricalCrossentropy()
        self.buffers: dict[tuple[int, ...], tuple[Buffers, Arrays]] = {}  # by the shape of the shard

    def loss_and_gradient(self, x: Array, y: Array, state: HiddenState | None = None) -> tuple[float, HiddenState]:
        """What this shard adds to the mean loss of a batch, in nats per character, and to its gradient.

        The gradient is in `network.gradient`. Loss, gradient and state must still be summed over all workers. A network
        that drops time steps predicts only the last ids of each sequence.

        Parameters
        ----------
        x, y
            (T, B) ids of the whole batch, to read and to predict.
        state
            The state before the whole batch, (B, H) arrays; zeros if None.

        Returns
        -------
        tuple
            The loss, and the state after the batch, which is zero in the rows of other workers.
        """
        T, B = x.shape
        columns = self.workers.shard(B)
        final_state = [
            {name: np.zeros((B, H), self.network.dtype) for name, H in layer.state_dims.items()}
            for layer in self.network.layers
        ]
        size = columns.stop - columns.start
        if size == 0:
            self.network.gradient[...] = 0
            return 0.0, final_state
        for masks in self.masks:
            masks.first_column, masks.num_columns = columns.start, B
        buffers, loss_buffers = self._buffers(T, size)
        own_state = state and [{name: h[columns] for name, h in of_layer.items()} for of_layer in state]
        logits = self.network.forward(x[:, columns], buffers, own_state)
        losses = self.cross_entropy.forward(logits, y[-len(logits) :, columns], loss_buffers)
        share = size / B
        loss = share * float(losses.mean(dtype=np.float64))
        self.network.backward(self.cross_entropy.backward(loss_buffers, share), buffers)
        for of_layer, own in zip(final_state, self.network.final_state(buffers)):
            for name, h in own.items():
                of_layer[name][columns] = h
        return loss, final_state

    def _buffers(self, T: int, B: int) -> tuple[Buffers, Arrays]:
        if (T, B) not in self.buffers:
            buffers = self.network.allocate(T, B)
            V, dtype = self.network.output_dim, self.network.dtype
            self.buffers[T, B] = buffers, self.cross_entropy.allocate(buffers.output_steps, B, V, dtype)
        return self.buffers[T, B]
