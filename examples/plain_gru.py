"""A character-level GRU trained from scratch: every equation, forward and backward, is one line of NumPy.

    python examples/plain_gru.py [TEXT.txt]

trains for about half a minute, on data/bundled/tide_clock.txt unless given another text, and then prints a sample. The
model reads a text one character x_t at a time, keeps a state h_t, and predicts the next character. It is the gated
recurrent unit of Cho et al. (2014), arXiv 1406.1078, equations 5 to 8, between an embedding and a softmax:

    e_t = table[x_t]                                     embedding: a learned vector for each character
    r_t = σ(e_t W_r + h_{t-1} U_r + b_r)                 reset gate: how much of the past the candidate sees
    z_t = σ(e_t W_z + h_{t-1} U_z + b_z)                 update gate: how much of the past is kept
    c_t = tanh(e_t W_c + (r_t ∘ h_{t-1}) U_c + b_c)      candidate state
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ c_t                new state
    P(x_{t+1} | x_1, …, x_t) = softmax(h_t V + d)

where ∘ multiplies elementwise. Shapes: T time steps of B sequences; K different characters; D numbers in an embedding
and H in a state. The array h has T + 1 entries: h[t] is the state before x[t] is read, the h_{t-1} of the equations,
and h[t + 1] the state after it. dh stands for the gradient of the loss with respect to h. charrnn/layers/gru.py is the
fast form of the same GRU; the input that it calls x_t is e_t here.
"""

import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits


def init_parameters(K, D, H, rng, dtype=np.float32):
    """Random parameters. W, U and b each stack the parameters of r, z and c, in this order."""
    q, triangle = np.linalg.qr(rng.standard_normal((3, H, H)))
    signs = np.sign(np.diagonal(triangle, axis1=1, axis2=2))  # for a uniform distribution (Mezzadri 2007)
    p = {
        "table": rng.uniform(-0.05, 0.05, (K, D)),
        "W": rng.uniform(-1, 1, (3, D, H)) * np.sqrt(6 / (D + H)),  # Glorot and Bengio (2010), equation 16
        "U": q * signs[:, None],  # orthogonal matrices, which preserve the length of vectors
        "b": np.zeros((3, H)),
        "V": rng.uniform(-1, 1, (H, K)) * np.sqrt(6 / (H + K)),
        "d": np.zeros(K),
    }
    return {name: array.astype(dtype) for name, array in p.items()}


def sigmoid(a):
    """σ(a) = 1 / (1 + exp(-a)), in a form that cannot overflow."""
    return (1 + np.tanh(a / 2)) / 2


