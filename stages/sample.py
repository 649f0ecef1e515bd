"""Stage 5, sample: let the trained model write, going on from a start string."""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from charrnn.config import SamplingConfig, Setting
from charrnn.data.corpus import read_text
from charrnn.errors import InputError
from charrnn.sampling import generate, generate_streams, until
from charrnn.storage.files import atomic_write
from stages.common import flags
from stages.common.params import PromptConfig, params_of
from stages.common.program import run
from stages.common.trained import load_trained

PARAMS = (*params_of(PromptConfig, SamplingConfig), "seed")
BETWEEN_SAMPLES = "\n" + 20 * "-" + "\n"


def main() -> None:
    parser = flags.parser(__doc__, PARAMS)
    parser.add_argument("start", nargs="?", metavar="TEXT", help="the start string, in place of --start-string")
    parser.add_argument(
        "--prompt-file",
        metavar="PATH",
        help="read the start string from a file, less its last line end; - is standard input",
    )
    parser.add_argument("--num-samples", default="1", metavar="INT", help="write so many (default: 1)")
    parser.add_argument("--stop", default="", metavar="TEXT", help="end a sample as soon as it has written this")
    parser.add_argument("--temperatures", nargs="+", metavar="FLOAT", help="a sample with each of these temperatures")
    parser.add_argument("--output", type=Path, metavar="PATH", help="write what is printed to this file too")
    args = parser.parse_args()
    args.start_string = _start_string(args)
    num_samples = Setting(1, "", "num_samples", at_least=1, at_most=10**6).parse(args.num_samples)
    if args.temperatures and args.temperature is not None:
        raise InputError("--temperature and --temperatures are given; they exclude each other")
    settings = []
    for temperature in args.temperatures or [args.temperature]:
        args.temperature = temperature
        settings.append(flags.values(args, PARAMS))

    trained = load_trained(flags.paths(args))
    written = []

    def write(text: str) -> None:
        written.append(text)
        print(text, end="", flush=True)

    for i, params in enumerate(settings):
        rng, start = np.random.default_rng(params.pop("seed")), params["start_string"]
        heading = f"temperature {params['temperature']:g}:\n" if args.temperatures else ""
        if num_samples == 1:
            samples: Iterable[Iterable[str]] = [generate(trained.model, trained.vectorizer, rng=rng, **params)]
        else:
            samples = generate_streams(trained.model, trained.vectorizer, num_streams=num_samples, rng=rng, **params)
        for j, continuation in enumerate(samples):
            write((BETWEEN_SAMPLES if i or j else "") + heading + start)
            for character in until(continuation, args.stop):
                write(character)
    write("\n")

    if args.output:
        with atomic_write(args.output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write("".join(written))


def _start_string(args: argparse.Namespace) -> str | None:
    """What was given as an argument, as a file, or as a flag; at most one of them may be."""
    if sum(given is not None for given in (args.start, args.prompt_file, args.start_string)) > 1:
        raise InputError("the start string is given twice; TEXT, --prompt-file and --start-string exclude each other")
    if args.prompt_file is None:
        return args.start if args.start is not None else args.start_string
    return "".join(read_text(*flags.source(args.prompt_file))).removesuffix("\n").removesuffix("\r")


if __name__ == "__main__":
    run(main)
