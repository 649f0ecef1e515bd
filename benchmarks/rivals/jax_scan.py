"""JAX: a whole training step as one jitted function, with the recurrence as a `lax.scan`."""

from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.rivals import Contender, recurrent_layers

LEARNING_RATE, BETA_1, BETA_2, EPSILON, MOMENTUM_DECAY = 0.001, 0.9, 0.999, 1e-8, 0.004


def gru(kernel, recurrent_kernel, bias, inputs):
    """Inputs (T, B, D) -> outputs (T, B, H), from a zero state."""
    # All inputs are projected before the scan. One product for each gate is faster than one for all and slices of it.
    projected = tuple(inputs @ W + b for W, b in zip(kernel, bias))
    U_r, U_z, U_c = recurrent_kernel

    def time_step(h, projected):
        a_r, a_z, a_c = projected
        r = jax.nn.sigmoid(a_r + h @ U_r)
        z = jax.nn.sigmoid(a_z + h @ U_z)
        c = jnp.tanh(a_c + (r * h) @ U_c)
        h = z * h + (1 - z) * c
        return h, h

    _, outputs = jax.lax.scan(time_step, jnp.zeros_like(projected[0][0]), projected)  # unroll > 1 is slower
    return outputs


def lstm(kernel, recurrent_kernel, bias, inputs):
    """Inputs (T, B, D) -> outputs (T, B, H), from a zero state."""
    projected = tuple(inputs @ W + b for W, b in zip(kernel, bias))
    U_o, U_i, U_f, U_g = recurrent_kernel

    def time_step(state, projected):
        (h, c), (a_o, a_i, a_f, a_g) = state, projected
        o = jax.nn.sigmoid(a_o + h @ U_o)
        i = jax.nn.sigmoid(a_i + h @ U_i)
        f = jax.nn.sigmoid(a_f + h @ U_f)
        c = f * c + i * jnp.tanh(a_g + h @ U_g)
        h = o * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros_like(projected[0][0])
    _, outputs = jax.lax.scan(time_step, (zero, zero), projected)
    return outputs


def cross_entropy(weights, x, y):
    """The mean loss, in nats, of predicting the ids y (T, B) from the ids x (T, B)."""
    outputs = weights["embedding.table"][x]
    for layer in recurrent_layers(weights):
        recurrence = gru if layer.startswith("gru") else lstm
        outputs = recurrence(*(weights[f"{layer}.{name}"] for name in ("kernel", "recurrent_kernel", "bias")), outputs)
    log_probabilities = jax.nn.log_softmax(outputs @ weights["dense.kernel"] + weights["dense.bias"])
    return -jnp.take_along_axis(log_probabilities, y[..., None], axis=-1).mean()


loss_and_gradients = jax.jit(jax.value_and_grad(cross_entropy))


def nadam_state(weights):
    """Nadam's state before the first step."""
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return {"t": jnp.float32(0), "momentum_product": jnp.float32(1), "m": zeros(weights), "v": zeros(weights)}


def momentum(t):
    """The momentum at step t."""
    return BETA_1 * (1 - 0.5 * 0.96 ** (t * MOMENTUM_DECAY))


def nadam(weights, gradients, state):
    """One update by the rule of `charrnn.optimizers.Nadam`: the new weights and the new state."""
    t = state["t"] + 1
    product = state["momentum_product"] * momentum(t)
    m = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, state["m"], gradients)
    v = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, state["v"], gradients)
    of_gradient = (1 - momentum(t)) / (1 - product)
    of_moment = momentum(t + 1) / (1 - product * momentum(t + 1))

    def moved(w, g, m, v):
        return w - LEARNING_RATE * (of_gradient * g + of_moment * m) / (jnp.sqrt(v / (1 - BETA_2**t)) + EPSILON)

    return jax.tree.map(moved, weights, gradients, m, v), {"t": t, "momentum_product": product, "m": m, "v": v}


@partial(jax.jit, donate_argnums=(0, 1))
def training_step(weights, state, x, y):
    """The new weights, the new state and the loss."""
    loss, gradients = jax.value_and_grad(cross_entropy)(weights, x, y)
    return *nadam(weights, gradients, state), loss


class JaxScan(Contender):
    """Its weights have charrnn's names and shapes."""

    def __init__(self, weights, x, y):
        self.weights = {name: jnp.array(array) for name, array in weights.items()}
        self.state = nadam_state(self.weights)
        self.x, self.y = jnp.array(x, jnp.int32), jnp.array(y, jnp.int32)

    def loss_and_gradients(self):
        loss, gradients = loss_and_gradients(self.weights, self.x, self.y)
        return float(loss), jax.device_get(gradients)

    def step(self):
        self.weights, self.state, loss = jax.block_until_ready(training_step(self.weights, self.state, self.x, self.y))
        return loss


class JaxLSTMScan(JaxScan):
    """The LSTM."""

    cell = "lstm"