def log_softmax(a):
    """log(exp(a) / Σ exp(a)). Subtracting the maximum first does not change the result, and exp cannot overflow."""
    a = a - a.max(axis=-1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


def forward(p, x, h0=0):
    """The logits (T, B, K) after each character of x (T, B), starting from state h0 (B, H), and all activations."""
    (W_r, W_z, W_c), (U_r, U_z, U_c), (b_r, b_z, b_c) = p["W"], p["U"], p["b"]
    T, B, H = *x.shape, len(U_r)
    e = p["table"][x]  # (T, B, D)
    r, z, c = np.empty((3, T, B, H), e.dtype)
    h = np.empty((T + 1, B, H), e.dtype)
    h[0] = h0
    for t in range(T):
        r[t] = sigmoid(e[t] @ W_r + h[t] @ U_r + b_r)
        z[t] = sigmoid(e[t] @ W_z + h[t] @ U_z + b_z)
        c[t] = np.tanh(e[t] @ W_c + (r[t] * h[t]) @ U_c + b_c)
        h[t + 1] = z[t] * h[t] + (1 - z[t]) * c[t]
    return h[1:] @ p["V"] + p["d"], (e, r, z, c, h)


def backward(p, x, dlogits, activations):
    """Backpropagation through time: the gradients of the loss by all parameters, given that by the logits.

    Unlike dh, dr, dz and dc are gradients by the arguments of σ, σ and tanh, whose derivatives are σ (1 - σ) and
    1 - tanh²; drh is that by r ∘ h.
    """
    (W_r, W_z, W_c), (U_r, U_z, U_c), (e, r, z, c, h) = p["W"], p["U"], activations
    dr, dz, dc = np.empty((3, *r.shape), r.dtype)  # (T, B, H) each
    dh = np.zeros_like(h[0])  # no step follows the last one
    for t in reversed(range(len(x))):
        dh = dh + dlogits[t] @ p["V"].T  # logits_t = h_t V + d
        dz[t] = dh * (h[t] - c[t]) * z[t] * (1 - z[t])  # h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ c_t
        dc[t] = dh * (1 - z[t]) * (1 - c[t] ** 2)  # … + (1 - z_t) ∘ c_t
        drh = dc[t] @ U_c.T  # c_t = tanh(… + (r_t ∘ h_{t-1}) U_c + …)
        dr[t] = drh * h[t] * r[t] * (1 - r[t])  # … r_t ∘ h_{t-1} …
        dh = dh * z[t] + drh * r[t] + dr[t] @ U_r.T + dz[t] @ U_z.T  # h_{t-1} in h_t, r_t ∘ h_{t-1}, r_t and z_t

    def dmatrix(a, dy):  # y_t = a_t M, at every step and in every sequence, gives dM = Σ a_tᵀ dy_t
        return np.tensordot(a, dy, axes=([0, 1], [0, 1]))

    dtable = np.zeros_like(p["table"])
    np.add.at(dtable, x, dr @ W_r.T + dz @ W_z.T + dc @ W_c.T)  # e_t = table[x_t] in r_t, z_t and c_t
    return {
        "table": dtable,
        "W": np.array([dmatrix(e, dr), dmatrix(e, dz), dmatrix(e, dc)]),
        "U": np.array([dmatrix(h[:-1], dr), dmatrix(h[:-1], dz), dmatrix(r * h[:-1], dc)]),
        "b": np.array([dr.sum(axis=(0, 1)), dz.sum(axis=(0, 1)), dc.sum(axis=(0, 1))]),
        "V": dmatrix(h[1:], dlogits),
        "d": dlogits.sum(axis=(0, 1)),
    }


def loss_and_gradients(p, x, y, h0=0):
    """The mean cross-entropy, in nats per character, of the characters y (T, B) that follow x, and its gradients."""
    logits, activations = forward(p, x, h0)
    log_probabilities = log_softmax(logits)
    one_hot = np.eye(logits.shape[-1], dtype=logits.dtype)[y]  # (T, B, K)
    loss = -(one_hot * log_probabilities).sum() / y.size
    dlogits = (np.exp(log_probabilities) - one_hot) / y.size  # -log softmax(a)[y] has the gradient softmax(a) - one_hot
    return loss, backward(p, x, dlogits, activations)


def clip_by_global_norm(grads, max_norm):
    """The gradient, as one long vector, scaled to a norm of at most `max_norm` (Pascanu, Mikolov and Bengio 2013)."""
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    return {name: g * (max_norm / max(norm, max_norm)) for name, g in grads.items()}


def adam(p, grads, m, v, step, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Update p and its moments m and v by Kingma and Ba (2015), algorithm 1; `step` counts from 1."""
    for name, g in grads.items():
        m[name] = beta_1 * m[name] + (1 - beta_1) * g
        v[name] = beta_2 * v[name] + (1 - beta_2) * g**2
        m_hat, v_hat = m[name] / (1 - beta_1**step), v[name] / (1 - beta_2**step)
        p[name] -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


def train(p, ids, rng, steps=1200, T=100, B=32, learning_rate=0.005, max_norm=1.0, log_interval=100):
    """Train p in place; each step reads B windows of T characters from random places in the text `ids`."""
    m, v = ({name: np.zeros_like(array) for name, array in p.items()} for _ in range(2))
    losses = []
    for step in range(1, steps + 1):
        starts = rng.integers(len(ids) - T, size=B)
        windows = ids[starts + np.arange(T + 1)[:, None]]  # (T + 1, B)
        loss, grads = loss_and_gradients(p, x=windows[:-1], y=windows[1:])
        adam(p, clip_by_global_norm(grads, max_norm), m, v, step, learning_rate)
        losses.append(loss)
        if step % log_interval == 0:
            print(f"step {step:4} of {steps}: {np.mean(losses[-log_interval:]):.3f} nats per character", flush=True)


def sample(p, prompt, length, temperature, rng):
    """The ids `prompt`, followed by `length` ids drawn from the model's distribution; a low temperature is cautious."""
    ids, x, h = list(prompt), np.reshape(prompt, (-1, 1)), 0
    for _ in range(length):
        logits, (*_, states) = forward(p, x, h)
        probabilities = np.exp(log_softmax(logits[-1, 0] / temperature))
        ids.append(rng.choice(len(probabilities), p=probabilities))
        x, h = np.array([ids[-1:]]), states[-1]
    return ids


def main():
    bundled = Path(__file__).parents[1] / "data/bundled/tide_clock.txt"
    text = Path(sys.argv[1] if sys.argv[1:] else bundled).read_text(encoding="utf-8")
    characters, ids = np.unique(list(text), return_inverse=True)
    rng = np.random.default_rng(42)
    p = init_parameters(len(characters), D=16, H=128, rng=rng)
    train(p, ids, rng)
    print("\n" + "".join(characters[sample(p, ids[:1], 500, 0.7, rng)]))


if __name__ == "__main__":
    with threadpool_limits(1, user_api="blas"):  # several would wait for each other while other programs are busy
        main()
