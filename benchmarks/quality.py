"""How well the recipes predict the last 10 % of a text, compared with n-gram models, xz and bz2.

`python -m benchmarks.quality` runs the stages `prepare` and `train` as processes, with the default params and with each
recipe in `recipes/`, and loads the models that they write. In the table

* "training" is the time of the whole train stage, including the start of Python; for n-grams, the time to count them;
* "loss" is in nats per character, from one pass over the last 10 % with carried state; with several seeds it is the
  median, with the range in parentheses;
* "× 3" is the average of the predictions of three seeds, and has their parameters and seconds together;
* "from 64" and "from 256" are the losses in windows of that many characters, each read from a zero state, averaged over
  all positions. nanoGPT and projects that build on it measure in this way, but draw the windows at random;
* the default run learns from the first 64 % of the text, the recipes from the first 90 % without the validation text;
* n-grams are counted in the first 90 % of the text, and their "parameters" are these counts. Like the networks, they
  know the vocabulary of the whole text;
* a compressor's loss is what the last 10 % adds to the compressed size of the first 90 %. xz can refer back to the
  whole text. bz2 sorts blocks of 900 kB independently of each other, so the last 10 % gains only from the text before
  it in the same block, about 104 kB of Tiny Shakespeare.

The text is Tiny Shakespeare; its results are in `results/quality.json`. With `--text greek.txt` it is another one, and
they are in `results/quality-greek.json`. What is not measured this time keeps its figures from before.
"""

import argparse
import bz2
import hashlib
import lzma
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import harness
from benchmarks.pipeline import DEFAULTS, ROOT, run_stage, set_up
from benchmarks.quality_results import NETWORKS, PUBLISHED, WINDOW_SIZES, Figures, Results, table
from charrnn import ngrams
from charrnn.activations import softmax
from charrnn.config import Value
from charrnn.data.corpus import read_text
from charrnn.evaluation import LN2, context_curve, evaluate, logits_and_targets
from charrnn.model_file import load_model
from charrnn.models import Model
from charrnn.ngrams import NGramModel
from charrnn.preprocessing import TextVectorizer
from stages.common.params import load_params
from stages.common.paths import Paths
from stages.common.program import run

TINY_SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"  # sha256
FIRST_PART = 0.9  # share of the text that models may learn from
WINDOWS = [slice(None, None, max(WINDOW_SIZES) // 8)]  # those that are read: one starts every 32 characters

ORDERS = {"uniform": 0, "unigram": 1, "bigram": 2, "5-gram": 5}
COMPRESSORS = {"xz": partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME), "bz2": bz2.compress}
RECIPES = ROOT / "recipes"
NAMES = (*ORDERS, *COMPRESSORS, *NETWORKS)
SEEDS = (42, 1, 2)  # of the recipes


class Corpus(NamedTuple):
    """A text, its ids, and the position at which its last part begins."""

    path: Path
    text: str
    vectorizer: TextVectorizer
    ids: np.ndarray
    cut: int

    @classmethod
    def read(cls, path: Path) -> "Corpus":
        """Read a UTF-8 file."""
        text = "".join(read_text(path))
        vectorizer = TextVectorizer.fit(text)
        return cls(path, text, vectorizer, vectorizer.encode(text), int(len(text) * FIRST_PART))

    @property
    def sha256(self) -> str:
        """The hash of the file."""
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
        "accuracy": float(hits.mean()) if order else None,  # the uniform model has no most probable character
        **window_losses(ngrams.context_curve(losses, max(WINDOW_SIZES), WINDOWS)),
    }


def compressor_figures(compress: Callable[[bytes], bytes], corpus: Corpus) -> Figures:
    """The loss, from what the last part adds to the compressed size of the first."""
    sizes = [len(compress(text.encode())) for text in (corpus.text[: corpus.cut], corpus.text)]
    bits = 8 * (sizes[1] - sizes[0]) / (len(corpus.text) - corpus.cut)
    return {"loss": bits * LN2}


def network_params(name: str) -> dict[str, Value]:
    """The default params, or the params of a recipe."""
    return DEFAULTS if name == "default" else load_params(RECIPES / f"{name}.yaml")


def network_figures(params: Mapping[str, Value], seed: int, corpus: Corpus, folder: Path) -> tuple[Figures, Model]:
    """Prepare and train in a folder, and predict the last part of the text."""
    shutil.copyfile(corpus.path, set_up(folder, {**params, "seed": seed}))
    run_stage("prepare", folder)
    start = time.perf_counter()
    run_stage("train", folder)
    seconds = time.perf_counter() - start
    model = load_model(folder / Paths().model).model
    last = corpus.ids[corpus.cut :]
    metrics = evaluate(model, last)
    figures: Figures = {
        "seed": seed,
        "parameters": len(model.parameters),
        "seconds": seconds,
        "loss": metrics["loss"],
        "accuracy": metrics["accuracy"],
        **window_losses(context_curve(model, last, max(WINDOW_SIZES), WINDOWS)["loss"]),
    }
    return figures, model


