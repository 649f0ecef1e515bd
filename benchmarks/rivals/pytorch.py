"""PyTorch: nn.Embedding, nn.GRU or nn.LSTM, and nn.Linear, on as many threads as PyTorch chooses."""

import numpy as np
import torch
from torch import nn

from benchmarks.rivals import Contender, recurrent_layers

CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"gru": [0, 1, 2], "lstm": [1, 2, 3, 0]}  # positions of PyTorch's gates among charrnn's: i, f, g, o


class CharRNN(nn.Module):
    """Ids (T, B) -> logits (T, B, V)."""

    def __init__(self, cell: str, V: int, E: int, H: int, num_layers: int):
        super().__init__()
        self.embedding = nn.Embedding(V, E)
        self.recurrent = CELLS[cell](E, H, num_layers)
        self.dense = nn.Linear(H, V)

    def forward(self, x):
        outputs, _ = self.recurrent(self.embedding(x))
        return self.dense(outputs)


def from_charrnn(weights, cell):
    """charrnn's weights as a state dict."""
    arrays = {
        "embedding.weight": weights["embedding.table"],
        "dense.weight": weights["dense.kernel"].T,
        "dense.bias": weights["dense.bias"],
    }
    order = GATES[cell]
    for i, ours in enumerate(recurrent_layers(weights)):
        gates, D, H = weights[f"{ours}.kernel"].shape
        recurrent_bias = np.zeros((gates, H), np.float32)  # PyTorch has a second bias, redundant but for a GRU's c
        if cell == "gru":
            recurrent_bias[2] = weights[f"{ours}.recurrent_bias"]
        kernel, recurrent_kernel = (weights[f"{ours}.{name}"][order] for name in ("kernel", "recurrent_kernel"))
        arrays |= {
            f"recurrent.weight_ih_l{i}": kernel.swapaxes(1, 2).reshape(gates * H, D),
            f"recurrent.weight_hh_l{i}": recurrent_kernel.swapaxes(1, 2).reshape(gates * H, H),
            f"recurrent.bias_ih_l{i}": weights[f"{ours}.bias"][order].ravel(),
            f"recurrent.bias_hh_l{i}": recurrent_bias.ravel(),
        }
    return {name: torch.tensor(array) for name, array in arrays.items()}


def to_charrnn(arrays, cell):
    """Arrays that are named and shaped as in PyTorch's state dict, in charrnn's form."""
    weights = {
        "embedding.table": arrays["embedding.weight"],
        "dense.kernel": arrays["dense.weight"].T,
        "dense.bias": arrays["dense.bias"],
    }
    order = np.argsort(GATES[cell])
    for i in range(sum(name.startswith("recurrent.weight_hh_") for name in arrays)):
        ours, H = f"{cell}{i + 1}", arrays[f"recurrent.weight_hh_l{i}"].shape[1]
        weights |= {
            f"{ours}.kernel": arrays[f"recurrent.weight_ih_l{i}"].reshape(len(order), H, -1).swapaxes(1, 2)[order],
            f"{ours}.recurrent_kernel": arrays[f"recurrent.weight_hh_l{i}"].reshape(-1, H, H).swapaxes(1, 2)[order],
            f"{ours}.bias": arrays[f"recurrent.bias_ih_l{i}"].reshape(-1, H)[order],
        }
        if cell == "gru":
            weights[f"{ours}.recurrent_bias"] = arrays[f"recurrent.bias_hh_l{i}"].reshape(3, H)[2]
    return weights


class PyTorchNAdam(Contender):
    """PyTorch's GRU is the one with reset_after."""

    reset_after = True
    Optimizer = torch.optim.NAdam  # foreach=True is no faster, because there are few parameter arrays

    def __init__(self, weights, x, y):
        (V, E), (H, _) = weights["embedding.table"].shape, weights["dense.kernel"].shape
        self.model = CharRNN(self.cell, V, E, H, len(recurrent_layers(weights)))
        self.model.load_state_dict(from_charrnn(weights, self.cell))
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
        gradients = {name: p.grad.numpy() for name, p in self.model.named_parameters()}
        return loss, to_charrnn(gradients, self.cell)

    def step(self):
        loss = self.backward()
        self.optimizer.step()
        return loss


class PyTorchAdam(PyTorchNAdam):
    """The same with Adam."""

    Optimizer = torch.optim.Adam  # fused=True is no faster either


class PyTorchLSTMNAdam(PyTorchNAdam):
    """The LSTM, which PyTorch computes by oneDNN."""

    cell = "lstm"
    reset_after = False


class PyTorchLSTMAdam(PyTorchLSTMNAdam):
    """The same with Adam."""

    Optimizer = torch.optim.Adam
