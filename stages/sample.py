"""Stage 6, sample: generate text with the trained model, from a start string, or show what it expects next."""

import argparse
import sys
from pathlib import Path

from charrnn.config import SamplingConfig, Setting
from charrnn.errors import InputError
from charrnn.evaluation import require_predictable
from charrnn.messages import quoted
from charrnn.model_file import ModelFile
from stages.common import colour, flags, prompt
from stages.common.dynamic import having_read
from stages.common.params import PromptConfig, params_of
from stages.common.paths import Paths
from stages.common.program import run
from stages.common.samples import next_characters, samples, write
from stages.common.scoring import known_ids, left_out
from stages.common.trained import load_trained

PARAMS = (*params_of(PromptConfig, SamplingConfig), "seed")
PATHS = ("data_dir", "model_dir", "model_filename", "weights_path")
NUM_SAMPLES = Setting(1, "number of samples", "num_samples", at_least=1, at_most=10**6)
END = 200  # last characters of the text of --adapt, which a sample continues
SHOW = Setting(5, "the most probable next characters", "show", at_least=1, at_most=10**6)
WITHOUT_EFFECT_ON = {
    "interactive": ("output", "num_samples", "temperatures"),
    "show": ("num_to_generate", "temperature", "temperatures", "top_k", "top_p", "seed", "num_samples", "stop"),
    "temperatures": ("temperature",),
}


def main() -> None:
    args = arguments()
    if args.interactive:
        from stages.common.interactive import require_terminal, write_together  # which takes 0.1 s

        require_terminal()
    num_shown, num_samples = flags.parsed(SHOW, args.show), flags.parsed(NUM_SAMPLES, args.num_samples)
    settings = []
    for temperature in args.temperatures or [args.temperature]:
        args.temperature = temperature
        settings.append(flags.values(args, PARAMS))
    paths, stop = flags.paths(args), prompt.as_utf8(args.stop) or ""
    trained = load_trained(paths)
    try:
        trained.vectorizer.encode(stop)
    except InputError as error:
        raise InputError(f"--stop is {quoted(stop)}, which no sample can contain: {error}") from None

    if args.adapt is not None:
        trained, end = adapted_to(args.adapt, trained, paths)
        if args.start_string is None:
            args.start_string = end
            settings = [{**params, "start_string": end} for params in settings]

    shade = colour.wanted(args.color)
    if args.interactive:
        write_together(trained, args.start_string or "", settings[0], stop=stop, num_shown=num_shown, shade=shade)
    elif args.show is not None:
        write(next_characters(trained, settings[0]["start_string"], num_shown), args.output)
    else:
        headings = args.temperatures is not None
        pieces = samples(trained, settings, with_headings=headings, num_samples=num_samples, stop=stop, shade=shade)
        write(pieces, args.output)


def adapted_to(path: str, trained: ModelFile, paths: Paths) -> tuple[ModelFile, str]:
    """The model after it has read a text file and learned from it, and the last lines of the text."""
    ids, unknown = known_ids(trained, path)
    if unknown:
        print(left_out(unknown), file=sys.stderr)
    require_predictable(trained.model, ids, "text to learn from")
    end = trained.vectorizer.decode(ids[-END:])
    return having_read(trained, ids, paths), end.partition("\n")[2] or end


def arguments() -> argparse.Namespace:
    """The command line, with the start string wherever it comes from; raises InputError if flags contradict."""
    parser = flags.parser(__doc__, PARAMS, PATHS)
    prompt.add_arguments(parser)
    parser.add_argument("--num-samples", metavar="INT", help=f"{NUM_SAMPLES.help} (default: {NUM_SAMPLES.default})")
    parser.add_argument(
        "--adapt",
        metavar="PATH",
        help="first read this text and learn from it, so that the sample is in its style; without a start string, the "
        "sample continues the text; - is standard input",
    )
    parser.add_argument("--stop", metavar="TEXT", help="end a sample as soon as it contains this")
    parser.add_argument("--temperatures", nargs="+", metavar="FLOAT", help="sample at each of these temperatures")
    parser.add_argument("--output", type=Path, metavar="PATH", help="also write the output to this file")
    parser.add_argument(
        "--show",
        metavar="INT",
        help="print this many of the most probable next characters after the start string, with their probabilities at "
        "temperature 1, instead of a sample",
    )
    parser.add_argument(
        "--interactive",
        action="store_true",
        help="write together with the model, in a terminal: type a text, or continue TEXT; pick among the most "
        f"probable next characters (--show of them, by default {SHOW.default}), or let it write a sample from there",
    )
    colour.add_argument(parser)
    args = parser.parse_args()
    modes = [mode for mode in WITHOUT_EFFECT_ON if getattr(args, mode) not in (None, False)]
    if modes:
        flags.refuse_both(args, modes[0], WITHOUT_EFFECT_ON[modes[0]])
    args.start_string = prompt.start_string(args)
    return args


if __name__ == "__main__":
    run(main)