def average_figures(runs: Sequence[Figures], models: Sequence[Model], ids: np.ndarray) -> Figures:
    """Predict a text with the mean of the probabilities of several models, each of which has one of the runs."""
    loss = correct = 0.0
    for batches in zip(*(logits_and_targets(model, ids, num_streams=1) for model in models)):
        mean, targets = np.mean([softmax(logits) for logits, _ in batches], axis=0), batches[0][1]
        loss -= float(np.log(np.take_along_axis(mean, targets[..., None], axis=-1)).sum(dtype=np.float64))
        correct += int((mean.argmax(axis=-1) == targets).sum())
    totals = {key: sum(run[key] for run in runs) for key in ("parameters", "seconds")}
    return {**totals, "loss": loss / (len(ids) - 1), "accuracy": correct / (len(ids) - 1)}


def window_losses(curve: np.ndarray) -> Figures:
    """The mean loss in windows of each size, from the loss at each position of the largest."""
    return {f"loss_from_{size}": float(curve[:size].mean()) for size in WINDOW_SIZES}


def measured(name: str, seeds: Sequence[int], corpus: Corpus, folder: Path) -> Iterator[tuple[str, Figures]]:
    """The name of a row and the figures of one of its runs: one run for each seed, and one for their average."""
    if name in ORDERS:
        yield name, ngram_figures(ORDERS[name], corpus)
    elif name in COMPRESSORS:
        yield name, compressor_figures(COMPRESSORS[name], corpus)
    else:
        runs, models = [], []
        for seed in seeds:
            figures, model = network_figures(network_params(name), seed, corpus, folder / f"{name}-{seed}")
            runs.append(figures)
            models.append(model)
            yield name, figures
        if len(models) > 1:
            yield f"{name} × {len(models)}", average_figures(runs, models, corpus.ids[corpus.cut :])


def main() -> None:
    """Measure, print the tables, and write the results."""
    args = arguments()
    corpus = Corpus.read(args.text)
    is_known = corpus.sha256 == TINY_SHAKESPEARE
    if not is_known:
        print(f"{args.text} is not Tiny Shakespeare; do not compare its losses with published ones", file=sys.stderr)
    refuse_repetition(args)
    file = harness.RESULTS / f"{'quality' if is_known else f'quality-{args.text.stem}'}.json"
    results = Results(corpus.sha256, NAMES, file)
    with tempfile.TemporaryDirectory() as temporary:
        for name in [name for name in NAMES if name in args.only]:
            params = changed_params(name)
            for row_name, figures in measured(name, seeds_of(name, args.seeds), corpus, args.keep or Path(temporary)):
                results.add(row_name, params, figures)
                seed = f", seed {figures['seed']}" if "seed" in figures else ""
                print(f"{row_name}{seed}: loss {figures['loss']:.4f}", file=sys.stderr, flush=True)
                if not args.no_write:  # at once, because a run of hours may be interrupted
                    results.write()
    print(table(results.rows))
    if is_known:
        print("Published figures, not measured here:", harness.table(PUBLISHED), sep="\n\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.partition("\n")[0])
    text_help = "default: the text that the pipeline has downloaded"
    parser.add_argument("--text", type=Path, default=ROOT / Paths().raw, metavar="PATH", help=text_help)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=" | ".join(NAMES))
    seeds_help = f"of the networks; default: {' '.join(map(str, SEEDS))}, and {SEEDS[0]} alone for the default run"
    parser.add_argument("--seeds", type=harness.count, nargs="+", metavar="N", help=seeds_help)
    keep_help = "keep the trained pipelines in this folder, each in a new one like best-42"
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=keep_help)
    parser.add_argument("--no-write", action="store_true", help="only print the tables")
    return parser.parse_args()


def refuse_repetition(args: argparse.Namespace) -> None:
    """Exit if a network would be trained twice, or its folder exists: it might turn out only after hours."""
    networks = [f"{name}-{seed}" for name in NETWORKS if name in args.only for seed in seeds_of(name, args.seeds)]
    if len(set(networks)) < len(networks):
        sys.exit("error: a seed is given twice; each must be different")
    kept = [args.keep / network for network in networks if args.keep and (args.keep / network).exists()]
    if kept:
        sys.exit(f"error: {kept[0]} exists already; move it, or keep the pipelines in another folder")


def seeds_of(name: str, given: Sequence[int] | None) -> Sequence[int]:
    """The seeds with which a network is trained."""
    return given or (SEEDS[:1] if name == "default" else SEEDS)


def changed_params(name: str) -> dict[str, Value]:
    """The params of a network that are not the defaults; of other models, none."""
    params = network_params(name) if name in NETWORKS else {}
    return {param: value for param, value in params.items() if value != DEFAULTS[param]}


if __name__ == "__main__":
    run(main)
