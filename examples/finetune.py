"""Fine-tune: train a model further on another text, and compare it with one that starts from random weights.

    python examples/finetune.py models/char_rnn.npz data/bundled/tide_clock.txt

prints the validation loss of both after every epoch, in nats per character; it takes less than a minute. In the
pipeline, the hyperparameter `init_from` does the same: see docs/finetuning.md.
"""

import sys
from pathlib import Path

import numpy as np

from charrnn import Model, TextVectorizer, add_characters, load_model

SETTINGS = dict(num_epochs=10, learning_rate=0.003, window_size=50, carry_state=True)
TRAINING = 0.8  # the fraction of the text that is for training; the rest is for validation


def losses(model, vectorizer, text):
    """The validation loss before training and after each epoch."""
    ids = vectorizer.encode(text)
    train_ids, validation_ids = np.split(ids, [int(TRAINING * len(ids))])
    before = model.evaluate(validation_ids)["loss"]
    history = model.fit(train_ids, validation_ids, rng=np.random.default_rng(42), **SETTINGS)
    return [before, *(row["validation_loss"] for row in history)]


def compare(trained, text):
    """The losses from random weights, and those from the weights of a trained model of the same size."""
    own = TextVectorizer.fit(text)
    both = trained.vectorizer.extended(own)  # its characters keep their ids; new ones follow
    further = add_characters(trained.model, both.vocabulary_size - trained.vectorizer.vocabulary_size)
    fresh = Model(further.layers, np.random.default_rng(42))
    new = both.vocabulary[trained.vectorizer.vocabulary_size :]
    return new, losses(fresh, both, text), losses(further, both, text)


if __name__ == "__main__":
    new, *columns = compare(load_model(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
    print(f"characters that the model did not know: {new!r}\n")
    print("| epoch | from random weights | from the model |\n|------:|--------------------:|---------------:|")
    for epoch, (fresh, further) in enumerate(zip(*columns)):
        print(f"| {epoch:5} | {fresh:19.4f} | {further:14.4f} |")
