"""Make a model file from a PyTorch, safetensors or ONNX file, for `python -m stages.sample --weights-path`.

A file that `python -m stages.export` wrote comes back as it was. Any other one must hold the state dict of an
nn.Embedding, one nn.GRU, nn.LSTM or nn.RNN, and an nn.Linear, and needs --vocabulary. See docs/export.md.
"""

import argparse
from pathlib import Path

from charrnn.errors import InputError
from charrnn.interop.importing import import_model
from charrnn.interop.state_dict import NONLINEARITIES
from charrnn.interop.vocabulary import read_vocabulary
from charrnn.messages import counted, quoted
from charrnn.model_file import save_model
from stages.common.lock import sole_writer
from stages.common.program import run


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m stages.import_model", description=__doc__, formatter_class=formatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to import")
    parser.add_argument(
        "--vocabulary",
        type=Path,
        metavar="PATH",
        help="file with the characters in the order of their ids: a list in a .json file, or a text of them",
    )
    parser.add_argument(
        "--nonlinearity",
        metavar="|".join(NONLINEARITIES),
        help="nonlinearity of an nn.RNN, which its file does not record (default: tanh)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="model file to write (default: FILE with the suffix .npz)"
    )
    args = parser.parse_args()
    output = args.output or args.file.with_suffix(".npz")
    if output.suffix != ".npz":
        raise InputError(f"--output is {quoted(str(output))}; the name of a model file must end in .npz")
    if args.output is None and output.exists():
        raise InputError(f"{output} exists; to overwrite it or to write another file, use --output")
    vocabulary = None if args.vocabulary is None else read_vocabulary(args.vocabulary)
    contents = import_model(args.file, vocabulary, args.nonlinearity)
    with sole_writer(output):
        save_model(output, contents)
    layers = ", ".join(type(layer).__name__ for layer in contents.model.layers)
    print(
        f"{output}: {layers}, {counted(contents.model.parameters.size, 'parameter')}; "
        f"sample from it with `python -m stages.sample --weights-path {output}`"
    )


if __name__ == "__main__":
    run(main)
