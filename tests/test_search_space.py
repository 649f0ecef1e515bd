"""The search space: what search.yaml may contain, and the hyperparameters that trials get from it."""

import random
from collections import Counter

import pytest

from charrnn.errors import InputError
from stages.common.params import PARAMS, load_params
from tests.stage_project import ROOT
from tests.tuning_project import SPACE, optuna
from tuning.dimensions import COMPARISONS, Range, suggest
from tuning.options import SPACE_FILE
from tuning.sampler import NumberedSampler
from tuning.search_space import TUNABLE, load_search_space


def read_space(tmp_path, text):
    path = tmp_path / "search.yaml"
    path.write_text(text, encoding="utf-8")
    return load_search_space(path)


def test_a_trial_takes_what_the_space_holds_and_the_rest_from_params_yaml(tmp_path):
    space = read_space(tmp_path, SPACE)
    fixed = {name: PARAMS[name].default for name in TUNABLE}
    taken = {"learning_rate": 0.002, "hidden_dim": 8, "dropout": 0.1 * 3, "cell": "rnn"}
    assert suggest(space, optuna.trial.FixedTrial(taken), fixed) == {**fixed, **taken, "dropout": 0.3}
    narrow = {**taken, "hidden_dim": 7}
    assert suggest(space, optuna.trial.FixedTrial(narrow), fixed) == {**fixed, **narrow, "dropout": 0.0}


@pytest.mark.parametrize(("when", "tried"), [("cell == gru", 0.3), ("cell == rnn", 0.1), ("num_layers <= 1", 0.3)])
def test_a_condition_may_be_on_what_params_yaml_says(tmp_path, when, tried):
    space = read_space(tmp_path, f"dropout: {{from: 0.1, to: 0.5, when: {when}}}")
    fixed = {"cell": "gru", "num_layers": 1, "dropout": 0.1}
    assert suggest(space, optuna.trial.FixedTrial({"dropout": 0.3}), fixed)["dropout"] == tried


def test_the_space_that_ships_is_allowed():
    space = load_search_space(ROOT / SPACE_FILE)
    defaults = load_params(ROOT / "params.yaml")
    for seed in range(20):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        params = suggest(space, study.ask(), defaults)
        assert {name: PARAMS[name].parse(value) for name, value in params.items()} == params
        assert params["dropout"] == 0 or params["hidden_dim"] >= 128


@pytest.mark.parametrize("ends", ["1e-12, to: 1e12", "0, to: 1e-12", "1, to: 1.000002"])
def test_these_ranges_are_just_allowed(tmp_path, ends):
    assert read_space(tmp_path, f"weight_decay: {{from: {ends}}}").keys() == {"weight_decay"}


def test_a_range_may_have_a_single_step_whatever_rounding_does_to_it(tmp_path):
    space = read_space(tmp_path, "dropout: {from: 0.2, to: 0.3, step: 0.1}")  # 0.3 - 0.2 < 0.1
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert {suggest(space, study.ask(), {})["dropout"] for _ in range(10)} == {0.2, 0.3}


