"""Dynamic evaluation: how much better a model predicts its test text while it learns from it, and how long it takes.

`python -m benchmarks.dynamic FOLDER ...` reads the trained model and the prepared text of each folder in which the
pipeline has run. Learning rate and decay are those that `python -m stages.evaluate --dynamic` stores next to the model;
if there are none, they are chosen on the validation text first. Then the test text is read in both ways, in turns: some
thousand characters without learning, the same with learning. The times are CPU seconds of this process, on one BLAS
thread, because seconds on the clock would include other programs.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks import harness
from charrnn.arrays import Array
from charrnn.dynamic import read_and_learn
from charrnn.evaluation import logits_and_targets
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.model_file import load_model
from charrnn.models import Model
from charrnn.network import Network
from stages.common.dynamic import Dynamics, dynamics_of
from stages.common.paths import Paths
from stages.common.prepared import read_prepared
from stages.common.program import run


def static_losses(network: Network, ids: Array) -> Iterator[Array]:
    """The losses of the characters, some thousand at a time, as `charrnn.evaluate` computes them."""
    for logits, targets in logits_and_targets(network, ids, num_streams=1):
        cross_entropy = SparseCategoricalCrossentropy()
        yield cross_entropy.forward(logits, targets, cross_entropy.allocate(*logits.shape, logits.dtype))[:, 0]


def in_turns(model: Model, ids: Array, dynamics: Dynamics) -> dict[str, float]:
    """The mean loss of a text (n,) without and with learning, and the seconds of each."""
    losses, seconds = {"static": 0.0, "dynamic": 0.0}, {"static": 0.0, "dynamic": 0.0}

    def timed(name: str, read: Callable[[], Array]) -> Array:
        start = process_time()
        read_losses = read()
        seconds[name] += process_time() - start
        losses[name] += float(read_losses.sum(dtype=np.float64)) / (len(ids) - 1)
        return read_losses

    static = static_losses(model, ids)
    learner = Network(model.layers, model.parameters.copy())
    learning = read_and_learn(learner, ids, dynamics.mean_squares, dynamics.config)
    static_read = dynamic_read = 0
    while static_read < len(ids) - 1:
        static_read += len(timed("static", lambda: next(static)))
        while dynamic_read < static_read:
            dynamic_read += len(timed("dynamic", lambda: next(learning)[0]))
    return {f"{name}_loss": value for name, value in losses.items()} | seconds


def main() -> None:
    """Measure each folder's model, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynamic", description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="folder in which the pipeline has run")
    rows = []
    for folder in parser.parse_args().folders:
        paths = Paths(data_dir=folder / "data", model_dir=folder / "models")
        trained, ids = load_model(paths.model), read_prepared(paths).ids("test")
        dynamics = dynamics_of(trained, paths)
        figures = in_turns(trained.model, ids, dynamics)
        rows.append(
            {
                "model": folder.resolve().name,
                "parameters": f"{len(trained.model.parameters):,}",
                "learning rate": f"{dynamics.config.learning_rate:g}",
                "decay": f"{dynamics.config.decay:g}",
                "static loss": f"{figures['static_loss']:.4f}",
                "dynamic loss": f"{figures['dynamic_loss']:.4f}",
                "static": f"{figures['static']:.1f} s",
                "dynamic": f"{figures['dynamic']:.1f} s",
                "times as long": f"{figures['dynamic'] / figures['static']:.1f}",
            }
        )
    print(harness.table(rows))


if __name__ == "__main__":
    run(main)
