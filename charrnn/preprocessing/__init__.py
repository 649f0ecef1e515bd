"""From characters to mini-batches of ids: vectorizing, splitting, cutting windows and batching."""

from charrnn.preprocessing.batches import Batch, batches, require_window, stream_length, streams, windows
from charrnn.preprocessing.ids import count_ids, require_ids, require_text
from charrnn.preprocessing.memory_map import release
from charrnn.preprocessing.splitting import split_sizes
from charrnn.preprocessing.stored_vocabulary import model_description, read_vectorizer, stored_vectorizer
from charrnn.preprocessing.vectorizer import TextVectorizer, code_points

__all__ = [
    "Batch", "TextVectorizer", "batches", "code_points", "count_ids", "model_description", "read_vectorizer", "release",
    "require_ids", "require_text", "require_window", "split_sizes", "stored_vectorizer", "stream_length", "streams",
    "windows",
]  # fmt: skip
