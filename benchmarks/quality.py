"""How well what is trained here predicts the last 10 % of Tiny Shakespeare, beside models that count, xz and bz2.

`python -m benchmarks.quality` runs the real stages as processes, for the default params and for every recipe of
`benchmarks.recipes`, and loads what they leave. In the table

* "training" is the time that the whole process of the train stage takes, start of Python included; of n-grams, what it
  takes to count;
* "loss" is in nats per character: one pass over the last 10 % with nothing before it, everything in it remembered;
  with several seeds the median, and in brackets the range;
* "from 64" and "from 256" are the losses from windows of that many characters, each read with nothing before it, over
  all positions. That is how nanoGPT and those who use its code measure, though they draw windows at random;
* the default run learns from the first 64 % of the text, the recipes from the first 90 % less the validation part;
* n-grams count the first 90 % of the text, and their "parameters" are the counts they keep. All know the whole text's
  vocabulary, as the networks do;
* a compressor's loss is what the last 10 % adds to the compressed size of the first 90 %. xz can refer back to all of
  the text. bz2 sorts blocks of 900 kB that know nothing of each other, so there what the last 10 % profits from is only
  the part of its own block before it, about 104 kB in Tiny Shakespeare.
"""

import argparse
import bz2
import hashlib
import lzma
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks import harness, ngrams
from benchmarks.ngrams import NGramModel
from benchmarks.preparation import ROOT
from benchmarks.recipes import RECIPES, Recipe
from charrnn.corpus import read_text
from charrnn.evaluation import LN2, context_curve, evaluate
from charrnn.preprocessing import TextVectorizer
from charrnn.storage import load_model
from stages import cli, prepare, train
from stages.params import PARAMS

TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # sha256
FIRST_PART = 0.9  # share of the text that is learned from
WINDOW_SIZES = (64, 256)

ORDERS = {"uniform": 0, "unigram": 1, "bigram": 2, "5-gram": 5}
COMPRESSORS = {"xz": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME), "bz2": bz2.compress}
NETWORKS: dict[str, Recipe] = {"default": {}, **RECIPES}
SEVERAL_SEEDS = {"fast": (42, 1, 2), "middle": (42, 1, 2)}

NANOGPT = "[nanoGPT](https://github.com/karpathy/nanoGPT), README"
MIN_RNNS = "[Were RNNs All We Needed?](https://arxiv.org/abs/2410.01201)"
PUBLISHED = [
    {
        "model": "transformer, 4 layers, 128 wide, on a CPU",
        "loss": "1.88",
        "measured on": "20 batches of 12 windows of 64 characters, drawn at random from the last 10 %",
        "source": NANOGPT,
    },
    {
        "model": "transformer, 6 layers, 384 wide, on an A100",
        "loss": "1.4697",
        "measured on": "200 batches of 64 windows of 256, likewise; the best of several times in training",
        "source": NANOGPT,
    },
    {
        "model": "minGRU",
        "loss": "1.548",
        "measured on": "not told, but in nanoGPT's framework, so presumably likewise",
        "source": MIN_RNNS,
    },
    {
        "model": "transformer beside it",
        "loss": "1.547",
        "measured on": "not told, but in nanoGPT's framework, so presumably likewise",
        "source": MIN_RNNS,
    },
]

Figures = dict[str, float | None]
Row = Mapping[str, object]  # "name", "params" that differ from the defaults, and "runs", a list of Figures


