"""The textbook: a matrix for each gate, a list of what each time step leaves, one character predicted from a window."""

import numpy as np

LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.9, 0.999, 1e-8
GATES = "rzc"


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softmax(a):
    exponentials = np.exp(a - a.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def from_charrnn(weights):
    """charrnn's weights as the textbook names them."""
    params = {"E": weights["embedding.table"], "W_hy": weights["dense.kernel"], "b_y": weights["dense.bias"]}
    for i, gate in enumerate(GATES):
        params[f"W_x{gate}"] = weights["gru.kernel"][i]
        params[f"W_h{gate}"] = weights["gru.recurrent_kernel"][i]
        params[f"b_{gate}"] = weights["gru.bias"][i]
    return {name: array.copy() for name, array in params.items()}


def to_charrnn(params):
    """The inverse of `from_charrnn`."""
    return {
        "embedding.table": params["E"],
        "gru.kernel": np.stack([params[f"W_x{gate}"] for gate in GATES]),
        "gru.recurrent_kernel": np.stack([params[f"W_h{gate}"] for gate in GATES]),
        "gru.bias": np.stack([params[f"b_{gate}"] for gate in GATES]),
        "dense.kernel": params["W_hy"],
        "dense.bias": params["b_y"],
    }


class Textbook:
    """A rival, see `benchmarks.rivals.Rival`."""

    reset_after = False
    targets = "last"

    def __init__(self, weights, x, y):
        self.params = from_charrnn(weights)
        self.m = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.v = {name: np.zeros_like(p) for name, p in self.params.items()}
        self.t = 0
        self.x, self.y = x.T.copy(), y[-1].copy()  # a window a row, and the one character that comes after it

    def forward(self, ids):
        """Probabilities (B, V) of the character after each window of ids (B, T), and what each time step leaves."""
        p, steps = self.params, []
        h = np.zeros((len(ids), len(p["W_hr"])), np.float32)
        for t in range(ids.shape[1]):
            x, h_before = p["E"][ids[:, t]], h
            r = sigmoid(x @ p["W_xr"] + h_before @ p["W_hr"] + p["b_r"])
            z = sigmoid(x @ p["W_xz"] + h_before @ p["W_hz"] + p["b_z"])
            c = np.tanh(x @ p["W_xc"] + (r * h_before) @ p["W_hc"] + p["b_c"])
            h = z * h_before + (1 - z) * c
            steps.append((x, h_before, r, z, c))
        return softmax(h @ p["W_hy"] + p["b_y"]), h, steps

    def backward(self, ids, targets, probabilities, h, steps):
        """The gradient of the mean loss by each parameter."""
        p = self.params
        gradients = {name: np.zeros_like(array) for name, array in p.items()}
        dlogits = probabilities.copy()
        dlogits[np.arange(len(targets)), targets] -= 1
        dlogits /= len(targets)
        gradients["W_hy"] = h.T @ dlogits
        gradients["b_y"] = dlogits.sum(axis=0)
        dh = dlogits @ p["W_hy"].T

        for t in reversed(range(len(steps))):
            x, h_before, r, z, c = steps[t]
            dc = dh * (1 - z) * (1 - c**2)
            dz = dh * (h_before - c) * z * (1 - z)
            drecalled = dc @ p["W_hc"].T
            dr = drecalled * h_before * r * (1 - r)
            dx = 0
            for gate, recurrent_input, da in [("r", h_before, dr), ("z", h_before, dz), ("c", r * h_before, dc)]:
                gradients[f"W_x{gate}"] += x.T @ da
                gradients[f"W_h{gate}"] += recurrent_input.T @ da
                gradients[f"b_{gate}"] += da.sum(axis=0)
                dx = dx + da @ p[f"W_x{gate}"].T
            np.add.at(gradients["E"], ids[:, t], dx)
            dh = dh * z + drecalled * r + dr @ p["W_hr"].T + dz @ p["W_hz"].T
        return gradients

    def adam(self, gradients):
        """Move each parameter by Adam's rule."""
        self.t += 1
        for name, g in gradients.items():
            self.m[name] = BETA_1 * self.m[name] + (1 - BETA_1) * g
            self.v[name] = BETA_2 * self.v[name] + (1 - BETA_2) * g**2
            m_hat = self.m[name] / (1 - BETA_1**self.t)
            v_hat = self.v[name] / (1 - BETA_2**self.t)
            self.params[name] -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + EPSILON)

    def differentiate(self):
        probabilities, h, steps = self.forward(self.x)
        loss = -np.log(probabilities[np.arange(len(self.y)), self.y]).mean()
        return float(loss), self.backward(self.x, self.y, probabilities, h, steps)

    def loss_and_gradients(self):
        loss, gradients = self.differentiate()
        return loss, to_charrnn(gradients)

    def step(self):
        loss, gradients = self.differentiate()
        self.adam(gradients)
        return loss
