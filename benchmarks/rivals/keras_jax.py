"""Keras on JAX: Embedding, GRU or LSTM, and Dense, in a jitted training step through Keras's stateless calls."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.rivals import Contender, recurrent_layers

GATES = {"gru": [1, 0, 2], "lstm": [1, 2, 3, 0]}  # positions of Keras's gates among charrnn's: z, r, c and i, f, g, o


def from_charrnn(weights, cell):
    """charrnn's weights in the order of the model's variables, the gates of each matrix side by side."""
    variables, order = [weights["embedding.table"]], GATES[cell]
    for layer in recurrent_layers(weights):
        variables += [
            np.concatenate(weights[f"{layer}.kernel"][order], axis=1),
            np.concatenate(weights[f"{layer}.recurrent_kernel"][order], axis=1),
            weights[f"{layer}.bias"][order].ravel(),
        ]
    return [*variables, weights["dense.kernel"], weights["dense.bias"]]


def to_charrnn(variables, cell):
    """The inverse of `from_charrnn`."""
    table, *recurrent, dense_kernel, dense_bias = (np.asarray(variable) for variable in variables)
    weights = {"embedding.table": table, "dense.kernel": dense_kernel, "dense.bias": dense_bias}
    order = np.argsort(GATES[cell])
    for i, (kernel, recurrent_kernel, bias) in enumerate(zip(recurrent[::3], recurrent[1::3], recurrent[2::3])):
        weights |= {
            f"{cell}{i + 1}.kernel": np.stack(np.split(kernel, len(order), axis=1))[order],
            f"{cell}{i + 1}.recurrent_kernel": np.stack(np.split(recurrent_kernel, len(order), axis=1))[order],
            f"{cell}{i + 1}.bias": bias.reshape(len(order), -1)[order],
        }
    return weights


class KerasOnJax(Contender):
    """The fastest of the steps that were tried.

    `train_on_batch` takes a little longer. So does reset_after=True, for which Keras has its own scan, except that they
    are about even at (128, 32, 100). An unrolled step takes minutes to compile.
    """

    def __init__(self, weights, x, y):
        (V, E), (H, _) = weights["embedding.table"].shape, weights["dense.kernel"].shape
        T, B = x.shape
        self.model = keras.Sequential(
            [
                keras.Input((T,), batch_size=B, dtype="int32"),
                keras.layers.Embedding(V, E),
                *(self._layer(H) for _ in recurrent_layers(weights)),
                keras.layers.Dense(V),
            ]
        )
        self.model.set_weights(from_charrnn(weights, self.cell))
        self.optimizer = keras.optimizers.Nadam(learning_rate=0.001)
        self.optimizer.build(self.model.trainable_variables)
        self.x, self.y = jnp.array(x.T, jnp.int32), jnp.array(y.T, jnp.int32)

        self.seeds = [variable.value for variable in self.model.non_trainable_variables]  # of dropout, which is off
        # Copies, because the step may overwrite its arguments, and the model's variables still use their memory.
        self.weights = [jnp.copy(variable.value) for variable in self.model.trainable_variables]
        self.optimizer_state = [jnp.copy(variable.value) for variable in self.optimizer.variables]
        self.backward = jax.jit(jax.value_and_grad(self._loss))
        self.training_step = jax.jit(self._training_step, donate_argnums=(0, 1))

    def _layer(self, H):
        return keras.layers.GRU(H, return_sequences=True, reset_after=False)

    def _loss(self, weights, x, y):
        logits, _ = self.model.stateless_call(weights, self.seeds, x, training=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)

    def _training_step(self, weights, optimizer_state, x, y):
        loss, gradients = jax.value_and_grad(self._loss)(weights, x, y)
        return *self.optimizer.stateless_apply(optimizer_state, gradients, weights), loss

    def loss_and_gradients(self):
        loss, gradients = self.backward(self.weights, self.x, self.y)
        return float(loss), to_charrnn(gradients, self.cell)

    def step(self):
        self.weights, self.optimizer_state, loss = jax.block_until_ready(
            self.training_step(self.weights, self.optimizer_state, self.x, self.y)
        )
        return loss


class KerasLSTMOnJax(KerasOnJax):
    """The LSTM."""

    cell = "lstm"

    def _layer(self, H):
        return keras.layers.LSTM(H, return_sequences=True)
