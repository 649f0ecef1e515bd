"""Keras on JAX: Embedding, GRU and Dense, in a jitted training step through Keras's stateless calls."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # read when keras is imported

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.rivals import Contender, num_gru_layers

Z_R_C = [1, 0, 2]  # positions of Keras's gates in charrnn's order, and vice versa


def from_charrnn(weights):
    """charrnn's weights in the order of the model's variables, the gates of each matrix side by side."""
    variables = [weights["embedding.table"]]
    for i in range(1, num_gru_layers(weights) + 1):
        variables += [
            np.concatenate(weights[f"gru{i}.kernel"][Z_R_C], axis=1),
            np.concatenate(weights[f"gru{i}.recurrent_kernel"][Z_R_C], axis=1),
            weights[f"gru{i}.bias"][Z_R_C].ravel(),
        ]
    return [*variables, weights["dense.kernel"], weights["dense.bias"]]


def to_charrnn(variables):
    """The inverse of `from_charrnn`."""
    table, *of_grus, dense_kernel, dense_bias = (np.asarray(variable) for variable in variables)
    weights = {"embedding.table": table, "dense.kernel": dense_kernel, "dense.bias": dense_bias}
    for i, (kernel, recurrent_kernel, bias) in enumerate(zip(of_grus[::3], of_grus[1::3], of_grus[2::3]), start=1):
        weights |= {
            f"gru{i}.kernel": np.stack(np.split(kernel, 3, axis=1))[Z_R_C],
            f"gru{i}.recurrent_kernel": np.stack(np.split(recurrent_kernel, 3, axis=1))[Z_R_C],
            f"gru{i}.bias": bias.reshape(3, -1)[Z_R_C],
        }
    return weights


class KerasOnJax(Contender):
    """The fastest of the steps that were tried.

    `train_on_batch` takes a little longer. So does reset_after=True, for which Keras has its own scan, except that they
    are about even at (128, 32, 100). An unrolled step takes minutes to compile.
    """

    def __init__(self, weights, x, y):
        V, E = weights["embedding.table"].shape
        H = weights["gru1.kernel"].shape[-1]
        T, B = x.shape
        self.model = keras.Sequential(
            [
                keras.Input((T,), batch_size=B, dtype="int32"),
                keras.layers.Embedding(V, E),
                *(
                    keras.layers.GRU(H, return_sequences=True, reset_after=self.reset_after)
                    for _ in range(num_gru_layers(weights))
                ),
                keras.layers.Dense(V),
            ]
        )
        self.model.set_weights(from_charrnn(weights))
        self.optimizer = keras.optimizers.Nadam(learning_rate=0.001)
        self.optimizer.build(self.model.trainable_variables)
        self.x, self.y = jnp.array(x.T, jnp.int32), jnp.array(y.T, jnp.int32)

        self.seeds = [variable.value for variable in self.model.non_trainable_variables]  # of dropout, which is off
        # Copies, because the step may overwrite its arguments, and the model's variables still use their memory.
        self.weights = [jnp.copy(variable.value) for variable in self.model.trainable_variables]
        self.optimizer_state = [jnp.copy(variable.value) for variable in self.optimizer.variables]
        self.backward = jax.jit(jax.value_and_grad(self._loss))
        self.training_step = jax.jit(self._training_step, donate_argnums=(0, 1))

    def _loss(self, weights, x, y):
        logits, _ = self.model.stateless_call(weights, self.seeds, x, training=True)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)

    def _training_step(self, weights, optimizer_state, x, y):
        loss, gradients = jax.value_and_grad(self._loss)(weights, x, y)
        return *self.optimizer.stateless_apply(optimizer_state, gradients, weights), loss

    def loss_and_gradients(self):
        loss, gradients = self.backward(self.weights, self.x, self.y)
        return float(loss), to_charrnn(gradients)

    def step(self):
        self.weights, self.optimizer_state, loss = jax.block_until_ready(
            self.training_step(self.weights, self.optimizer_state, self.x, self.y)
        )
        return loss