LISTED = "must be a list of choices, or have either choices or both from and to"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden_dim: [8, 9]", "'hiden_dim' can't be searched; only these can: embedding_limit, output_bias, cell, "),
        ("3: [8, 9]", "3 can't be searched"),
        ("temperature: [0.5, 1.0]", "'temperature' can't be searched"),
        ("train_size: {from: 0.5, to: 0.9}", "'train_size' can't be searched"),
        ("seed: [1, 2]", "'seed' can't be searched"),
        ("workers: [1, 2]", "'workers' can't be searched"),
        ("hidden_dim: {from: 0, to: 9}", "hidden_dim is 0; it must be an integer of at least 1"),
        ("hidden_dim: {from: 1, to: 9.5}", "hidden_dim is 9.5; it must be an integer of at least 1"),
        ("dropout: {from: 0, to: 1}", "dropout is 1; it must be a number of at least 0 and below 1"),
        ("cell: [gru, lstn]", "cell is 'lstn'; it must be one of gru, lstm, rnn"),
        ("hidden_dim: {from: 9, to: 9}", "hidden_dim goes from 9 to 9; the range must end above its start"),
        ("cell: {from: gru, to: rnn}", "cell is not a number, so it can't have a range; list its choices"),
        ("cell: [gru, gru]", "the choices of cell are ['gru', 'gru']; there must be at least two, all different"),
        ("cell: [gru]", "the choices of cell are ['gru']; there must be at least two, all different"),
        ("cell: {choices: gru}", "the choices of cell are 'gru'; they must be a list"),
        ("dropout: {from: 0, to: 0.5, log: true}", "of dropout is logarithmic; it must start above 0 and have no step"),
        ("batch_size: {from: 1, to: 9, log: true, step: 2}", "of batch_size is logarithmic; it must start above 0"),
        ("batch_size: {from: 1, to: 9, log: 1}", "log of batch_size is 1; it must be true or false"),
        (
            "hidden_dim: {from: 1, to: 9, step: 0.5}",
            "the step of hidden_dim is 0.5; it must be an integer of at least 1 and at most 8",
        ),
        (
            "hidden_dim: {from: 1, to: 9, step: 0}",
            "the step of hidden_dim is 0; it must be an integer of at least 1 and at most 8",
        ),
        (
            "dropout: {from: 0, to: 0.5, step: .nan}",
            "the step of dropout is nan; it must be a number of at least 5e-09 and at most 0.5",
        ),
        ("dropout: {from: 0, to: 0.5, step: 0.2}", "from 0.0 to 0.5, which is not a whole number of steps of 0.2"),
        ("hidden_dim: {from: 1, to: 9, step: 9" + 308 * "0" + "}", "it must be an integer of at least 1 and at most 8"),
        (
            "num_epochs: {from: 1, to: 1000001, step: 9" + 400 * "0" + "}",
            "...; it must be an integer of at least 1 and",
        ),
        ("num_epochs: {from: 1, to: 1000000000001}", "; the ends of a range must be 0 or between 1e-12 and 1e+12"),
        ("weight_decay: {from: 0, to: 1e-13}", "; the ends of a range must be 0 or between 1e-12 and 1e+12"),
        ("weight_decay: {from: 1e-13, to: 1}", "; the ends of a range must be 0 or between 1e-12 and 1e+12"),
        (
            "weight_decay: {from: 1, to: 1.0000009}",
            "1.0000009; the ends of a range must be 0 or between 1e-12 and 1e+12",
        ),
        (
            "weight_decay: {from: 0, to: 1, step: 1e-9}",
            "is 1e-09; it must be a number of at least 1e-08 and at most 1.0",
        ),
        ("weight_decay: {from: 0, to: 1.00000000001, step: 0.1}", "which is not a whole number of steps of 0.1"),
        ("hidden_dim: 8", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 8}", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 1, to: 9, lag: true}", "hidden_dim has an unknown key 'lag'; it must be one of from, to"),
        ("hidden_dim: {choices: [1, 2], to: 9}", "hidden_dim has an unknown key 'to'; it must be one of choices, when"),
        ("dropout: {from: 0, to: 0.5, when: hidden_dim>8}", "the condition of dropout is 'hidden_dim>8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: dropout >= 8}", "the condition of dropout is 'dropout >= 8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: depth >= 8}", "the condition of dropout is 'depth >= 8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: hidden_dim >= x}", "hidden_dim is 'x'; it must be an integer of at least"),
        ("dropout: {from: 0, to: 0.5, when: cell >= gru}", "cell is not a number and can only be compared by =="),
        (
            "dropout: {from: 0, to: 0.5, when: hidden_dim >= 8}\nhidden_dim: [4, 8]",
            "dropout depends on hidden_dim, which must come before it",
        ),
        ("hidden_dim: {choices: [[1], 2]}", "nested too deeply; a value may be choices, or a range in braces"),
        ("hidden_dim: {from: {a: 1}, to: 2}", "nested too deeply; a value may be choices, or a range in braces"),
        ("hidden_dim: [4, 8]\nhidden_dim: [4, 8]", ", line 2, column 1: duplicate key 'hidden_dim'"),
    ],
)
def test_a_space_that_is_not_allowed_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_space(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "search.yaml")) and words in message
    assert len(message.splitlines()) == 1


