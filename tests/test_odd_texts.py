"""Texts of every kind go through the pipeline as they are: nothing is normalized, translated, lost or too much."""

import random
import tracemalloc

import numpy as np
import pytest

from charrnn import evaluation
from charrnn.data.corpus import describe, vectorize
from charrnn.errors import InputError
from charrnn.model_file import load_model
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer, split_sizes
from charrnn.sampling import generate
from tests.stage_project import printed_by, set_up

TEXTS = {
    "emoji": "👩‍👩‍👧‍👦👍🏽🇺🇳❤️☺︎ and 🎭",
    "combining characters": "e\u0301 is not \u00e9; A\u030a \u212b; \ufb01, \u1112\u1161\u11ab \ud55c, z\u0337\u0321",
    "right to left": "שָׁלוֹם \u202bعربي\u202c \u200fabc\u200e \u2067فارسی\u2069",
    "byte-order mark": "a text\ufeff with one inside",
    "controls": "\0\x01\x1b[31m\x7f\u00ad\u200b\ufffd \t",
    "all planes": "\ud7ff\ue000\ufffe\uffff\U00010000\U000e0001\U0010ffff",
    "line ends": "a\r\nb\rc\nd\n\re\x0bf\x0cg\x85h\u2028i\u2029j\r\n\r\n",
}
ALL = "".join(TEXTS.values())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_an_odd_text_comes_back_from_its_ids(tmp_path, text):
    path, part = tmp_path / "text.txt", tmp_path / "part.npy"
    path.write_bytes(text.encode())
    about, vectorizer = describe(path)
    assert (about["characters"], about["bytes"]) == (len(text), len(text.encode()))
    vectorize(path, vectorizer, [(part, len(text))])
    assert vectorizer.decode(np.load(part)) == text
    assert vectorizer.decode(vectorizer.encode(text)) == text


def test_odd_characters_go_through_all_stages(tmp_path):
    set_up(tmp_path)
    text = "a" + "".join(random.Random(0).choices(sorted(set(ALL)), k=3000)) + ALL
    (tmp_path / "corpus.txt").write_bytes(text.encode())
    printed_by(tmp_path, "download")
    assert (tmp_path / "data/raw/input.txt").read_bytes() == text.encode()
    printed_by(tmp_path, "prepare")
    printed_by(tmp_path, "train")
    printed_by(tmp_path, "evaluate")
    vectorizer = load_model(tmp_path / "models/char_rnn.npz").vectorizer
    assert vectorizer.vocabulary == "".join(sorted(set(text)))
    parts = [np.load(tmp_path / f"data/processed/{part}.npy") for part in ("train", "validation", "test")]
    assert vectorizer.decode(np.concatenate(parts)) == text

    (tmp_path / "start.txt").write_bytes(ALL.encode() + b"\n")
    printed_by(tmp_path, "sample", "--prompt-file", "start.txt", "--num-to-generate", 200, "--output", "sample.txt")
    sample = (tmp_path / "sample.txt").read_bytes().decode()
    assert sample.startswith(ALL) and sample.endswith("\n")
    written = sample[len(ALL) : -1]
    assert len(written) == 200 and set(written) <= set(text)


@pytest.mark.parametrize(
    "convert", [TextVectorizer.encode, TextVectorizer.encode_known, lambda _, text: TextVectorizer.fit(text)]
)
@pytest.mark.parametrize("surrogate", ["\ud800", "\udbff", "\udc00", "\udfff"])
def test_a_lone_surrogate_is_no_character(convert, surrogate):
    with pytest.raises(InputError) as caught:
        convert(TextVectorizer("a🎭"), f"a🎭{surrogate}a")
    assert str(caught.value) == f"text has a lone surrogate {surrogate!r} at position 2; only characters are allowed"


def test_20_000_characters_need_no_more_memory_than_the_logits_of_a_batch(tmp_path, monkeypatch, rng):
    V, T, B = 20_000, 10, 8
    text = "".join(random.Random(0).sample([chr(0x4E00 + i) for i in range(V)], V))
    path, parts = tmp_path / "text.txt", [tmp_path / f"{i}.npy" for i in range(3)]
    path.write_text(text, encoding="utf-8")
    _, vectorizer = describe(path)
    vectorize(path, vectorizer, list(zip(parts, split_sizes(V, 0.25, 0.4))))
    train_ids, validation_ids, test_ids = (np.load(part, mmap_mode="r") for part in parts)
    assert vectorizer.decode(np.concatenate([train_ids, validation_ids, test_ids])) == text

    # What is kept for each of the V characters at each of the T·B positions of a batch outweighs all the rest.
    monkeypatch.setattr(evaluation, "LOGITS_AT_ONCE", T * B * V)
    logits = 4 * T * B * V  # bytes
    model = create_char_rnn_model(V, rng, embedding_dim=4, hidden_dim=8)
    tracemalloc.start()
    try:
        model.fit(train_ids, validation_ids, rng=rng, num_epochs=1, batch_size=B, window_size=T, stride=T, workers=1)
        evaluation.context_curve(model, test_ids[:1000], T)
        written = "".join(generate(model, vectorizer, text[:5], 20, rng=rng))
        assert logits < tracemalloc.get_traced_memory()[1] < 10 * logits
    finally:
        tracemalloc.stop()
    assert len(written) == 20 and set(written) <= set(text)
