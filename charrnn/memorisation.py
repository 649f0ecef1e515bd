"""How much of a text is copied from another: does a model write new text, or repeat what it was trained on?

Passages are compared by 64-bit hashes, so that a corpus of any size can be read chunk by chunk:

    hash_n(x)_i = Σ_{k<n} v[x_{i+k}] b^k mod 2^64,   hash_{m+n}(x)_i = hash_m(x)_i + b^m hash_n(x)_{i+m}

with random numbers v for the ids and an odd b (Karp and Rabin 1987). With the second equation, all hashes for one n
take about log2(n) operations on whole arrays. Two different passages of prose collide about once in 10^19 pairs. (The
Thue-Morse sequence is an exception: its passages of 1,024 ids or more collide.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.preprocessing import release

BASE = 0x9E3779B97F4A7C15  # odd; 2^64 over the golden ratio
CHUNK = 1 << 20  # ids of the source to hash at a time
SLOTS = 1 << 20  # size of a table that quickly rules out most hashes


def copied(sample: np.ndarray, source: np.ndarray, n: int) -> np.ndarray:
    """Whether each passage of n ids in `sample` occurs in `source`: (len(sample) - n + 1,) bool."""
    # A random number for each id of the sample; the last one is for all larger ids, which occur only in the source.
    values = np.random.default_rng(0).integers(2**64, size=int(sample.max()) + 2, dtype=np.uint64)
    sample_hashes = _hashes(values, sample, n)
    wanted = np.unique(sample_hashes)
    found, in_use = np.zeros(len(wanted), bool), np.zeros(SLOTS, bool)
    in_use[wanted % SLOTS] = True
    for start in range(0, len(source) - n + 1, CHUNK):
        hashes = _hashes(values, source[start : start + CHUNK + n - 1], n)
        release(source)
        hashes = hashes[in_use[hashes % SLOTS]]
        places = np.minimum(wanted.searchsorted(hashes), len(wanted) - 1)
        found[places[wanted[places] == hashes]] = True
    return found[wanted.searchsorted(sample_hashes)]


def copying(sample: np.ndarray, source: np.ndarray, lengths: Sequence[int]) -> dict[str, float]:
    """`longest_copy`, and for each n in `lengths` the share `new_{n}_grams` of passages that are not in the source."""
    shares = {f"new_{n}_grams": new_share(sample, source, n) for n in lengths}
    return {"longest_copy": longest_copy(sample, source), **shares}


def new_share(sample: np.ndarray, source: np.ndarray, n: int) -> float:
    """The share of the passages of n ids in `sample` that do not occur in `source`."""
    return float(1 - copied(sample, source, n).mean())


def longest_copy(sample: np.ndarray, source: np.ndarray) -> int:
    """The length of the longest passage of `sample` that occurs in `source`, 0 if they share no id.

    If a passage of n ids occurs, so do all shorter passages in it, so bisection finds the length.
    """
    shortest, longest = 0, min(len(sample), len(source))
    while shortest < longest:
        n = (shortest + longest + 1) // 2
        if copied(sample, source, n).any():
            shortest = n
        else:
            longest = n - 1
    return shortest


def _hashes(values: np.ndarray, ids: np.ndarray, n: int) -> np.ndarray:
    """hash_n at each place, (len(ids) - n + 1,) uint64, given the random numbers v."""
    power, length = np.take(values, ids, mode="clip"), 1  # hash_length for length = 1, 2, 4, …
    result: Any = None
    done = 0  # result is hash_done for the bits of n seen so far
    while True:
        if n & length:
            if result is None:
                result = power
            else:
                shifted = power[done:]
                size = min(len(result), len(shifted))
                result = result[:size] + _to_the(done) * shifted[:size]
            done += length
        if done == n:
            return result[: len(ids) - n + 1]
        power = power[:-length] + _to_the(length) * power[length:]
        length *= 2


def _to_the(exponent: int) -> np.uint64:
    """BASE to the power, modulo 2^64."""
    return np.uint64(pow(BASE, exponent, 2**64))
