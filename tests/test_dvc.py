"""The pipeline under the real DVC, in a copy of the repository: what is rerun, restored, compared and reproduced."""

import hashlib
import json
import re
import shutil

import pytest

from charrnn import load_model, save_model
from tests.dvc_project import MODEL, OUTS, PIPELINE, ROOT, STAGES, contents, run, set_params, stages_run

README = (ROOT / "README.md").read_text(encoding="utf-8")
UP_TO_DATE = "Data and pipelines are up to date."


def changed_stages(folder):
    """The stages that `dvc repro` would run, as far as `dvc status` can tell."""
    return sorted(json.loads(run(folder, "dvc", "status", "--json").stdout))


def test_git_tracks_metrics_and_lock_and_ignores_what_dvc_caches(first_run):
    folder, _ = first_run
    tracked = set(run(folder, "git", "ls-files").stdout.splitlines())
    assert "dvc.lock" in tracked
    assert {path for path in OUTS if path in tracked} == {path for path in OUTS if path.startswith("metrics/")}
    assert run(folder, "git", "status", "--porcelain").stdout == ""


def test_second_repro_runs_nothing(first_run):
    """Although Python has left what it compiled in the folders that stages depend on."""
    folder, _ = first_run
    assert list((folder / "stages/common").glob("__pycache__/*.pyc"))
    again = run(folder, "dvc", "repro")
    assert stages_run(again) == []
    assert UP_TO_DATE in again.stdout


