"""The plain GRU of `examples/plain_gru.py`, one line for each equation, with one BLAS thread."""

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.rivals import Contender
from examples import plain_gru

NAMES = {
    "table": "embedding.table",
    "W": "gru1.kernel",
    "U": "gru1.recurrent_kernel",
    "b": "gru1.bias",
    "V": "dense.kernel",
    "d": "dense.bias",
}


class PlainGRU(Contender):
    """Its parameters have charrnn's shapes. Like charrnn, it computes in float32."""

    one_layer_only = True

    def __init__(self, weights, x, y):
        self.p = {name: weights[ours].copy() for name, ours in NAMES.items()}
        self.m, self.v = ({name: np.zeros_like(array) for name, array in self.p.items()} for _ in range(2))
        self.num_steps = 0
        self.x, self.y = x, y

    def loss_and_gradients(self):
        loss, gradients = plain_gru.loss_and_gradients(self.p, self.x, self.y)
        return float(loss), {ours: gradients[name] for name, ours in NAMES.items()}

    def step(self):
        self.num_steps += 1
        loss, gradients = plain_gru.loss_and_gradients(self.p, self.x, self.y)
        plain_gru.adam(self.p, gradients, self.m, self.v, self.num_steps, learning_rate=0.001)
        return loss

    def turn(self):
        return threadpool_limits(1, user_api="blas")
