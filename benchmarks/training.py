"""How long a training step takes, here and elsewhere: `python -m benchmarks.training`.

A step is forward pass, loss, backward pass and update of the weights, without clipping, on a batch that is in memory
already. Every rival starts from the same weights and batch as charrnn, and is timed only if it computes the same loss
and gradients. The optimizer is Nadam, where nothing else is said; the textbook's is Adam. In the table

* "times slower" is the time that a contender takes for each character it predicts over the time that charrnn takes.
  The textbook predicts one character from each window, all others predict one at each time step;
* "of floor" is the time that the step's multiply-adds would take at the rate of a large matrix product, measured in
  the same rounds, over the time that the step takes.
"""

import argparse
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks import harness
from benchmarks.rivals import RIVALS, Arrays, Rival
from charrnn.gru import GRU
from charrnn.initializers import random_uniform
from charrnn.layers import Dense, Embedding, Masks
from charrnn.models import Model
from charrnn.optimizers import Nadam
from charrnn.parts import batch_work, loss_and_gradient
from charrnn.ranks import ALONE, JointSum, Ranks
from charrnn.threads import at_once, threads
from charrnn.training import as_trained
from stages.workers import available_cores

V, E = 65, 16  # characters in the vocabulary, width of their embedding
CALLS = 5  # timed steps of a contender in each round
WARM_UP = 3  # steps before them: training takes thousands in a row, and the first after a pause take longer
TOLERANCE = 1e-5  # of the loss and of the norm of each gradient; sums in another order make 1e-6


class Shape(NamedTuple):
    """Width of the hidden state, sequences in a batch, time steps."""

    H: int
    B: int
    T: int

    def characters(self, targets: str) -> int:
        """How many characters a step predicts."""
        return self.B * self.T if targets == "every" else self.B

    def multiply_adds(self, targets: str) -> int:
        """Those of a step's matrix products: each in the forward pass brings two in the backward pass.

        That is so where the GRU is given vectors, as in all rivals. charrnn trains on rows (`charrnn.projection`), with
        other products; the floor is the same for all.
        """
        gru = self.B * self.T * 3 * (E + self.H) * self.H
        dense = self.characters(targets) * self.H * V
        return 3 * (gru + dense)


SHAPES = [Shape(128, 32, 100), Shape(256, 64, 100), Shape(512, 64, 100), Shape(128, 128, 100)]


