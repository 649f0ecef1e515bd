"""A recurrent layer of your own: the minGRU of Feng et al. (2024), arXiv 2410.01201, checked, trained and stored.

    z_t = σ(x_t W_z),  c_t = x_t W_c,  h_t = h_{t-1} + z_t ∘ (c_t - h_{t-1})

Run it: `python examples/own_layer.py`. It trains with one worker, because others can't import a layer from a script."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn import Dense, Embedding, Layer, Model, ModelFile, TextVectorizer, gradient_check, load_model, save_model
from charrnn.activations import sigmoid, sigmoid_backward
from charrnn.arrays import Arrays


@dataclass(frozen=True)
class MinGRU(Layer):
    input_dim: int  # x is (T, B, input_dim)
    output_dim: int  # y and the state h are (T, B, output_dim)
    state_dims = property(lambda self: {"h": self.output_dim})

    def shapes(self):
        return {"W": (2, self.input_dim, self.output_dim)}

    def init(self, p, rng):
        p.W[...] = rng.normal(0, self.input_dim**-0.5, p.W.shape)

    def allocate(self, T, B, dtype):
        return Arrays(h=np.empty((T + 1, B, self.output_dim), dtype), dh=np.empty((B, self.output_dim), dtype))

    def forward(self, p, x, buffers):
        buffers.z, buffers.c = sigmoid(x @ p.W[0]), x @ p.W[1]
        for h_before, h, z, c in zip(buffers.h[:-1], buffers.h[1:], buffers.z, buffers.c):
            h[...] = h_before + z * (c - h_before)
        return buffers.h[1:]

    def backward(self, p, grad, x, dy, buffers):
        z, dh, dz, dc = buffers.z, buffers.dh, np.empty_like(dy), np.empty_like(dy)
        dh[...] = 0
        for t in reversed(range(len(x))):
            dh += dy[t]
            dz[t], dc[t] = dh * (buffers.c[t] - buffers.h[t]), dh * z[t]  # h[t] is h_{t-1}: h[0] is the incoming state
            dh *= 1 - z[t]
        da = np.stack([sigmoid_backward(z, dz), dc])  # for x W_z and x W_c
        grad.W[...] = np.einsum("tbd,gtbh->gdh", x, da)
        return np.einsum("gtbh,gdh->tbd", da, p.W)


if __name__ == "__main__":
    rng = np.random.default_rng(42)
    gradient_check(MinGRU(4, 5), rng)
    text = (Path(__file__).parents[1] / "data/bundled/tide_clock.txt").read_text(encoding="utf-8")
    vectorizer = TextVectorizer.fit(text)
    ids, V = vectorizer.encode(text), vectorizer.vocabulary_size
    model = Model([Embedding(V, 32), MinGRU(32, 128), Dense(128, V)], rng)
    model.fit(ids[:40_000], ids[40_000:50_000], rng=rng, num_epochs=3, learning_rate=0.01, workers=1)
    save_model("min_gru.npz", ModelFile(model, vectorizer, params={}, data={}))
    print(load_model("min_gru.npz", own_layers=[MinGRU]).model.evaluate(ids[-10_000:]))
