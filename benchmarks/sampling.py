"""How many characters a second charrnn and PyTorch sample, in one stream and in many at once.

Run it as `python -m benchmarks.sampling`.
"""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from benchmarks import harness
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate, generate_streams

VECTORIZER = TextVectorizer("".join(map(chr, range(48, 48 + 65))))
V, E, H = VECTORIZER.vocabulary_size, 16, 128
STREAMS = (1, 64)
LENGTH = 1000  # characters of each stream in one call
CHARRNN = "charrnn"

Contenders = dict[str, Callable[[], object]]


def charrnn_contenders(streams: int) -> Contenders:
    """charrnn's two functions, one for a single stream and one for several."""
    rng = np.random.default_rng(0)
    model = create_char_rnn_model(V, rng, embedding_dim=E, hidden_dim=H)
    if streams == 1:
        return {CHARRNN: lambda: "".join(generate(model, VECTORIZER, "A", LENGTH, rng=rng))}
    return {CHARRNN: lambda: generate_streams(model, VECTORIZER, "A", LENGTH, streams, rng=rng)}


def torch_contenders(streams: int) -> Contenders:
    """PyTorch with each of its two GRU modules, on as many threads as it chooses and on one."""
    import torch
    from torch import nn

    embedding, dense = nn.Embedding(V, E), nn.Linear(H, V)
    sequence, cell = nn.GRU(E, H), nn.GRUCell(E, H)

    def sequence_step(ids, h):
        out, h = sequence(embedding(ids)[None], h)
        return out[0], h

    def cell_step(ids, h):
        h = cell(embedding(ids), h)
        return h, h

    @torch.inference_mode()
    def sample(step, state_shape, threads):
        torch.set_num_threads(threads)
        ids, h = torch.zeros(streams, dtype=torch.long), torch.zeros(state_shape)
        drawn = []
        for _ in range(LENGTH):
            out, h = step(ids, h)
            ids = torch.multinomial(torch.softmax(dense(out), dim=-1), 1)[:, 0]
            drawn.append(ids)
        return [VECTORIZER.decode(row) for row in torch.stack(drawn, dim=1).numpy()]

    forms = {"nn.GRU": (sequence_step, (1, streams, H)), "nn.GRUCell": (cell_step, (streams, H))}
    return {
        f"PyTorch {name}, {threads} thread{'s' * (threads > 1)}": partial(sample, *form, threads)
        for name, form in forms.items()
        for threads in {torch.get_num_threads(), 1}
    }


def table(figures: Sequence[dict[str, object]]) -> str:
    """Every contender, sorted by the number of streams and then by speed."""
    return harness.table(
        [
            {
                "contender": row["contender"],
                "streams": str(row["streams"]),
                "characters/s": f"{row['characters_per_second']:,.0f}",
                "quartiles": " to ".join(f"{rate:,.0f}" for rate in row["quartiles"]),
            }
            for row in figures
        ]
    )


def main() -> None:
    """Measure, print the table, and write `results/sampling.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=harness.count, default=10, help="turns of each contender; default: 10")
    parser.add_argument("--no-write", action="store_true", help="only print the table")
    args = parser.parse_args()

    frameworks = [charrnn_contenders]
    if importlib.util.find_spec("torch"):
        frameworks.append(torch_contenders)
    else:
        print("PyTorch: skipped, because it is not installed\n")

    contenders = {
        (streams, name): contender
        for streams in STREAMS
        for framework in frameworks
        for name, contender in framework(streams).items()
    }
    timings = harness.interleaved(contenders, rounds=args.rounds, calls=3)
    figures = [
        {
            "streams": streams,
            "contender": name,
            "characters_per_second": streams * LENGTH / timing.median,
            "quartiles": [streams * LENGTH / seconds for seconds in reversed(timing.quartiles)],
        }
        for (streams, name), timing in timings.items()
    ]
    figures.sort(key=lambda row: (row["streams"], -row["characters_per_second"]))
    print(table(figures))
    if not args.no_write:
        harness.write("sampling", {"machine": harness.machine("torch"), "figures": figures})


if __name__ == "__main__":
    main()
