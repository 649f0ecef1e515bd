"""Five habits of training, each with and without, in short runs: the tables of docs/learning.md.

    python examples/lessons.py [--record]

trains on data/bundled/tide_clock.txt, on one core, some 20 seconds for each habit, and prints the validation losses
after two epochs, in nats per character, for three seeds. --record also writes the tables to examples/lessons.json,
which a test compares with the page. Other kinds of processors round differently, so your last digits may differ from
the page's; the runs that blow up may differ altogether.
"""

import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from charrnn import GRU, Callback, Dense, DivergenceError, Embedding, Model, SimpleRNN, TextVectorizer
from charrnn.activations import softmax
from charrnn.initializers import glorot_uniform, orthogonal, random_uniform
from charrnn.preprocessing import windows

D, H = 16, 32  # widths of the embedding and of the state
T, B = 50, 32  # characters in a window, windows in a batch
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Text:
    """The ids of a text, in two parts, and V, the number of different characters."""

    train: np.ndarray
    validation: np.ndarray
    V: int


class Watch(Callback):
    """Notes the loss of every batch, and the norm of its gradient before clipping."""

    def __init__(self):
        self.losses, self.norms, self.total = [], [], 0.0

    def on_batch(self, now, loss):
        before = self.total if now.batch > 1 else 0.0  # the sum starts again in every epoch
        self.total = now.total_norm
        self.losses.append(loss)
        self.norms.append(self.total - before)


def network(text, *recurrent):
    """The layers of a network: an embedding, these recurrent layers, and a dense layer."""
    return [Embedding(text.V, D), *recurrent, Dense(H, text.V)]


def train(text, layers, **settings):
    """Train with each seed: the validation losses after the last epoch as text, and a Watch for each seed."""
    losses, watches = [], []
    settings = dict(window_size=T, stride=T, batch_size=B, num_epochs=2, workers=1) | settings
    for seed in SEEDS:
        watch, rng = Watch(), np.random.default_rng(seed)
        try:
            model = Model(layers, np.random.default_rng(seed))
            history = model.fit(text.train, text.validation, rng=rng, callbacks=[watch], **settings)
            losses.append(f"{history[-1]['validation_loss']:.2f}")
        except DivergenceError:
            losses.append("diverged")
        watches.append(watch)
    return ", ".join(losses), watches


def short(number):
    """Two significant digits, as in 0.0017, 930 and 2.5e+06."""
    return f"{float(f'{number:.2g}'):g}"


def frequencies_loss(text):
    """The validation loss of a model that only knows how frequent each character is, with 1 added to each count."""
    counts = 1 + np.bincount(text.train, minlength=text.V)
    return -np.log(counts / counts.sum())[text.validation].mean()


def first_batch(text):
    """Windows from all over the text: x and y, both (T, B)."""
    starts = np.linspace(0, len(text.train) - T - 1, B, dtype=int)
    chosen = windows(text.train, T, stride=1)[starts].T
    return chosen[:-1], chosen[1:]


def deep_network(text, limit, scale):
    """Three GRU layers, with entries of the embedding within ±limit, and multiples of Glorot's weights."""

    def scaled(shape, rng):
        return scale * glorot_uniform(shape, rng)

    embedding = Embedding(text.V, D, initializer=partial(random_uniform, limit=limit))
    recurrent = [GRU(width, H, initializer=scaled) for width in (D, H, H)]
    return [embedding, *recurrent, Dense(H, text.V, initializer=scaled)]


def glorot(text):
    """Three GRU layers with multiples of Glorot's weights, after a narrow and a wide embedding."""
    x, _ = first_batch(text)
    for limit in (0.05, 1.73):  # the library's default, and the one with the variance 1
        for scale in (0.1, 1, 3, 10):
            layers = deep_network(text, limit, scale)
            untrained = Model(layers, np.random.default_rng(SEEDS[0]))
            buffers = untrained.allocate(*x.shape)
            untrained.forward(x, buffers)
            losses, watches = train(text, layers, learning_rate=0.005)
            yield {
                "embedding": f"within ±{limit}",
                "weights": f"{scale} × Glorot",
                **{f"size of h, layer {i}": short(np.std(buffers.layers[i].h[1:])) for i in (1, 2, 3)},
                "first loss": f"{watches[0].losses[0]:.2f}",
                "after training": losses,
            }


