"""Stage 6, sample: generate text with the trained model, from a start string."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from charrnn.config import SamplingConfig, Setting
from charrnn.errors import InputError
from charrnn.sampling import generate, generate_streams, until
from charrnn.storage.files import atomic_write
from stages.common import flags, prompt
from stages.common.params import PromptConfig, params_of
from stages.common.program import run
from stages.common.trained import load_trained

PARAMS = (*params_of(PromptConfig, SamplingConfig), "seed")
NUM_SAMPLES = Setting(1, "number of samples", "num_samples", at_least=1, at_most=10**6)
BETWEEN_SAMPLES = "\n" + 20 * "-" + "\n"


def main() -> None:
    parser = flags.parser(__doc__, PARAMS)
    prompt.add_arguments(parser)
    parser.add_argument("--num-samples", default="1", metavar="INT", help=f"{NUM_SAMPLES.help} (default: 1)")
    parser.add_argument("--stop", default="", metavar="TEXT", help="end a sample as soon as it contains this")
    parser.add_argument("--temperatures", nargs="+", metavar="FLOAT", help="sample at each of these temperatures")
    parser.add_argument("--output", type=Path, metavar="PATH", help="also write the output to this file")
    args = parser.parse_args()
    args.start_string = prompt.start_string(args)
    num_samples = NUM_SAMPLES.parse(args.num_samples)
    if args.temperatures and args.temperature is not None:
        raise InputError("--temperature and --temperatures are given; use only one of them")
    settings = []
    for temperature in args.temperatures or [args.temperature]:
        args.temperature = temperature
        settings.append(flags.values(args, PARAMS))

    trained, written = load_trained(flags.paths(args)), []
    for i, params in enumerate(settings):
        rng, start = np.random.default_rng(params.pop("seed")), params["start_string"]
        heading = f"temperature {params['temperature']:g}:\n" if args.temperatures else ""
        if num_samples == 1:
            samples: Iterable[Iterable[str]] = [generate(trained.model, trained.vectorizer, rng=rng, **params)]
        else:
            samples = generate_streams(trained.model, trained.vectorizer, num_streams=num_samples, rng=rng, **params)
        for j, continuation in enumerate(samples):
            written.append((BETWEEN_SAMPLES if i or j else "") + heading + start)
            print(written[-1], end="", flush=True)
            for character in until(continuation, args.stop):
                written.append(character)
                print(character, end="", flush=True)
    print()

    if args.output:
        with atomic_write(args.output) as file:
            file.write("".join([*written, "\n"]).encode())


if __name__ == "__main__":
    run(main)
