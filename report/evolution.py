"""Section 2: the samples that the model wrote while it was trained."""

import re

START = re.compile(r"^(?=after epoch \d+:$)", re.MULTILINE)  # of a sample


def selected(text: str) -> tuple[str, int]:
    """Of a text of samples, the first, the one in the middle and the last; and how many there are in all."""
    samples = [sample for sample in START.split(text) if sample]
    if len(samples) <= 3:
        return text, len(samples)
    return samples[0] + samples[(len(samples) - 1) // 2] + samples[-1], len(samples)
