"""How long a training step takes, in charrnn and elsewhere: `python -m benchmarks.training`.

A step is forward pass, loss, backward pass and update of the weights, without clipping, on a batch that is already in
memory. Every contender starts from the same weights and batch, and is timed only if it computes the same loss and
gradients as charrnn with one worker. "charrnn" itself has the default number of workers. The optimizer is Adam in the
plain GRU, in the textbook and where a name says so, and otherwise Nadam. In the table

* "relative" is the time of a step divided by the time of charrnn's step with the same cell, GRU or LSTM;
* "predictions/s" counts predicted characters. The textbook predicts one character from each window. All others predict
  one at each time step, so each of their steps learns from T times as many;
* "of floor" is the time that the multiply-adds of the step would take at the speed of a large matrix product on all
  cores, measured in the same rounds, divided by the time of the step.
"""

import argparse
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks import harness
from benchmarks.rivals import RIVALS, Contender
from benchmarks.step import SHAPES, Charrnn, E, Shape, V, random_batch

CALLS = 5  # timed steps of a contender in each round
WARM_UP = 3  # untimed steps before them: the first after a pause take longer, and training takes thousands in a row
TOLERANCE = 1e-5  # of the loss and of the norm of each gradient; another order of sums makes a difference of 1e-6

CHARRNN = {
    "charrnn": Charrnn,
    "charrnn, reset_after": partial(Charrnn, reset_after=True),
    "charrnn, one worker": partial(Charrnn, num_workers=1),
    "charrnn LSTM": partial(Charrnn, cell="lstm"),
    "charrnn LSTM, one worker": partial(Charrnn, cell="lstm", num_workers=1),
}
REFERENCES = {"gru": "charrnn", "lstm": "charrnn LSTM"}  # that others with the same cell are compared with
SHAPE_HELP = f"or 2xH,B,T for two layers; may be repeated; default: {len(SHAPES)} shapes"
IN_SUMMARY = (
    "charrnn", "charrnn, one worker", "PyTorch, NAdam", "JAX", "Keras", "plain GRU",
    "charrnn LSTM", "PyTorch LSTM, NAdam", "JAX LSTM", "Keras LSTM",
)  # fmt: skip


def installed(names: Sequence[str]) -> dict[str, type[Contender]]:
    """The rivals whose packages are installed; prints the names of the others to standard error."""
    rivals = {}
    for name in names:
        try:
            rivals[name] = pkgutil.resolve_name(RIVALS[name])
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, because {error.name} is not installed", file=sys.stderr)
    return rivals


def require_agreement(what: str, contender: Contender, reference: Charrnn) -> None:
    """Exit unless the contender computes the same loss and gradients as the reference."""
    loss, gradients = contender.loss_and_gradients()
    expected_loss, expected = reference.loss_and_gradients()
    if gradients.keys() != expected.keys():
        raise SystemExit(f"{what}: the gradients are {sorted(gradients)}; they must be {sorted(expected)}")
    pairs = {"loss": (loss, expected_loss)} | {name: (gradients[name], expected[name]) for name in expected}
    for name, (value, reference_value) in pairs.items():
        difference = np.linalg.norm(value - reference_value) / np.linalg.norm(reference_value)
        if not difference <= TOLERANCE:  # not `>`, because it may be NaN
            raise SystemExit(
                f"{what}: {name} differs from charrnn's by {difference:.1e}; at most {TOLERANCE} is allowed"
            )


def contenders_at(shape: Shape, ours: Sequence[str], rivals: Mapping[str, type[Contender]]) -> dict[str, Contender]:
    """All contenders that support this shape, after checking that they compute the same."""
    x, y = random_batch(shape)
    contenders = {name: CHARRNN[name](shape, x, y) for name in ours}
    for name, rival in rivals.items():
        if shape.num_layers == 1 or not rival.one_layer_only:
            weights = Charrnn(shape, x, y, cell=rival.cell, reset_after=rival.reset_after).weights()
            contenders[name] = rival(weights, x, y)
    for name, contender in contenders.items():
        form = dict(cell=contender.cell, reset_after=contender.reset_after, targets=contender.targets)
        require_agreement(f"{shape}, {name}", contender, Charrnn(shape, x, y, **form, num_workers=1))
    return contenders


