"""Settings and config objects: what a setting accepts, which values contradict each other, where choices come from."""

from dataclasses import FrozenInstanceError, dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest

from charrnn.config import (
    Config,
    DynamicConfig,
    ModelConfig,
    SamplingConfig,
    Setting,
    TrainingConfig,
    setting,
    settings,
)
from charrnn.errors import InputError
from charrnn.layers import CELLS
from charrnn.messages import quoted
from charrnn.models import create_char_rnn_model
from charrnn.optimizers import OPTIMIZERS
from charrnn.schedules import SCHEDULES

CONFIGS = [ModelConfig, TrainingConfig, SamplingConfig]  # of the pipeline, which share the names of params.yaml
COUNT = Setting(3, "a count", "count", at_least=1, at_most=2**40)
RATE = Setting(0.5, "a rate", "rate", above=0, below=1)
SWITCH = Setting(False, "a switch", "switch")
WORD = Setting("one", "a word", "word", choices=("one", "two"))
TEXT = Setting("one", "a text", "text")
TEXTS = Setting(["one"], "texts", "texts")


def refusal(action, *args, **kwargs):
    """The message of the InputError that the call raises."""
    with pytest.raises(InputError) as error:
        action(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_numpy_integers_are_integers_and_numbers(kind):
    assert COUNT.parse(kind(7)) == 7 and type(COUNT.parse(kind(7))) is int
    temperature = Setting(1.0, "", "temperature")
    assert temperature.parse(kind(7)) == 7.0 and type(temperature.parse(kind(7))) is float


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble])
def test_numpy_floats_are_numbers_and_no_integers(kind):
    assert RATE.parse(kind(0.25)) == 0.25 and type(RATE.parse(kind(0.25))) is float
    assert refusal(COUNT.parse, kind(2)).startswith("count is ")


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
def test_booleans_are_no_numbers(value):
    assert refusal(COUNT.parse, value).startswith(f"count is {value!r}; it must be an integer of at least 1")
    assert refusal(RATE.parse, value) == f"rate is {value!r}; it must be a number above 0 and below 1"


@pytest.mark.parametrize("value", [np.True_, np.False_])
def test_numpy_booleans_are_booleans(value):
    assert SWITCH.parse(value) is bool(value)


@pytest.mark.parametrize("value", [0, 1, pytest.param(10**5000, id="very large")])
def test_integers_are_no_booleans(value):
    assert refusal(SWITCH.parse, value).endswith("; it must be true or false")


@pytest.mark.parametrize("value", [nan, inf, -inf, np.float32(nan), np.float64(inf), "nan", "inf", "-Infinity", "NaN"])
@pytest.mark.parametrize("declared", [RATE, COUNT, Setting(1.0, "", "unbounded")], ids=["rate", "count", "unbounded"])
def test_what_is_not_finite_is_refused(declared, value):
    assert refusal(declared.parse, value) == f"{declared.name} is {quoted(value)}; it must be {declared.allowed}"


@pytest.mark.parametrize(
    "value",
    [1j, Decimal("0.5"), b"1", np.array(1), np.array([1]), [1], (1,), {1}, {"a": 1}, None, object, "", " ", "1,5"],
)
def test_other_types_are_no_numbers(value):
    for declared in (COUNT, RATE):
        assert refusal(declared.parse, value) == f"{declared.name} is {quoted(value)}; it must be {declared.allowed}"


def test_fractions_are_numbers_and_no_integers():
    assert RATE.parse(Fraction(1, 4)) == 0.25 and type(RATE.parse(Fraction(1, 4))) is float
    assert refusal(COUNT.parse, Fraction(4, 2)).startswith("count is Fraction(2, 1)")


