"""Subjects of reports: small networks that nobody has trained, and texts."""

import random
from dataclasses import replace

import numpy as np

from charrnn.model_file import ModelFile
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from report.subject import Subject
from stages.common.params import PARAMS
from stages.common.training import PARAMS as OF_TRAINING

PLAY = 'ROMEO:\nWhat say\'st thou, 3 times (so "quietly")? I heard it.\n\nMERCUTIO:\nAy, ay: the moon. And so?\n\n'


def subject_of(text, layers=None, **settings):
    """A subject whose training text is the first half of a text, and whose test text is the second."""
    vectorizer = TextVectorizer.fit(text)
    sizes = {"embedding_dim": 4, "hidden_dim": 6} | settings
    model = create_char_rnn_model(vectorizer.vocabulary_size, np.random.default_rng(0), **sizes)
    params = {name: PARAMS[name].default for name in OF_TRAINING} | sizes
    data = {"corpus_sha256": 64 * "0", "train_size": 0.5, "validation_size": 0.2}
    train_ids, test_ids = np.array_split(vectorizer.encode(text), 2)
    trained = ModelFile(model, vectorizer, params, data)
    return Subject(trained, train_ids, test_ids, {}, {}, [], [], "")


def with_model(subject, model):
    """The same subject with another model."""
    return replace(subject, trained=replace(subject.trained, model=model))


def shuffled(parts, n, seed=0):
    """A text of about n characters of these parts in random order."""
    return "".join(random.Random(seed).choices(parts, k=n * len(parts) // len("".join(parts))))
