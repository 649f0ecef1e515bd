"""The textbook GRU: a matrix for each gate, batch-major arrays, and one character predicted from each window."""

import numpy as np

from benchmarks.rivals import Contender

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-8
GATES = "rzc"


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    exponentials = np.exp(a - a.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def from_charrnn(weights, dtype):
    """charrnn's weights as the textbook names them."""
    params = {"E": weights["embedding.table"], "W_hy": weights["dense.kernel"], "b_y": weights["dense.bias"]}
    for i, gate in enumerate(GATES):
        params[f"W_x{gate}"] = weights["gru1.kernel"][i]
        params[f"W_h{gate}"] = weights["gru1.recurrent_kernel"][i]
        params[f"b_{gate}"] = weights["gru1.bias"][i]
    return {name: array.astype(dtype) for name, array in params.items()}


def to_charrnn(params):
    """The inverse of `from_charrnn`."""
    return {
        "embedding.table": params["E"],
        "gru1.kernel": np.stack([params[f"W_x{gate}"] for gate in GATES]),
        "gru1.recurrent_kernel": np.stack([params[f"W_h{gate}"] for gate in GATES]),
        "gru1.bias": np.stack([params[f"b_{gate}"] for gate in GATES]),
        "dense.kernel": params["W_hy"],
        "dense.bias": params["b_y"],
    }


class Textbook(Contender):
    """It computes in float64, NumPy's default."""

    targets = "last"
    one_layer_only = True
    dtype = np.float64

    def __init__(self, weights, x, y):
        self.params = from_charrnn(weights, self.dtype)
        self.m = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.v = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.t = 0
        self.x, self.y = x.T.copy(), y[-1].copy()  # each row is a window; the one character that follows it

    def forward(self, ids):
        """Probabilities (B, V) of the character after each window of ids (B, T), and the activations of all steps."""
        p = self.params
        (B, T), H = ids.shape, len(p["W_hr"])
        x = p["E"][ids]
        h = np.zeros((B, T + 1, H), self.dtype)  # h[:, 0] is the state before the first character
        r, z, c = (np.zeros((B, T, H), self.dtype) for _ in GATES)
        for t in range(T):
            r[:, t] = sigmoid(x[:, t] @ p["W_xr"] + h[:, t] @ p["W_hr"] + p["b_r"])
            z[:, t] = sigmoid(x[:, t] @ p["W_xz"] + h[:, t] @ p["W_hz"] + p["b_z"])
            c[:, t] = np.tanh(x[:, t] @ p["W_xc"] + (r[:, t] * h[:, t]) @ p["W_hc"] + p["b_c"])
            h[:, t + 1] = z[:, t] * h[:, t] + (1 - z[:, t]) * c[:, t]
        return softmax(h[:, T] @ p["W_hy"] + p["b_y"]), (x, h, r, z, c)

    def backward(self, ids, targets, probabilities, steps):
        """The gradient of the mean loss with respect to each parameter."""
        p, (x, h, r, z, c) = self.params, steps
        gradients = {name: np.zeros_like(array) for name, array in p.items()}
        dlogits = probabilities.copy()
        dlogits[np.arange(len(targets)), targets] -= 1
        dlogits /= len(targets)
        gradients["W_hy"] = h[:, -1].T @ dlogits
        gradients["b_y"] = dlogits.sum(axis=0)
        dh = dlogits @ p["W_hy"].T

        for t in reversed(range(ids.shape[1])):
            x_t, h_t, r_t, z_t, c_t = x[:, t], h[:, t], r[:, t], z[:, t], c[:, t]  # h_t is the state before step t
            dc = dh * (1 - z_t) * (1 - c_t**2)
            dz = dh * (h_t - c_t) * z_t * (1 - z_t)
            drecalled = dc @ p["W_hc"].T
            dr = drecalled * h_t * r_t * (1 - r_t)
            dx = 0
            for gate, recurrent_input, da in [("r", h_t, dr), ("z", h_t, dz), ("c", r_t * h_t, dc)]:
                gradients[f"W_x{gate}"] += x_t.T @ da
                gradients[f"W_h{gate}"] += recurrent_input.T @ da
                gradients[f"b_{gate}"] += da.sum(axis=0)
                dx = dx + da @ p[f"W_x{gate}"].T
            np.add.at(gradients["E"], ids[:, t], dx)
            dh = dh * z_t + drecalled * r_t + dr @ p["W_hr"].T + dz @ p["W_hz"].T
        return gradients

    def adam(self, gradients):
        """Update each parameter by Adam's rule."""
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = BETA_1 * self.m[name] + (1 - BETA_1) * g
            self.v[name] = BETA_2 * self.v[name] + (1 - BETA_2) * g**2
            m_hat = self.m[name] / (1 - BETA_1**self.t)
            v_hat = self.v[name] / (1 - BETA_2**self.t)
            self.params[name] -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + EPSILON)

    def differentiate(self):
        probabilities, steps = self.forward(self.x)
        loss = -np.log(probabilities[np.arange(len(self.y)), self.y]).mean()
        return float(loss), self.backward(self.x, self.y, probabilities, steps)

    def loss_and_gradients(self):
        loss, gradients = self.differentiate()
        return loss, to_charrnn(gradients)

    def step(self):
        loss, gradients = self.differentiate()
        self.adam(gradients)
        return loss


class TextbookFloat32(Textbook):
    """The same in float32."""

    dtype = np.float32