def random_batch(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Ids (T, B) to read and to predict."""
    ids = np.random.default_rng(1).integers(0, V, (shape.T + 1, shape.B), np.uint8)
    return ids[:-1], ids[1:]


class Charrnn:
    """charrnn in one of its forms, taking the steps of `charrnn.training.fit`, without clipping."""

    def __init__(
        self,
        shape: Shape,
        x: np.ndarray,
        y: np.ndarray,
        *,
        reset_after: bool,
        targets: str = "every",
        ranks: Ranks = ALONE,
    ):
        layers = [
            Embedding(V, E),
            GRU(E, shape.H, reset_after=reset_after, bias_initializer=random_uniform),  # zeros would hide a mix-up
            Dense(shape.H, V, bias_initializer=random_uniform),
        ]
        self.targets = targets
        self.model = Model(layers, np.random.default_rng(0))
        self.trainee = as_trained(self.model, targets, dropout=0, masks=Masks(seed=0))
        self.optimizer = Nadam(learning_rate=0.001)
        self.memory = self.optimizer.state(self.model.parameters)
        num_threads = max(1, len(available_cores()) // ranks.size)
        self.x, self.y, self.sum_together = x, y, JointSum(ranks)
        self.parts = batch_work(self.trainee, shape.T, shape.B, num_threads, ranks)
        self.beside = at_once

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The threads of the steps taken within it; in training, they are there for a whole epoch."""
        with threads(len(self.parts)) as self.beside:
            yield

    def weights(self) -> Arrays:
        """The parameters, named as in `benchmarks.rivals`."""
        return {name.partition(".")[2]: view for name, view in self.model.named_parameters()}

    def loss_and_gradients(self) -> tuple[float, Arrays]:
        """The loss, and the gradients named and shaped as the weights."""
        with self.turn():
            loss = loss_and_gradient(self.trainee, self.x, self.y, self.parts, beside=self.beside)
        gradients = Model.from_parameters(self.model.layers, self.trainee.gradient).named_parameters()
        return loss, {name.partition(".")[2]: view for name, view in gradients}

    def step(self) -> float:
        """One step, within a turn; the loss before it."""
        loss = np.array(loss_and_gradient(self.trainee, self.x, self.y, self.parts, beside=self.beside))
        self.sum_together(self.trainee.gradient, loss)
        self.optimizer.update(self.model.parameters, self.trainee.gradient, self.memory)
        return float(loss)


CHARRNN = {"charrnn": partial(Charrnn, reset_after=False), "charrnn, reset_after": partial(Charrnn, reset_after=True)}


def installed(names: Sequence[str]) -> dict[str, type[Rival]]:
    """Those of the rivals whose packages are there; the others are named."""
    rivals = {}
    for name in names:
        try:
            rivals[name] = pkgutil.resolve_name(RIVALS[name])
        except ModuleNotFoundError as error:
            print(f"{name}: skipped, because {error.name} is not installed", file=sys.stderr)
    return rivals


def require_agreement(what: str, rival: Rival, reference: Charrnn) -> None:
    """End the benchmark unless the rival computes the loss and the gradients that charrnn computes."""
    loss, gradients = rival.loss_and_gradients()
    expected_loss, expected = reference.loss_and_gradients()
    if gradients.keys() != expected.keys():
        raise SystemExit(f"{what}: the gradients are {sorted(gradients)}; they must be {sorted(expected)}")
    pairs = {"loss": (loss, expected_loss)} | {name: (gradients[name], expected[name]) for name in expected}
    for name, (value, reference_value) in pairs.items():
        difference = np.linalg.norm(value - reference_value) / np.linalg.norm(reference_value)
        if not difference <= TOLERANCE:  # so put because it may be NaN
            raise SystemExit(
                f"{what}: {name} differs from charrnn's by {difference:.1e}; at most {TOLERANCE} is allowed"
            )


def measure(shape: Shape, ours: Sequence[str], rivals: dict[str, type[Rival]], rounds: int) -> dict[str, object]:
    """Check the rivals, time a step of every contender, and return the figures."""
    x, y = random_batch(shape)
    contenders = {name: CHARRNN[name](shape, x, y) for name in ours}
    for name, rival in rivals.items():
        reference = Charrnn(shape, x, y, reset_after=rival.reset_after, targets=rival.targets)
        contenders[name] = rival(reference.weights(), x, y)
        require_agreement(f"{tuple(shape)}, {name}", contenders[name], reference)

    product, multiply_adds = harness.product_rate_contender()
    steps = {name: contender.step for name, contender in contenders.items()}
    turns = {name: contenders[name].turn for name in ours}
    timings = harness.interleaved(
        {**steps, "product": product}, rounds=rounds, calls=CALLS, warm_up=WARM_UP, turns=turns
    )
    product_rate = multiply_adds / timings["product"].median

    def rate(name):
        return shape.characters(contenders[name].targets) / timings[name].median

    return {
        **shape._asdict(),
        "multiply_adds_per_second": product_rate,
        "contenders": {
            name: {
                "ms": timings[name].median * 1e3,
                "quartiles_ms": [quartile * 1e3 for quartile in timings[name].quartiles],
                "characters_per_second": rate(name),
                "times_slower": rate("charrnn") / rate(name),
                "fraction_of_floor": shape.multiply_adds(contender.targets) / product_rate / timings[name].median,
            }
            for name, contender in contenders.items()
        },
    }


def table(shapes: Sequence[dict[str, object]]) -> str:
    """Every contender at every shape."""
    return harness.table(
        [
            {
                "H, B, T": f"{figures['H']}, {figures['B']}, {figures['T']}",
                "contender": name,
                "ms a step": f"{of['ms']:.1f}",
                "quartiles": "{:.1f} – {:.1f}".format(*of["quartiles_ms"]),
                "characters/s": f"{of['characters_per_second']:,.0f}",
                "times slower": f"{of['times_slower']:.2f}",
                "of floor": f"{of['fraction_of_floor']:.2f}",
            }
            for figures in shapes
            for name, of in figures["contenders"].items()
        ]
    )


def summary(shapes: Sequence[dict[str, object]]) -> str:
    """A contender a row, a shape a column: milliseconds a step, and how many times slower than charrnn."""

    def cell(of):
        times = of["times_slower"]
        return f"{of['ms']:.0f} ms, {times:.2f}x" if times < 10 else f"{of['ms']:.0f} ms, {times:.0f}x"

    return harness.table(
        [
            {"H, B, T": name}
            | {
                f"{figures['H']}, {figures['B']}, {figures['T']}": cell(figures["contenders"][name])
                for figures in shapes
            }
            for name in shapes[0]["contenders"]
        ]
    )


def shape(text: str) -> Shape:
    """A shape H,B,T, from the command line."""
    sizes = text.split(",")
    if len(sizes) != len(Shape._fields):
        raise argparse.ArgumentTypeError(f"{text!r} must be H,B,T, three integers of at least 1")
    return Shape(*map(harness.count, sizes))


def main() -> None:
    """Measure, print the table, and write `results/training.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.partition("\n")[0])
    names = [*CHARRNN, *RIVALS]
    parser.add_argument("--shape", type=shape, action="append", metavar="H,B,T", help="may be repeated; default: four")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=" | ".join(names))
    parser.add_argument("--rounds", type=harness.count, default=6, help=f"of {CALLS} steps a contender; default: 6")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    args = parser.parse_args()

    ours = [name for name in CHARRNN if name in ("charrnn", *args.only)]  # charrnn is what all are compared with
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