def test_a_change_to_the_gru_reruns_no_stage_before_training(repository):
    with open(repository / "charrnn/layers/gru.py", "a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert changed_stages(repository) == ["evaluate", "report", "sample", "train"]
    (repository / "charrnn/storage/another.py").touch()  # a new file in a folder
    assert changed_stages(repository) == sorted(STAGES)


def test_temperature_reruns_only_the_check_and_sample(repository):
    assert stages_run(run(repository, "dvc", "exp", "run", "-S", "temperature=0.5")) == ["check", "sample"]


def test_a_name_that_is_no_hyperparameter_fails_although_no_stage_reads_it(repository):
    """DVC itself advises `+` for a misspelt name; it then adds the name to params.yaml and finds nothing to run."""
    for command in (("exp", "run", "-S", "+hiden_dim=64"), ("repro",)):
        failed = run(repository, "dvc", *command, fails=True)
        assert stages_run(failed) == ["check"]
        assert "error: params.yaml: 'hiden_dim' is not a hyperparameter; did you mean hidden_dim?" in failed.stderr


def test_what_sampling_would_refuse_is_refused_before_training(repository):
    (repository / "ru.txt").write_text("Жили-были старик со старухой. " * 200, encoding="utf-8")
    run(repository, "git", "add", "ru.txt")
    failed = run(repository, "dvc", "exp", "run", "--temp", "-S", 'data_url="ru.txt"', fails=True)
    assert stages_run(failed) == ["download", "prepare", "check"]
    assert "which begins with 'Жили-были '" in failed.stderr


def test_hidden_dim_reruns_training_and_what_follows_and_metrics_are_compared(repository):
    experiment = run(repository, "dvc", "exp", "run", "-S", "hidden_dim=9")
    assert sorted(stages_run(experiment)) == ["check", "evaluate", "report", "sample", "train"]

    changes = json.loads(run(repository, "dvc", "metrics", "diff", "--json").stdout)["metrics/train.json"]
    assert changes["parameters"]["old"] < changes["parameters"]["new"]
    assert changes["validation_loss"]["old"] != changes["validation_loss"]["new"]


def test_the_command_of_the_readme_brings_the_first_run_back(repository, first_outs):
    """Also after an experiment that failed: DVC may leave an index in which changed metrics look unchanged to git."""
    run(repository, "dvc", "exp", "run", "-S", "embedding_dim=5")
    assert (repository / MODEL).read_bytes() != first_outs[MODEL]
    run(repository, "dvc", "exp", "run", "-S", "num_epochs=-1", fails=True)

    (command,) = re.findall("`([^`]*)` brings the baseline back", README)
    run(repository, "bash", "-c", command)
    assert contents(repository, OUTS) == first_outs
    assert run(repository, "dvc", "status").stdout.strip() == UP_TO_DATE


def test_same_seed_in_a_fresh_clone_gives_the_same_bytes(first_run, first_outs, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(first_run[0]), "clone")
    clone = tmp_path / "clone"
    assert sorted(stages_run(run(clone, "dvc", "repro", "--force"))) == sorted(STAGES)
    assert contents(clone, OUTS) == first_outs
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_another_seed_gives_another_model(repository, first_outs):
    set_params(repository, seed=43)
    assert stages_run(run(repository, "dvc", "repro", "train")) == ["check", "train"]
    assert (repository / MODEL).read_bytes() != first_outs[MODEL]


def test_temp_experiment_is_listed_and_leaves_the_workspace_alone(repository, first_outs):
    run(repository, "dvc", "exp", "run", "--temp", "-S", "temperature=0.25")
    assert run(repository, "git", "status", "--porcelain").stdout == ""
    assert contents(repository, OUTS) == first_outs

    _, baseline = json.loads(run(repository, "dvc", "exp", "show", "--json").stdout)
    params = [experiment["revs"][0]["data"]["params"]["params.yaml"]["data"] for experiment in baseline["experiments"]]
    assert [values["temperature"] for values in params] == [0.25]


def test_bad_param_fails_by_name_and_the_model_can_be_restored(repository, first_outs):
    failed = run(repository, "dvc", "exp", "run", "-S", "hidden_dim=-1", fails=True)
    assert "hidden_dim is -1" in failed.stdout + failed.stderr

    run(repository, "git", "checkout", "-qf", ".")
    run(repository, "dvc", "checkout", "-q")
    assert contents(repository, OUTS) == first_outs


def test_plots_have_points_and_the_graph_names_every_stage(first_run):
    folder, _ = first_run
    plots = json.loads(run(folder, "dvc", "plots", "show", "--json").stdout)["data"]
    pictures = {plot for plot in PIPELINE["plots"] if isinstance(plot, str)}
    assert set(plots) == pictures | {title for plot in PIPELINE["plots"] if isinstance(plot, dict) for title in plot}
    for name, renderings in plots.items():
        assert all(
            plot["type"] == "image" if name in pictures else plot["content"]["data"]["values"] for plot in renderings
        )

    graph = run(folder, "dvc", "dag").stdout
    assert all(name in graph for name in STAGES)


@pytest.mark.parametrize("command", ["git init", "dvc config --local core.no_scm true"])
def test_a_folder_from_a_zip_file_needs_one_command(repository, command):
    shutil.rmtree(repository / ".git")
    assert "is not a git repository" in run(repository, "dvc", "repro", fails=True).stderr
    run(repository, *command.split())
    assert stages_run(run(repository, "dvc", "repro")) == []
    assert command in README


def test_training_starts_from_a_model_whose_content_is_noticed(repository, tmp_path):
    """Wherever it is and whatever it is called, and a missing one stops the pipeline before training."""
    outside = tmp_path / "old models/näher.npz"
    outside.parent.mkdir()
    for copy in (outside, repository / "models/old.npz"):
        shutil.copy(repository / MODEL, copy)
    for path in ("models/old.npz", outside):
        ran = run(repository, "dvc", "exp", "run", "-S", f'init_from="{path}"', "train")
        assert stages_run(ran) == ["prepare", "check", "train"]
        assert f"starting from {path}\n" in ran.stdout
        assert stages_run(run(repository, "dvc", "repro", "train")) == []

    trained = load_model(outside)
    trained.model.parameters[0] += 1
    save_model(outside, trained)
    assert stages_run(run(repository, "dvc", "repro", "train")) == ["prepare", "train"]
    assert load_model(repository / MODEL).init_sha256 == hashlib.sha256(outside.read_bytes()).hexdigest()

    outside.unlink()
    assert "No such file or directory: " in run(repository, "dvc", "repro", fails=True).stderr
    own = run(repository, "dvc", "exp", "run", "-S", f"init_from={MODEL}", fails=True)
    assert "defined as both a dependency and an output" in own.stderr


def test_a_recipe_is_a_params_file(repository):
    """`cp recipes/best.yaml params.yaml && dvc repro` would rerun every stage whose params it changes."""
    (repository / "params.yaml").write_bytes((repository / "recipes/best.yaml").read_bytes())
    assert changed_stages(repository) == sorted(STAGES)