@pytest.mark.parametrize(
    ("limits", "inside", "outside"),
    [
        (dict(at_least=1), [1, 2], [0, -1]),
        (dict(above=1), [2], [1, 0]),
        (dict(at_most=1), [1, 0], [2]),
        (dict(below=1), [0], [1, 2]),
        (dict(at_least=1, at_most=3), [1, 3], [0, 4]),
        (dict(above=1, below=3), [2], [1, 3]),
        (dict(at_least=0), [0], [-1]),  # a bound may be 0
        (dict(at_most=0), [0], [1]),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [int, float, str, np.int64])
def test_bounds(limits, inside, outside, kind):
    declared = Setting(1.0, "", "rate", **limits)
    assert [declared.parse(kind(value)) for value in inside] == inside
    for value in outside:
        assert refusal(declared.parse, kind(value)) == f"rate is {kind(value)!r}; it must be {declared.allowed}"


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [
        (Setting(1, ""), "an integer"),
        (Setting(1.0, ""), "a number"),
        (COUNT, "an integer of at least 1 and at most 1,099,511,627,776"),
        (RATE, "a number above 0 and below 1"),
        (Setting(0.0, "", at_least=0), "a number of at least 0"),
        (SWITCH, "true or false"),
        (WORD, "one of one, two"),
        (TEXT, "a non-empty text"),
        (TEXTS, "a non-empty text or a list of such texts"),
    ],
)
def test_the_allowed_values_in_words(declared, allowed):
    assert declared.allowed == allowed


@pytest.mark.parametrize("value", ["one", "a b", "true", np.str_("x")])
def test_texts(value):
    assert TEXT.parse(value) == TEXTS.parse(value) == value


@pytest.mark.parametrize("value", [("a", "b"), [""], [], np.array(["a"]), b"a", {"a"}])
def test_what_is_no_list_of_texts_is_refused(value):
    assert refusal(TEXTS.parse, value) == f"texts is {quoted(value)}; it must be {TEXTS.allowed}"


def test_only_the_faulty_items_of_a_list_are_shown():
    """A valid one may be a URL with a password."""
    assert refusal(TEXTS.parse, ["http://me:secret@host", "", 1]) == f"texts is ['', 1]; it must be {TEXTS.allowed}"
    assert refusal(TEXTS.parse, [["http://me:secret@host"]]) == f"texts is [[...]]; it must be {TEXTS.allowed}"


def test_a_long_value_is_cut_and_shown_on_one_line():
    message = refusal(WORD.parse, "x\n" * 1000)
    assert len(message.splitlines()) == 1 and len(message) < 300 and "..." in message


@pytest.mark.parametrize("config", [*CONFIGS, DynamicConfig])
def test_every_default_is_allowed_and_of_its_declared_type(config):
    defaults = config()
    for name, declared in settings(config).items():
        assert declared.name == name
        assert getattr(defaults, name) == declared.default == declared.parse(declared.default)
        assert type(getattr(defaults, name)) is type(declared.default)
        assert declared.help and not declared.help.endswith(".")


@pytest.mark.parametrize("config", [*CONFIGS, DynamicConfig])
def test_annotations_are_the_types_of_the_defaults(config):
    types = {field.name: field.type for field in fields(config)}
    assert types == {name: type(declared.default) for name, declared in settings(config).items()}


