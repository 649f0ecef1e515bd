"""Stage 5, sample: let the trained model write, going on from a start string."""

from pathlib import Path

import numpy as np

from charrnn.files import replacing
from charrnn.sampling import generate
from charrnn.storage import load_model
from stages import cli

PARAMS = ("start_string", "num_to_generate", "temperature", "seed")


def main() -> None:
    parser = cli.parser(__doc__, PARAMS)
    parser.add_argument("start", nargs="?", metavar="TEXT", help="the start string, in place of --start-string")
    parser.add_argument("--output", type=Path, metavar="PATH", help="write the sample to this file too")
    args = parser.parse_args()
    args.start_string = args.start if args.start is not None else args.start_string
    params = cli.values(args, PARAMS)

    trained = load_model(cli.locations(args).trained)
    rng = np.random.default_rng(params.pop("seed"))
    written = [params["start_string"]]
    continuation = generate(trained.model, trained.vectorizer, rng=rng, **params)
    print(written[0], end="", flush=True)
    for character in continuation:
        written.append(character)
        print(character, end="", flush=True)
    print()

    if args.output:
        with replacing(args.output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write("".join(written) + "\n")


if __name__ == "__main__":
    cli.run(main)
