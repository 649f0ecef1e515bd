"""The base class of layers: misspelt names are errors, the rest has defaults, and the default stepper works."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from charrnn.arrays import Arrays
from charrnn.errors import InputError
from charrnn.gradient_checking import LayerProbe, gradient_check
from charrnn.layers import GRU, LSTM, Dense, Layer, SimpleRNN, TiedDense
from tests.networks import LeakyAverage, layer_id


def define(name, value, *, base=Layer, annotation=None):
    """Define a layer with one more name in its body."""
    body = {name: value, "__module__": __name__}
    if annotation is not None:
        body["__annotations__"] = {name: annotation}
    return type("Mine", (base,), body)


@pytest.mark.parametrize("base", [Layer, GRU, LeakyAverage])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("stepr", "stepper"),
        ("state_dim", "state_dims"),
        ("statedims", "state_dims"),
        ("output_step", "output_steps"),
        ("forwards", "forward"),
        ("bakward", "backward"),
        ("alocate", "allocate"),
        ("shape", "shapes"),
        ("lend", "lends"),
        ("borrow", "borrows"),
        ("inputdim", "input_dim"),
    ],
)
def test_a_misspelt_method_is_refused(base, name, meant):
    with pytest.raises(InputError, match=rf"^Mine: layers have no {name}; did you mean {meant}\?$"):
        define(name, lambda self, *args: None, base=base)


@pytest.mark.parametrize("annotation", [None, ClassVar, ClassVar[bool], "ClassVar[bool]", "ClassVar"], ids=str)
def test_a_misspelt_class_variable_is_refused(annotation):
    with pytest.raises(InputError, match=r"^Mine: layers have no accept_lookup; did you mean accepts_lookup\?$"):
        define("accept_lookup", True, annotation=annotation)
    assert define("accepts_lookup", True, annotation=annotation).accepts_lookup


@pytest.mark.parametrize(
    "value",
    [
        property(lambda self: {"h": 3}),
        staticmethod(lambda: {"h": 3}),
        classmethod(lambda cls: {"h": 3}),
        {"h": 3},
    ],
    ids=["property", "staticmethod", "classmethod", "plain value"],
)
def test_a_misspelt_attribute_of_any_kind_is_refused(value):
    with pytest.raises(InputError, match=r"^Mine: layers have no state_dim; did you mean state_dims\?$"):
        define("state_dim", value)


def test_a_misspelt_field_is_refused():
    with pytest.raises(InputError, match=r"^Mine: layers have no state_dim; did you mean state_dims\?$"):
        define("state_dim", 3, annotation=int)
    assert define("hidden_dim", 3, annotation=int).hidden_dim == 3


def test_a_public_helper_is_refused():
    with pytest.raises(
        InputError, match=r"^Mine: layers have no quux; the name of a helper must begin with an underscore$"
    ):
        define("quux", lambda self: None)


def test_underscore_helpers_and_the_fields_of_a_dataclass_are_fine(rng):
    @dataclass(frozen=True)
    class Scaled(Layer):
        input_dim: int
        output_dim: int = 3
        factor: float = 2.0
        accepts_lookup: ClassVar[bool] = False
        _offset: ClassVar[float] = 1.0

        def _helper(self, x):
            return self.factor * x + self._offset

        def allocate(self, T, B, dtype):
            return Arrays()

        def forward(self, p, x, buffers):
            return self._helper(x)

        def backward(self, p, grad, x, dy, buffers):
            return self.factor * dy

    assert Scaled(3).factor == 2.0
    gradient_check(Scaled(3, factor=-1.5), rng)


def test_a_dataclass_with_slots_is_fine(rng):
    @dataclass(frozen=True, slots=True)
    class Same(Layer):
        input_dim: int
        output_dim: int
        number: int = 0

        def allocate(self, T, B, dtype):
            return Arrays()

        def forward(self, p, x, buffers):
            return x

        def backward(self, p, grad, x, dy, buffers):
            return dy

    gradient_check(Same(3, 3), rng)


def test_a_subclass_may_override_what_its_base_has(rng):
    class Doubled(GRU):
        def forward(self, p, x, buffers):
            return 2 * super().forward(p, x, buffers)

        def backward(self, p, grad, x, dy, buffers):
            return super().backward(p, grad, x, 2 * dy, buffers)

        def _factors(self, buffers):
            super()._factors(buffers)

        def stepper(self, p, x, state):
            return Layer.stepper(self, p, x, state)

    gradient_check(Doubled(3, 4, reset_after=True), rng)


@pytest.mark.parametrize("missing", ["allocate", "forward", "backward"])
def test_a_layer_without_one_of_its_three_methods_cannot_be_made(missing):
    methods = {name: lambda self, *args: None for name in ("allocate", "forward", "backward") if name != missing}
    Mine = type("Mine", (Layer,), methods)
    with pytest.raises(TypeError, match=missing):
        Mine()


def test_what_a_layer_leaves_out_has_a_default(rng):
    class Same(Layer):
        input_dim = output_dim = 3

        def allocate(self, T, B, dtype):
            return Arrays()

        def forward(self, p, x, buffers):
            return x

        def backward(self, p, grad, x, dy, buffers):
            return dy

    layer = Same()
    assert layer.accepts_lookup is False
    assert layer.state_dims == layer.lends == layer.borrows == layer.shapes() == {}
    assert layer.init(Arrays(), rng) is None
    assert layer.output_steps(7) == 7
    gradient_check(layer, rng)


LAYERS = [
    Dense(3, 4),
    Dense(3, 4, "tanh"),
    TiedDense(3, 4),
    SimpleRNN(3, 4),
    SimpleRNN(3, 4, "relu"),
    GRU(3, 4),
    GRU(3, 4, reset_after=True),
    GRU(3, 4, mogrifier=True),
    GRU(3, 4, reset_after=True, mogrifier=True),
    LSTM(3, 4),
    LeakyAverage(3),
]


@pytest.mark.parametrize("layer", LAYERS, ids=layer_id)
@pytest.mark.parametrize("of_class", [False, True], ids=["its own", "the default"])
@pytest.mark.parametrize("B", [1, 3])
def test_the_stepper_agrees_with_forward(layer, of_class, B, rng):
    probe = LayerProbe(layer, 6, B, rng)
    expected = probe.forward()
    x = np.ones((1 + layer.input_dim, B))
    state = {name: h.T.copy() for name, h in probe.state.items()}
    x_of_layer, y, step = (Layer if of_class else type(layer)).stepper(layer, probe.p, x, state)
    assert x_of_layer.shape == (1 + layer.input_dim, B) and y.shape == (1 + layer.output_dim, B)
    for x_t, y_t in zip(probe.x, expected):
        x_of_layer[1:] = x_t.T
        step()
        np.testing.assert_allclose(y[1:], y_t.T, rtol=1e-9)
        np.testing.assert_array_equal(y[0], 1)


def test_the_default_stepper_of_a_first_layer_reads_ids(rng):
    @dataclass(frozen=True)
    class Counter(LeakyAverage):
        def forward(self, p, x, buffers):
            for t, ids in enumerate(x):
                buffers.h[t + 1] = buffers.h[t] + np.eye(self.dim)[ids]
            return buffers.h[1:]

    ids = np.array([0, 0])
    x, y, step = Counter(3).stepper(Arrays(), ids, {"h": np.ones((3, 2))})
    assert x is ids
    step()
    ids[:] = 2, 1
    step()
    np.testing.assert_array_equal(y, [[1, 1], [2, 2], [1, 2], [2, 1]])


def test_two_default_steppers_do_not_share_a_state(rng):
    probe = LayerProbe(SimpleRNN(3, 4), 1, 2, rng)

    def new():
        _, y, step = Layer.stepper(probe.layer, probe.p, np.ones((4, 2)), {"h": probe.state["h"].T.copy()})
        return y, step

    (y, step), (other_y, other_step) = new(), new()
    step()
    first = y.copy()
    step()
    other_step()
    np.testing.assert_array_equal(other_y, first)
    assert (y != first).any()
