"""The search space: what search.yaml may contain, and the hyperparameters that trials get from it."""

import pytest

from charrnn.errors import InputError
from stages.common.params import PARAMS, load_params
from tests.stage_project import ROOT
from tests.tuning_project import SPACE, optuna
from tuning.dimensions import suggest
from tuning.options import SPACE_FILE
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


LISTED = "must be a list of choices, or have either choices or both from and to"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden_dim: [8, 9]", "'hiden_dim' can't be searched; only these can: cell, num_layers, "),
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
        ("hidden_dim: {from: 1, to: 9, step: 0.5}", "the step of hidden_dim is 0.5; it must be an integer above 0"),
        ("hidden_dim: {from: 1, to: 9, step: 0}", "the step of hidden_dim is 0; it must be an integer above 0"),
        ("dropout: {from: 0, to: 0.5, step: .nan}", "the step of dropout is nan; it must be a number above 0 and at"),
        ("dropout: {from: 0, to: 0.5, step: 0.2}", "from 0.0 to 0.5, which is not a whole number of steps of 0.2"),
        ("hidden_dim: 8", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 8}", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 1, to: 9, lag: true}", "hidden_dim has an unknown key 'lag'; known are from, to, step"),
        ("hidden_dim: {choices: [1, 2], to: 9}", "hidden_dim has an unknown key 'to'; known are choices, when"),
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
