"""A model of charrnn in PyTorch: load what `python -m stages.export --format pytorch` wrote, and measure a text.

Run it: `python examples/pytorch_module.py models/char_rnn.pt data/bundled/tide_clock.txt`. The loss is that of
`python -m stages.evaluate --text data/bundled/tide_clock.txt`: both leave out characters that the model does not know.
To train it further, save `model.state_dict()` and bring it back with `python -m stages.import_model`.
"""

import sys
from pathlib import Path

import torch
from torch import nn


class CharRNN(nn.Module):
    """Ids (T, B) -> logits (T, B, V), and the state after them; `layers` describes charrnn's layers, as in the file."""

    def __init__(self, layers):
        super().__init__()
        recurrent = [layer for layer in layers if "hidden_dim" in layer]
        V, E, H = layers[0]["input_dim"], layers[0]["output_dim"], recurrent[0]["hidden_dim"]
        kind = {"GRU": nn.GRU, "LSTM": nn.LSTM, "SimpleRNN": nn.RNN}[recurrent[0]["class"]]
        options = {"nonlinearity": recurrent[0]["activation"]} if "activation" in recurrent[0] else {}
        has_projection, tied = len(layers) - len(recurrent) == 3, layers[-1]["class"] == "TiedDense"
        self.embedding = nn.Embedding(V, E)
        self.rnn = kind(E, H, num_layers=len(recurrent), **options)
        self.projection = nn.Linear(H, E) if has_projection else nn.Identity()
        self.output = nn.Linear(E if has_projection else H, V)
        if tied:
            self.output.weight = self.embedding.weight

    def forward(self, ids, state=None):
        y, state = self.rnn(self.embedding(ids), state)
        return self.output(self.projection(y)), state


def load(path):
    """The module, and the vocabulary: a list of characters."""
    checkpoint = torch.load(path, weights_only=True)
    model = CharRNN(checkpoint["layers"])
    model.load_state_dict(checkpoint["state_dict"])
    return model, checkpoint["vocabulary"]


if __name__ == "__main__":
    model, vocabulary = load(sys.argv[1])
    id_of = {character: id for id, character in enumerate(vocabulary)}
    text = Path(sys.argv[2]).read_bytes().decode()
    ids = torch.tensor([[id_of[character]] for character in text if character in id_of])
    with torch.no_grad():
        logits, _ = model(ids[:-1])
    print(f"loss {nn.functional.cross_entropy(logits[:, 0], ids[1:, 0]):.4f} nats per character")
