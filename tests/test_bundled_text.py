"""The text that ships with the project: long enough, varied, and what the default start string needs."""

import lzma
import re
from pathlib import Path

from charrnn.preprocessing import TextVectorizer
from stages.common.params import BUNDLED_PLAY, PARAMS

TEXT = (Path(__file__).parents[1] / BUNDLED_PLAY).read_text(encoding="utf-8")


def test_length():
    assert len(TEXT) >= 120_000


def test_no_passage_of_60_characters_occurs_twice():
    spoken = re.sub(r"^[A-Z ]+:\n", "", TEXT, flags=re.MULTILINE)
    passages = [spoken[i : i + 60] for i in range(len(spoken) - 59)]
    assert len(set(passages)) == len(passages)


def test_it_is_not_filler():
    assert len(lzma.compress(TEXT.encode(), preset=9)) >= 0.3 * len(TEXT)


def test_the_default_sample_can_start_from_it():
    TextVectorizer.fit(TEXT).encode(PARAMS["start_string"].default)