def measure(shape: Shape, ours: Sequence[str], rivals: Mapping[str, type[Contender]], rounds: int) -> dict[str, object]:
    """Time a step of every contender, and return the figures."""
    contenders = contenders_at(shape, ours, rivals)
    product, multiply_adds = harness.product_rate_contender()
    steps = {name: contender.step for name, contender in contenders.items()}
    turns = {name: contender.turn for name, contender in contenders.items()}
    timings = harness.interleaved(
        {**steps, "product": product}, rounds=rounds, calls=CALLS, warm_up=WARM_UP, turns=turns
    )
    product_rate = multiply_adds / timings["product"].median

    def figures(name: str, contender: Contender) -> dict[str, object]:
        timing, multiply_adds = timings[name], shape.multiply_adds(contender.cell, contender.targets)
        return {
            "cell": contender.cell,
            "targets": contender.targets,
            "ms": timing.median * 1e3,
            "quartiles_ms": [quartile * 1e3 for quartile in timing.quartiles],
            "relative": timing.median / timings[REFERENCES[contender.cell]].median,
            "predictions_per_second": shape.predictions(contender.targets) / timing.median,
            "fraction_of_floor": multiply_adds / product_rate / timing.median,
        }

    return {
        **shape._asdict(),
        "multiply_adds_per_second": product_rate,
        "contenders": {name: figures(name, contender) for name, contender in contenders.items()},
    }


def shape_of(figures: Mapping[str, object]) -> Shape:
    """The shape that these figures belong to."""
    return Shape(*(figures[name] for name in Shape._fields))


def table(shapes: Sequence[Mapping[str, object]]) -> str:
    """Every contender at every shape."""
    return harness.table(
        [
            {
                "H, B, T": str(shape_of(figures)),
                "contender": name,
                "ms a step": f"{row['ms']:.1f}",
                "quartiles": "{:.1f} – {:.1f}".format(*row["quartiles_ms"]),
                "relative": f"{row['relative']:.2f}",
                "predictions/s": f"{row['predictions_per_second']:,.0f}",
                "of floor": f"{row['fraction_of_floor']:.2f}",
            }
            for figures in shapes
            for name, row in figures["contenders"].items()
        ]
    )


def summary(shapes: Sequence[Mapping[str, object]]) -> str:
    """A row for each contender that predicts at every position, a column for each shape: milliseconds, and relative to
    charrnn with the same cell."""
    names = [name for name in IN_SUMMARY if name in shapes[0]["contenders"]]

    def cell(figures, name):
        row = figures["contenders"].get(name)
        return f"{row['ms']:.1f} ms, {row['relative']:.2f}x" if row else ""

    return harness.table(
        [{"H, B, T": name} | {str(shape_of(figures)): cell(figures, name) for figures in shapes} for name in names]
    )


def parse_shape(text: str) -> Shape:
    """A shape from the command line: H,B,T or 2xH,B,T."""
    num_layers, times, sizes = text.rpartition("x")
    if sizes.count(",") != 2:
        raise argparse.ArgumentTypeError(f"{text!r} must be H,B,T or 2xH,B,T, with integers of at least 1")
    return Shape(*map(harness.count, sizes.split(",")), num_layers=harness.count(num_layers) if times else 1)


def main() -> None:
    """Measure, print the tables, and write `results/training.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.partition("\n")[0])
    names = [*CHARRNN, *RIVALS]
    parser.add_argument("--shape", type=parse_shape, action="append", metavar="H,B,T", help=SHAPE_HELP)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=" | ".join(names))
    parser.add_argument("--rounds", type=harness.count, default=6, help=f"turns of {CALLS} timed steps; default: 6")
    parser.add_argument("--no-write", action="store_true", help="only print the tables")
    args = parser.parse_args()

    ours = [name for name in CHARRNN if name in (*REFERENCES.values(), *args.only)]
    rivals = installed([name for name in RIVALS if name in args.only])
    figures = [measure(shape, ours, rivals, args.rounds) for shape in args.shape or SHAPES]
    print(table(figures), summary(figures), sep="\n\n")
    if not args.no_write:
        machine = harness.machine("torch", "jax", "jaxlib", "keras")
        results = {
            "machine": machine,
            "V": V,
            "E": E,
            "rounds": args.rounds,
            "calls": CALLS,
            "warm_up": WARM_UP,
            "shapes": figures,
        }
        print(f"written to {harness.write('training', results)}", file=sys.stderr)


if __name__ == "__main__":
    main()