def test_no_setting_is_declared_twice():
    names = [name for config in CONFIGS for name in settings(config)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("config", CONFIGS)
def test_config_objects_cannot_be_changed_and_are_equal_by_value(config):
    assert config() == config() and hash(config()) == hash(config())
    with pytest.raises(FrozenInstanceError):
        setattr(config(), next(iter(settings(config))), 1)


@pytest.mark.parametrize("config", CONFIGS)
def test_an_unknown_name_is_a_type_error(config):
    with pytest.raises(TypeError, match="hiden_dim"):
        config(hiden_dim=64)


def test_an_unknown_name_is_a_type_error_wherever_settings_are_passed_on(rng):
    with pytest.raises(TypeError, match="hiden_dim"):
        create_char_rnn_model(5, rng, hiden_dim=64)
    model, ids = create_char_rnn_model(5, rng, hidden_dim=4), np.arange(200) % 5
    with pytest.raises(TypeError, match="num_epoch"):
        model.fit(ids, ids, rng=rng, num_epoch=1)


def test_values_are_converted_and_checked_when_an_object_is_made():
    config = ModelConfig(hidden_dim="64", num_layers=np.int64(2), tie_weights="true")
    assert config == ModelConfig(hidden_dim=64, num_layers=2, tie_weights=True)
    assert type(config.hidden_dim) is type(config.num_layers) is int and config.tie_weights is True
    assert refusal(ModelConfig, hidden_dim=0) == (
        "hidden_dim is 0; it must be an integer of at least 1 and at most 1,000,000"
    )
    assert refusal(replace, config, cell="transformer") == "cell is 'transformer'; it must be one of gru, lstm, rnn"
    assert refusal(SamplingConfig, top_p=0) == "top_p is 0; it must be a number above 0 and at most 1"
    assert refusal(TrainingConfig, workers=0) == "workers is 0; it must be an integer of at least 1 and at most 1,024"


def test_the_final_learning_rate_is_at_most_the_learning_rate():
    assert TrainingConfig(learning_rate=0.1, final_learning_rate=0.1).final_learning_rate == 0.1
    assert refusal(TrainingConfig, learning_rate=0.1, final_learning_rate=0.2) == (
        "final_learning_rate is 0.2; it must be at least 0 and at most the learning_rate, 0.1"
    )
    assert "the learning_rate, 0.001" in refusal(TrainingConfig, final_learning_rate=0.01)


def test_a_step_of_weight_decay_takes_off_less_than_everything():
    assert TrainingConfig(learning_rate=0.5, weight_decay=1.9).weight_decay == 1.9
    assert refusal(TrainingConfig, learning_rate=0.5, weight_decay=2) == (
        "weight_decay is 2.0; times the learning_rate, 0.5, it must be below 1"
    )


def test_windows_skip_no_text():
    assert TrainingConfig(window_size=30).stride == 30
    assert refusal(TrainingConfig, window_size=29) == (
        "stride is 30; it must be at most window_size, 29, or text would be skipped"
    )
    assert TrainingConfig(window_size=29, carry_state=True).window_size == 29  # which ignores the stride


def test_a_single_wrong_value_is_reported_before_a_contradiction():
    assert refusal(TrainingConfig, learning_rate="fast", final_learning_rate=1) == (
        "learning_rate is 'fast'; it must be a number above 0"
    )


def test_choices_are_those_of_the_library():
    assert settings(ModelConfig)["cell"].choices == tuple(CELLS)
    assert settings(TrainingConfig)["optimizer"].choices == tuple(OPTIMIZERS)
    assert settings(TrainingConfig)["schedule"].choices == tuple(SCHEDULES)


def test_defaults_are_those_of_the_specification():
    model, training, sampling = (config() for config in CONFIGS)
    assert (model.embedding_dim, model.hidden_dim, model.num_layers, model.cell) == (16, 128, 1, "gru")
    assert (training.window_size, training.batch_size, training.num_epochs) == (100, 32, 10)
    assert (training.learning_rate, training.optimizer, training.schedule) == (0.001, "nadam", "constant")
    assert sampling.temperature == 1.0


@dataclass(frozen=True)
class Mine(Config):
    """A config of one's own."""

    sources: list[str] = setting(["a", "b"], "where to read")
    limit: int = setting(3, "how much to read", at_least=1)


def test_a_config_of_one_s_own_declares_settings_in_order():
    assert list(settings(Mine)) == ["sources", "limit"]
    assert settings(Mine)["limit"] == Setting(3, "how much to read", "limit", at_least=1)
    assert Mine(limit="5").limit == 5
    assert refusal(Mine, sources=[]) == "sources is []; it must be a non-empty text or a list of such texts"


def test_lists_are_not_shared():
    one = Mine()
    one.sources.append("c")
    assert Mine().sources == settings(Mine)["sources"].default == ["a", "b"]
