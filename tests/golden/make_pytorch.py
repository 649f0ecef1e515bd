"""Make pytorch.npz: what PyTorch computes, in float64, from the numbers that are stored beside it.

    python -m pip install torch && python tests/golden/make_pytorch.py

PyTorch has no layer for a GRU that applies the reset gate before the recurrent product, nor for one with `mogrifier`:
they are spelled out, and PyTorch differentiates them.
"""

from pathlib import Path

import numpy as np
import torch

T, B, V, E, H = 6, 3, 7, 4, 5
STEPS = 5

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
golden = {"torch_version": np.array(torch.__version__)}


def keep(prefix, **tensors):
    for name, tensor in tensors.items():
        golden[f"{prefix}/{name}"] = tensor.detach().numpy().copy()


def leaf(*shape, scale=0.5):
    return (scale * torch.randn(shape)).requires_grad_()


def gates(matrix):
    """(3H, n) as PyTorch stores it, in the order r, z, candidate -> (3, n, H) as charrnn does."""
    return matrix.reshape(3, H, -1).transpose(1, 2)


def recurrent_inputs():
    return leaf(T, B, E, scale=1.0), leaf(B, H), torch.randn(T, B, H)


def gru_reset_after():
    layer = torch.nn.GRU(E, H)
    x, h0, dy = recurrent_inputs()
    y, _ = layer(x, h0[None])
    (y * dy).sum().backward()
    parts = {}
    for suffix, of in (("", lambda w: w), ("_gradient", lambda w: w.grad)):
        b_input, b_recurrent = of(layer.bias_ih_l0).reshape(3, H), of(layer.bias_hh_l0).reshape(3, H)
        bias = b_input.clone()
        if not suffix:  # PyTorch has two biases where one is enough; only their sum matters for r and z
            bias[:2] += b_recurrent[:2]
        parts |= {
            "kernel" + suffix: gates(of(layer.weight_ih_l0)),
            "recurrent_kernel" + suffix: gates(of(layer.weight_hh_l0)),
            "bias" + suffix: bias,
            "recurrent_bias" + suffix: b_recurrent[2],
        }
    keep("gru_reset_after", x=x, h0=h0, dy=dy, y=y, dx=x.grad, dh0=h0.grad, **parts)


def gru(mogrifier=False):
    G = 4 if mogrifier else 3
    W, U, b = leaf(G, E, H), leaf(3, H, H), leaf(G, H)
    x, h0, dy = recurrent_inputs()
    h, outputs = h0, []
    for x_t in x:
        scaled = 2 * torch.sigmoid(x_t @ W[3] + b[3]) * h if mogrifier else h
        r = torch.sigmoid(x_t @ W[0] + scaled @ U[0] + b[0])
        z = torch.sigmoid(x_t @ W[1] + scaled @ U[1] + b[1])
        c = torch.tanh(x_t @ W[2] + (r * scaled) @ U[2] + b[2])
        h = z * h + (1 - z) * c
        outputs.append(h)
    y = torch.stack(outputs)
    (y * dy).sum().backward()
    keep(
        "gru_mogrifier" if mogrifier else "gru",
        x=x,
        h0=h0,
        dy=dy,
        y=y,
        dx=x.grad,
        dh0=h0.grad,
        kernel=W,
        recurrent_kernel=U,
        bias=b,
        kernel_gradient=W.grad,
        recurrent_kernel_gradient=U.grad,
        bias_gradient=b.grad,
    )


def lstm():
    def gates(matrix):
        """(4H, …) in the order i, f, g, o -> (4, …, H) in the order o, i, f, g."""
        return matrix.reshape(4, H, -1).transpose(1, 2)[[3, 0, 1, 2]]

    layer = torch.nn.LSTM(E, H)
    (x, h0, dy), c0 = recurrent_inputs(), leaf(B, H)
    y, _ = layer(x, (h0[None], c0[None]))
    (y * dy).sum().backward()
    keep(
        "lstm",
        x=x,
        h0=h0,
        c0=c0,
        dy=dy,
        y=y,
        dx=x.grad,
        dh0=h0.grad,
        dc0=c0.grad,
        kernel=gates(layer.weight_ih_l0),
        recurrent_kernel=gates(layer.weight_hh_l0),
        bias=gates(layer.bias_ih_l0 + layer.bias_hh_l0)[:, 0],
        kernel_gradient=gates(layer.weight_ih_l0.grad),
        recurrent_kernel_gradient=gates(layer.weight_hh_l0.grad),
        bias_gradient=gates(layer.bias_ih_l0.grad)[:, 0],
    )


def simple_rnn(nonlinearity):
    layer = torch.nn.RNN(E, H, nonlinearity=nonlinearity)
    x, h0, dy = recurrent_inputs()
    y, _ = layer(x, h0[None])
    (y * dy).sum().backward()
    keep(
        f"rnn_{nonlinearity}",
        x=x,
        h0=h0,
        dy=dy,
        y=y,
        dx=x.grad,
        dh0=h0.grad,
        kernel=layer.weight_ih_l0.T,
        recurrent_kernel=layer.weight_hh_l0.T,
        bias=layer.bias_ih_l0 + layer.bias_hh_l0,
        kernel_gradient=layer.weight_ih_l0.grad.T,
        recurrent_kernel_gradient=layer.weight_hh_l0.grad.T,
        bias_gradient=layer.bias_ih_l0.grad,
    )


def head():
    """Embedding, dense layer and cross-entropy."""
    table, kernel, bias = leaf(V, E), leaf(E, V), leaf(V)
    x, targets = torch.randint(V, (T, B)), torch.randint(V, (T, B))
    logits = torch.nn.functional.embedding(x, table) @ kernel + bias
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), targets.reshape(-1))
    loss.backward()
    keep(
        "head",
        x=x,
        targets=targets,
        table=table,
        kernel=kernel,
        bias=bias,
        logits=logits,
        loss=loss,
        table_gradient=table.grad,
        kernel_gradient=kernel.grad,
        bias_gradient=bias.grad,
    )


def optimizer(name, make):
    parameters, gradients = leaf(20, scale=1.0), torch.randn(STEPS, 20)
    start = parameters.detach().clone()
    rule, trace = make([parameters]), []
    for gradient in gradients:
        parameters.grad = gradient.clone()
        rule.step()
        trace.append(parameters.detach().clone())
    keep(f"optimizer/{name}", start=start, gradients=gradients, trace=torch.stack(trace))


gru_reset_after()
gru()
simple_rnn("tanh")
simple_rnn("relu")
head()
optim = torch.optim
optimizer("sgd", lambda p: optim.SGD(p, lr=0.1))
optimizer("momentum", lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
optimizer("nesterov", lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True))
optimizer("adagrad", lambda p: optim.Adagrad(p, lr=0.1))
optimizer("rmsprop", lambda p: optim.RMSprop(p, lr=0.1))
optimizer("adam", lambda p: optim.Adam(p, lr=0.1))
optimizer("adamw", lambda p: optim.AdamW(p, lr=0.1))
optimizer("nadam", lambda p: optim.NAdam(p, lr=0.1))
lstm()  # these two last, so that what is drawn before stays as it was
gru(mogrifier=True)
np.savez(Path(__file__).with_name("pytorch.npz"), **golden)