def gradient_norms(model, x, y, distances):
    """The mean norm of the gradient with respect to h, k steps before a prediction, as a multiple of that at k = 0."""
    norms, (steps, sequences) = [], x.shape
    for k in distances:
        before, after = model.allocate(steps - k, sequences), model.allocate(k, sequences)
        model.forward(x[:-k], before)
        logits = model.forward(x[-k:], after, model.final_state(before))
        dlogits = np.zeros_like(logits)
        dlogits[-1] = softmax(logits[-1]) - np.eye(model.output_dim)[y[-1]]  # no loss at the other steps
        model.backward(dlogits, after)
        dh_last, dh = dlogits[-1] @ model.p[-1].kernel.T, after.layers[1].dh
        norms.append(np.mean(np.linalg.norm(dh, axis=1) / np.linalg.norm(dh_last, axis=1)))
    return norms


def recurrent_weights(text):
    """A simple RNN with orthogonal recurrent weights, and with Gaussian ones of standard deviation σ."""

    def gaussian(shape, rng, scale):
        return rng.normal(0, scale / np.sqrt(H), shape)

    distances = (1, 10, 20, 40)
    draws = {"orthogonal": orthogonal}
    draws |= {f"Gaussian, σ = {scale} / √H": partial(gaussian, scale=scale) for scale in (0.5, 1, 2, 3)}
    for name, draw in draws.items():
        layers = network(text, SimpleRNN(D, H, recurrent_initializer=draw))
        untrained = Model(layers, np.random.default_rng(SEEDS[0]), np.float64)
        norms = gradient_norms(untrained, *first_batch(text), distances)
        losses, _ = train(text, layers, learning_rate=0.005)
        yield {
            "recurrent weights": name,
            **{f"{k} back": short(norm) for k, norm in zip(distances, norms)},
            "after training": losses,
        }


def clipping(text):
    """A GRU at high learning rates of two optimizers, with and without clipping."""
    for optimizer, rate in (("sgd", 3), ("sgd", 6), ("sgd", 10), ("nadam", 0.03), ("nadam", 0.1)):
        for clip_norm in (0, 0.3):
            settings = dict(optimizer=optimizer, learning_rate=rate, clip_norm=clip_norm)
            losses, watches = train(text, network(text, GRU(D, H)), **settings)
            yield {
                "optimizer": optimizer,
                "learning rate": f"{rate}",
                "clipped at": f"{clip_norm or 'no'}",
                "largest norm": short(max(max(watch.norms) for watch in watches)),
                "after training": losses,
            }


def carried_state(text):
    """A GRU that reads windows from a zero state, in random order, or in order from the state before."""
    for window_size in (5, 20, 100):
        settings = dict(window_size=window_size, stride=window_size, learning_rate=0.005)
        yield {
            "characters in a window": f"{window_size}",
            "zero state": train(text, network(text, GRU(D, H)), **settings)[0],
            "carried state": train(text, network(text, GRU(D, H)), carry_state=True, **settings)[0],
        }


def warm_up(text):
    """Two GRU layers at high learning rates of Adam, without a warm-up and with one over 40 batches."""
    for rate in (0.01, 0.03, 0.1):
        settings = dict(optimizer="adam", learning_rate=rate)
        layers = network(text, GRU(D, H), GRU(H, H))
        yield {
            "learning rate": f"{rate}",
            "no warm-up": train(text, layers, **settings)[0],
            "40 batches": train(text, layers, warmup_batches=40, **settings)[0],
        }


LESSONS = {lesson.__name__: lesson for lesson in (glorot, recurrent_weights, clipping, carried_state, warm_up)}


def table(rows):
    """A Markdown table of rows, dicts of text with the same keys: the first column flush left, the others right."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [[cell.rjust(width) for cell, width in zip(row, widths)] for row in cells]
    for line, row in zip(lines, cells):
        line[0] = row[0].ljust(widths[0])
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])


def bundled_text():
    """The play that comes with the project; its last fifth is for validation."""
    text = (Path(__file__).parents[1] / "data/bundled/tide_clock.txt").read_text(encoding="utf-8")
    vectorizer = TextVectorizer.fit(text)
    ids = vectorizer.encode(text)
    cut = len(ids) * 4 // 5
    return Text(ids[:cut], ids[cut:], vectorizer.vocabulary_size)


if __name__ == "__main__":
    text = bundled_text()
    record = {"frequencies": f"{frequencies_loss(text):.2f}"}
    print(f"A model that only knows how frequent each character is: {record['frequencies']}\n", flush=True)
    for name, lesson in LESSONS.items():
        record[name] = list(lesson(text))
        print(f"{lesson.__doc__}\n\n{table(record[name])}\n", flush=True)
    if sys.argv[1:] == ["--record"]:
        path = Path(__file__).with_suffix(".json")
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
