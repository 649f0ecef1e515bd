"""PyTorch: nn.Embedding, nn.GRU and nn.Linear, on as many threads as PyTorch chooses."""

import numpy as np
import torch
from torch import nn


class CharRNN(nn.Module):
    """Ids (T, B) -> logits (T, B, V)."""

    def __init__(self, V: int, E: int, H: int):
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.gru = nn.GRU(E, H)
        self.dense = nn.Linear(H, V)

    def forward(self, x):
        outputs, _ = self.gru(self.embedding(x))
        return self.dense(outputs)


def from_charrnn(weights):
    """charrnn's weights as a state dict."""
    gates, E, H = weights["gru.kernel"].shape
    recurrent_bias = np.zeros((gates, H), np.float32)  # two biases in one bracket are one too many, except in n's
    recurrent_bias[2] = weights["gru.recurrent_bias"]
    arrays = {
        "embedding.weight": weights["embedding.table"],
        "gru.weight_ih_l0": weights["gru.kernel"].swapaxes(1, 2).reshape(gates * H, E),
        "gru.weight_hh_l0": weights["gru.recurrent_kernel"].swapaxes(1, 2).reshape(gates * H, H),
        "gru.bias_ih_l0": weights["gru.bias"].ravel(),
        "gru.bias_hh_l0": recurrent_bias.ravel(),
        "dense.weight": weights["dense.kernel"].T,
        "dense.bias": weights["dense.bias"],
    }
    return {name: torch.tensor(array) for name, array in arrays.items()}


def to_charrnn(arrays):
    """Arrays named and shaped as in PyTorch's state dict, as charrnn has them."""
    H = arrays["gru.weight_hh_l0"].shape[1]
    return {
        "embedding.table": arrays["embedding.weight"],
        "gru.kernel": arrays["gru.weight_ih_l0"].reshape(3, H, -1).swapaxes(1, 2),
        "gru.recurrent_kernel": arrays["gru.weight_hh_l0"].reshape(3, H, H).swapaxes(1, 2),
        "gru.bias": arrays["gru.bias_ih_l0"].reshape(3, H),
        "gru.recurrent_bias": arrays["gru.bias_hh_l0"].reshape(3, H)[2],
        "dense.kernel": arrays["dense.weight"].T,
        "dense.bias": arrays["dense.bias"],
    }


class PyTorchNAdam:
    """A rival, see `benchmarks.rivals.Rival`."""

    reset_after = True
    targets = "every"
    Optimizer = torch.optim.NAdam  # foreach=True is no faster: seven parameters are few

    def __init__(self, weights, x, y):
        V, E = weights["embedding.table"].shape
        H = weights["gru.kernel"].shape[-1]
        self.model = CharRNN(V, E, H)
        self.model.load_state_dict(from_charrnn(weights))
        self.optimizer = self.Optimizer(self.model.parameters(), lr=0.001)
        self.cross_entropy = nn.CrossEntropyLoss()
        self.x, self.y = torch.tensor(x, dtype=torch.int64), torch.tensor(y, dtype=torch.int64)

    def backward(self):
        self.optimizer.zero_grad()
        logits = self.model(self.x)
        loss = self.cross_entropy(logits.flatten(0, 1), self.y.flatten())
        loss.backward()
        return loss.item()

    def loss_and_gradients(self):
        loss = self.backward()
        return loss, to_charrnn({name: p.grad.numpy() for name, p in self.model.named_parameters()})

    def step(self):
        loss = self.backward()
        self.optimizer.step()
        return loss


class PyTorchAdam(PyTorchNAdam):
    """The same with Adam."""

    Optimizer = torch.optim.Adam  # fused=True is no faster either