HUGE = ("9007199254740993", "9223372036854775808", "9" * 30, f"1{'0' * 308}", f"1{'0' * 309}", "9" * 5000)
FAIR = {
    int: (
        "0",
        "1",
        "2",
        "3",
        "8",
        "9",
        "64",
        "256",
        "10000",
        "1000000",
        "1000001",
        "999999999999",
        "'7'",
        "2.0",
        *HUGE,
    ),
    float: (
        *("0", "0.0", "-0.0", "1e-12", "1e-8", "1e-3", "0.1", "0.10000000000000002", "0.1000001", "0.2", "0.3", "0.5"),
        *(
            "0.9",
            "1",
            "1.0",
            "3",
            "1e4",
            "1e12",
            "'0.4'",
            "5e-324",
            "1e-320",
            "1e-300",
            "1.7976931348623157e308",
            *HUGE,
        ),
    ),
    bool: ("true", "false"),
}
ODD = (
    *("", "~", "-1", ".nan", ".inf", "-.inf", "true", "gru", "1_000", "0x1F", "2020-01-01", "''", "'a b'", "é", "\x85"),
    *("[]", "{}", "[1]", "[[1], 2]", "{a: 1}", "&a [*a]", "*a", "!!python/none x", "- 1", "?", ":", "a\tb"),
    *("hidden_dim >= 8", "stride <= 1e400", "cell == gru", f"patience >= {'9' * 30}", "hidden_dim == '9'"),
)


def fair(rng, name):
    """A plausible value of this hyperparameter, as YAML, or now and then something odd."""
    values = PARAMS[name].choices or FAIR[type(PARAMS[name].default)]
    return rng.choice(values if rng.random() < 0.96 else ODD)


def entry(rng, name):
    """A plausible dimension for this hyperparameter, as YAML."""
    other = rng.choice(TUNABLE)
    when = f"when: {other} {rng.choice(list(COMPARISONS))} {fair(rng, other)}"
    choices = f"[{', '.join(fair(rng, name) for _ in range(rng.randint(1, 4)))}]"
    ends = f"from: {fair(rng, name)}, to: {fair(rng, name)}"
    ranges = [f"{{{ends}}}", f"{{{ends}, log: true}}", f"{{{ends}, step: {fair(rng, name)}}}", f"{{{ends}, {when}}}"]
    lists = [choices, f"{{choices: {choices}, {when}}}"]
    is_number = type(PARAMS[name].default) in (int, float)
    return rng.choice([*lists, *(ranges if is_number else lists), rng.choice(ODD) if rng.random() < 0.2 else choices])


@pytest.mark.filterwarnings("error", "ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("seed", range(10))
def test_any_file_is_refused_in_one_line_or_gives_trials_that_training_allows(tmp_path, seed):
    rng = random.Random(seed)
    fixed = {name: PARAMS[name].default for name in TUNABLE}
    ends = Counter()
    for _ in range(200):
        names = rng.choices(TUNABLE, k=rng.choice([1, 1, 2]))
        content = "".join(f"{name}: {entry(rng, name)}\n" for name in names)
        try:
            space = read_space(tmp_path, content)
        except InputError as error:
            message = str(error)
            assert message.startswith(str(tmp_path)) and len(message.splitlines()) == 1, content
            assert len(message) < len(str(tmp_path)) + 900, content
            ends["refused"] += 1
            continue
        study = optuna.create_study(sampler=NumberedSampler(seed))
        for _ in range(12):  # the sampler learns from the eleventh on
            trial = study.ask()
            params = suggest(space, trial, fixed)
            for name, dimension in space.items():
                assert PARAMS[name].parse(params[name]) == params[name], content
                assert type(params[name]) is type(PARAMS[name].default), content
                if isinstance(dimension, Range) and params[name] != fixed[name]:
                    assert dimension.low <= params[name] <= dimension.high, content
            study.tell(trial, rng.random())
        ends["read"] += 1
    assert min(ends["refused"], ends["read"]) >= 10
