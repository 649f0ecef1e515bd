"""Export the trained model to ONNX, PyTorch or safetensors. See docs/export.md."""

from pathlib import Path

from charrnn.config import Setting
from charrnn.interop.exporting import FORMATS, export_model
from charrnn.messages import counted
from stages.common import flags
from stages.common.lock import sole_writer
from stages.common.program import run
from stages.common.trained import load_trained

PATHS = ("model_dir", "model_filename", "weights_path")
FORMAT = Setting("onnx", "format of the file", "format", choices=tuple(FORMATS))


def main() -> None:
    parser = flags.parser(__doc__, (), PATHS)
    parser.add_argument("--format", required=True, metavar="|".join(FORMATS), help=FORMAT.help)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file to write (default: next to the model, as .onnx, .pt or .safetensors)",
    )
    args = parser.parse_args()
    paths, format = flags.paths(args), FORMAT.parse(args.format)
    output = args.output or paths.trained.with_suffix(FORMATS[format].suffix)
    trained = load_trained(paths)
    with sole_writer(output):
        size = export_model(trained, format, output)
    opened = FORMATS[format].opened_by.format(repr(str(output)))
    print(f"{output}: {counted(size, 'byte')}; open it with {opened}, see docs/export.md")


if __name__ == "__main__":
    run(main)
