"""Show how the model learns to write, by a short sample after every few epochs."""

from pathlib import Path

import numpy as np

from charrnn.config import Setting
from charrnn.network import Network
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate
from charrnn.storage.files import atomic_write
from charrnn.training import Callback, TrainingState

SAMPLE_EVERY = Setting(1, "epochs between two samples of the model's text; 0 for none", "sample_every", at_least=0)
LENGTH = 150  # characters
TEMPERATURE = 0.8
SEED = 0


class Evolution(Callback):
    """Adds a sample to the training state after every `sample_every` epochs.

    Its random generator is its own, so the model is the same without it. It must be called before a checkpoint is
    saved, so that a resumed run has all samples.
    """

    def __init__(self, network: Network, vectorizer: TextVectorizer, sample_every: int) -> None:
        self.network, self.vectorizer, self.sample_every = network, vectorizer, sample_every
        # A sample begins with a line or, if the text has no line breaks, with the first character of the vocabulary.
        self.start = "\n" if "\n" in vectorizer.vocabulary else vectorizer.vocabulary[0]

    def on_epoch(self, now: TrainingState) -> None:
        epoch = len(now.history)
        if self.sample_every and epoch % self.sample_every == 0:
            rng = np.random.default_rng(SEED)
            drawn = generate(self.network, self.vectorizer, self.start, LENGTH, rng=rng, temperature=TEMPERATURE)
            now.samples.append((epoch, "".join(drawn)))


class EvolutionFile(Callback):
    """Writes all samples to a file after each epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, now: TrainingState) -> None:
        written = "\n".join(f"after epoch {epoch}:\n{sample}\n" for epoch, sample in now.samples)
        with atomic_write(self.path) as file:
            file.write(written.encode(errors="backslashreplace"))  # a checkpoint may hold anything
