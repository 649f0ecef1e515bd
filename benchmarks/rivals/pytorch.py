"""PyTorch: nn.Embedding, nn.GRU and nn.Linear, on as many threads as PyTorch chooses."""

import numpy as np
import torch
from torch import nn

from benchmarks.rivals import Contender, num_gru_layers


class CharRNN(nn.Module):
    """Ids (T, B) -> logits (T, B, V)."""

    def __init__(self, V: int, E: int, H: int, num_layers: int):
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.gru = nn.GRU(E, H, num_layers)
        self.dense = nn.Linear(H, V)

    def forward(self, x):
        outputs, _ = self.gru(self.embedding(x))
        return self.dense(outputs)


def from_charrnn(weights):
    """charrnn's weights as a state dict."""
    arrays = {
        "embedding.weight": weights["embedding.table"],
        "dense.weight": weights["dense.kernel"].T,
        "dense.bias": weights["dense.bias"],
    }
    for i in range(num_gru_layers(weights)):
        ours, theirs = f"gru{i + 1}", f"l{i}"
        gates, D, H = weights[f"{ours}.kernel"].shape
        recurrent_bias = np.zeros((gates, H), np.float32)  # PyTorch also has a redundant second bias in r and z
        recurrent_bias[2] = weights[f"{ours}.recurrent_bias"]
        arrays |= {
            f"gru.weight_ih_{theirs}": weights[f"{ours}.kernel"].swapaxes(1, 2).reshape(gates * H, D),
            f"gru.weight_hh_{theirs}": weights[f"{ours}.recurrent_kernel"].swapaxes(1, 2).reshape(gates * H, H),
            f"gru.bias_ih_{theirs}": weights[f"{ours}.bias"].ravel(),
            f"gru.bias_hh_{theirs}": recurrent_bias.ravel(),
        }
    return {name: torch.tensor(array) for name, array in arrays.items()}


def to_charrnn(arrays):
    """Arrays that are named and shaped as in PyTorch's state dict, in charrnn's form."""
    weights = {
        "embedding.table": arrays["embedding.weight"],
        "dense.kernel": arrays["dense.weight"].T,
        "dense.bias": arrays["dense.bias"],
    }
    for i in range(sum(name.startswith("gru.weight_hh_") for name in arrays)):
        ours, theirs = f"gru{i + 1}", f"l{i}"
        H = arrays[f"gru.weight_hh_{theirs}"].shape[1]
        weights |= {
            f"{ours}.kernel": arrays[f"gru.weight_ih_{theirs}"].reshape(3, H, -1).swapaxes(1, 2),
            f"{ours}.recurrent_kernel": arrays[f"gru.weight_hh_{theirs}"].reshape(3, H, H).swapaxes(1, 2),
            f"{ours}.bias": arrays[f"gru.bias_ih_{theirs}"].reshape(3, H),
            f"{ours}.recurrent_bias": arrays[f"gru.bias_hh_{theirs}"].reshape(3, H)[2],
        }
    return weights


class PyTorchNAdam(Contender):
    """PyTorch's GRU is the one with reset_after."""

    reset_after = True
    Optimizer = torch.optim.NAdam  # foreach=True is no faster, because there are few parameter arrays

    def __init__(self, weights, x, y):
        V, E = weights["embedding.table"].shape
        H = weights["gru1.kernel"].shape[-1]
        self.model = CharRNN(V, E, H, num_gru_layers(weights))
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