class Corpus(NamedTuple):
    """A text, its ids, and where its last part begins."""

    path: Path
    text: str
    vectorizer: TextVectorizer
    ids: np.ndarray
    cut: int

    @classmethod
    def read(cls, path: Path) -> "Corpus":
        """That of a UTF-8 file."""
        text = "".join(read_text(path))
        vectorizer = TextVectorizer.fit(text)
        return cls(path, text, vectorizer, vectorizer.encode(text), int(len(text) * FIRST_PART))

    @property
    def sha256(self) -> str:
        """That of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def ngram_figures(order: int, corpus: Corpus) -> Figures:
    """Count n-grams in the first part, and predict the last."""
    start = time.perf_counter()
    model = NGramModel(corpus.ids[: corpus.cut], corpus.vectorizer.vocabulary_size, order)
    seconds = time.perf_counter() - start
    losses, hits = ngrams.predictions(model, corpus.ids[corpus.cut :])
    return {
        "parameters": model.size,
        "seconds": seconds,
        "loss": float(losses[-1].mean()),
        "accuracy": float(hits.mean()) if order else None,  # to the uniform model no character is the most probable
        **window_losses(ngrams.context_curve(losses, max(WINDOW_SIZES))),
    }


def compressor_figures(compress: Callable[[bytes], bytes], corpus: Corpus) -> Figures:
    """What the last part adds to the compressed size of the first."""
    sizes = [len(compress(text.encode())) for text in (corpus.text[: corpus.cut], corpus.text)]
    bits = 8 * (sizes[1] - sizes[0]) / (len(corpus.text) - corpus.cut)
    return {"loss": bits * LN2}


def network_figures(recipe: Recipe, seed: int, corpus: Corpus) -> Figures:
    """Prepare and train in a folder of their own, and predict the last part of the text."""
    params = {name: param.default for name, param in PARAMS.items()} | recipe | {"seed": seed}
    with tempfile.TemporaryDirectory() as folder:
        folders = [f"--{kind}-dir={folder}" for kind in ("data", "model", "metrics")]
        where = cli.Locations(data_dir=Path(folder), model_dir=Path(folder))
        where.raw.parent.mkdir()
        shutil.copyfile(corpus.path, where.raw)
        run_stage("prepare", *flags(params, prepare.PARAMS), *folders)
        start = time.perf_counter()
        run_stage("train", *flags(params, train.PARAMS), *folders)
        seconds = time.perf_counter() - start
        model = load_model(where.model).model
    last = corpus.ids[corpus.cut :]
    metrics = evaluate(model, last)
    return {
        "seed": seed,
        "parameters": len(model.parameters),
        "seconds": seconds,
        "loss": metrics["loss"],
        "accuracy": metrics["accuracy"],
        **window_losses(context_curve(model, last, max(WINDOW_SIZES))["loss"]),
    }


def flags(params: Recipe, names: Sequence[str]) -> list[str]:
    """Those params as a stage takes them."""
    flags = []
    for name in names:
        flag, value = name.replace("_", "-"), params[name]
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags.append(f"--{flag}={value}")
    return flags


def run_stage(name: str, *flags: str) -> None:
    """Run a stage to its end, and end with it if it fails."""
    ended = subprocess.run([sys.executable, "-m", f"stages.{name}", *flags], cwd=ROOT, stdout=subprocess.DEVNULL)
    if ended.returncode:
        sys.exit(f"error: the {name} stage ended with exit code {ended.returncode}; it must be 0")


def window_losses(curve: np.ndarray) -> Figures:
    """Means over windows of all sizes, from the loss at each position of the largest."""
    return {f"loss_from_{size}": float(curve[:size].mean()) for size in WINDOW_SIZES}


def runs(name: str, seeds: Sequence[int] | None, corpus: Corpus) -> Iterator[Figures]:
    """Measure what the row of that name shows; networks once with each of the seeds."""
    if name in ORDERS:
        yield ngram_figures(ORDERS[name], corpus)
    elif name in COMPRESSORS:
        yield compressor_figures(COMPRESSORS[name], corpus)
    else:
        for seed in seeds or SEVERAL_SEEDS.get(name, (PARAMS["seed"].default,)):
            yield network_figures(NETWORKS[name], seed, corpus)


def table(rows: Sequence[Row]) -> str:
    """A model a row: medians of its runs."""

    def cells(row):
        def middle(key, form):
            values = [run[key] for run in row["runs"] if run.get(key) is not None]
            return form.format(median(values)) if values else ""

        losses = [run["loss"] for run in row["runs"]]
        spread = f" ({min(losses):.4f} to {max(losses):.4f})" if len(losses) > 1 else ""
        return {
            "model": row["name"],
            "parameters": middle("parameters", "{:,.0f}"),
            "training": middle("seconds", "{:,.0f} s"),
            "loss": middle("loss", "{:.4f}") + spread,
            "bits per character": f"{median(losses) / LN2:.3f}",
            "accuracy": middle("accuracy", "{:.2%}"),
            **{f"from {size}": middle(f"loss_from_{size}", "{:.4f}") for size in WINDOW_SIZES},
        }

    return harness.table([cells(row) for row in rows])


def main() -> None:
    names = [*ORDERS, *COMPRESSORS, *NETWORKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.partition("\n")[0])
    default_text = ROOT / cli.Locations().raw
    parser.add_argument("--text", type=Path, default=default_text, metavar="PATH", help="default: that of the pipeline")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=" | ".join(names))
    several = "; ".join(f"{name}: {' '.join(map(str, seeds))}" for name, seeds in SEVERAL_SEEDS.items())
    seeds_help = f"of the networks; default: {PARAMS['seed'].default}, but {several}"
    parser.add_argument("--seeds", type=harness.count, nargs="+", metavar="N", help=seeds_help)
    parser.add_argument("--no-write", action="store_true", help="print the tables only")
    args = parser.parse_args()

    corpus = Corpus.read(args.text)
    if corpus.sha256 != TINY_SHAKESPEARE:
        print(f"warning: {args.text} is not Tiny Shakespeare; do not compare with what is published", file=sys.stderr)
    results = {"machine": harness.machine(), "text_sha256": corpus.sha256, "rows": []}
    for name in [name for name in names if name in args.only]:
        row = {"name": name, "params": dict(NETWORKS.get(name, {})), "runs": []}
        results["rows"].append(row)
        for figures in runs(name, args.seeds, corpus):
            row["runs"].append(figures)
            seed = f", seed {figures['seed']}" if "seed" in figures else ""
            print(f"{name}{seed}: loss {figures['loss']:.4f}", file=sys.stderr, flush=True)
            if not args.no_write:
                harness.write("quality", results)  # at once, because a run of hours may be interrupted
    print(table(results["rows"]), "Published, and not measured here:", harness.table(PUBLISHED), sep="\n\n")


if __name__ == "__main__":
    cli.run(main)
