"""Write a page that runs the trained model in any browser: one file, without a server or an internet connection.

It is not a stage of dvc.yaml. If the model's prepared text is available, the page also shows which features of the test
text the hidden state follows, and the loss of the rounded weights is measured on it.
"""

from pathlib import Path

from charrnn.config import SamplingConfig, Setting
from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.messages import counted, figure, quoted
from charrnn.model_file import ModelFile
from charrnn.storage.files import atomic_write
from playground.layers import page_layers
from playground.page import Losses, page, require_small
from playground.probes import findings
from playground.rounding import BYTES
from playground.twin import twin
from stages.common import flags, prompt
from stages.common.lock import sole_writer
from stages.common.params import params_of
from stages.common.paths import Paths
from stages.common.prepared import PreparedText, read_prepared
from stages.common.program import run
from stages.common.trained import load_trained

PARAMS = ("start_string", *params_of(SamplingConfig), "seed")
PATHS = ("data_dir", "model_dir", "model_filename", "weights_path")
PRECISION = Setting("int8", "type of the weights", "--precision", choices=tuple(BYTES))
MAX_MB = Setting(50.0, "largest page to write, in millions of bytes", "--max-mb", above=0)
SUFFIXES = (".html", ".htm")
MEASURED = 20_000  # characters of the test text


def main() -> None:
    parser = flags.parser(
        __doc__, PARAMS, PATHS, start_string="text that the page begins with", seed="seed of the samples"
    )
    for setting in (PRECISION, MAX_MB):
        metavar = "|".join(setting.choices) or "MB"
        parser.add_argument(setting.name, metavar=metavar, help=f"{setting.help} (default: {setting.default})")
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="file to write (default: playground.html in --model-dir)"
    )
    args = parser.parse_args()
    precision, max_mb = flags.parsed(PRECISION, args.precision), flags.parsed(MAX_MB, args.max_mb)
    args.start_string = prompt.as_utf8(args.start_string)
    settings, paths = flags.values(args, PARAMS), flags.paths(args)
    output = args.output or paths.trained.with_name("playground.html")
    if output.suffix.lower() not in SUFFIXES:  # it may be a slip that would replace a model file
        raise InputError(f"--output is {quoted(str(output))}; the name of a page must end in {' or '.join(SUFFIXES)}")

    with sole_writer(output):
        trained = load_trained(paths)
        require_known(trained, settings["start_string"])
        layers = page_layers(trained.model, precision)
        require_small(layers, max_mb, precision)
        prepared, found, losses = prepared_text(trained, paths), [], None
        if prepared:
            ids = prepared.ids("test")
            found = findings(trained, ids)
            ids = ids[:MEASURED]
            losses = Losses(evaluate(trained.model, ids)["loss"], evaluate(twin(layers), ids)["loss"], len(ids) - 1)
        content = page(trained, layers, precision, settings, found, losses).encode()
        with atomic_write(output) as file:
            file.write(content)
    print(f"{output}: {counted(len(content), 'byte')}; open it in a browser")
    if losses:
        print(
            f"loss with {precision} weights {figure(losses.rounded, 5)} nats per character, with the model's own "
            f"{figure(losses.exact, 5)}, over {counted(losses.characters, 'character')} of the test text"
        )


def require_known(trained: ModelFile, start_string: str) -> None:
    """Raise InputError if the start string has characters that the model does not know."""
    try:
        trained.vectorizer.encode(start_string)
    except InputError as error:
        raise InputError(f"start_string: {error}") from None


def prepared_text(trained: ModelFile, paths: Paths) -> PreparedText | None:
    """The prepared text, if there is one, the model was trained on it, and both number the characters alike."""
    if not paths.vocabulary.exists():
        return None
    prepared = read_prepared(paths)
    is_same = prepared.data == trained.data and prepared.vectorizer == trained.vectorizer
    return prepared if is_same else None


if __name__ == "__main__":
    run(main)
