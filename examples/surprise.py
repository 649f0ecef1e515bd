"""Colour a text by how much each character surprises a trained model, as an SVG picture.

    python examples/surprise.py models/char_rnn.npz passage.txt > surprise.svg

The surprise of a character is -log₂ p, where p is the probability that the model gave it after all characters before
it: 0 bits if it was certain, 6 bits if it was one in 64. The first character is not predicted, and has no colour.
"""

import sys
from html import escape
from pathlib import Path

import numpy as np

from charrnn import load_model

CHARACTER, LINE, MARGIN = 9.0, 21, 14  # width and height in pixels
MOST = 8.0  # bits of the strongest colour
STYLE = (
    "text { font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre } "
    ".page { fill: #ffffff } .bits { fill: #d1470b }"
)


def surprise(model, ids):
    """The surprise in bits (n,) of each of n ids; NaN for the first."""
    probabilities = model.predict(ids[:-1])
    return np.append(np.nan, -np.log2(probabilities[np.arange(len(ids) - 1), ids[1:]]))


def picture(text, bits):
    """The SVG of a text whose characters have these surprises."""
    lines = text.split("\n")
    width, height = 2 * MARGIN + CHARACTER * max(map(len, lines)), 2 * MARGIN + LINE * len(lines)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
    yield f'<style>{STYLE}</style><rect class="page" width="100%" height="100%" rx="6"/>'
    start = 0
    for i, line in enumerate(lines):
        y = MARGIN + LINE * i
        for j, character in enumerate(line):
            if bits[start + j] > 0.05:
                x, opacity = MARGIN + CHARACTER * j, min(1, bits[start + j] / MOST)
                box = f'x="{x:g}" y="{y}" width="{CHARACTER:g}" height="{LINE - 2}"'
                title = f"{escape(character)}: {bits[start + j]:.2f} bits"
                yield f'<rect class="bits" {box} fill-opacity="{opacity:.2f}"><title>{title}</title></rect>'
        length = f'textLength="{CHARACTER * len(line):g}"' if line else ""
        yield f'<text x="{MARGIN}" y="{y + 15}" {length}>{escape(line)}</text>'
        start += len(line) + 1
    yield "</svg>"


if __name__ == "__main__":
    trained = load_model(sys.argv[1])
    text = Path(sys.argv[2]).read_text(encoding="utf-8").rstrip("\n")
    bits = surprise(trained.model, trained.vectorizer.encode(text))
    print("\n".join(picture(text, bits)))
    print(f"{np.nanmean(bits):.2f} bits per character", file=sys.stderr)
