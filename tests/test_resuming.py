"""Training that is stopped, interrupted or killed: it ends in one line, and the same command resumes to the same bytes."""

@pytest.fixture(scope="module")
def interrupted(finished, tmp_path_factory):
    """A folder in which Ctrl-C ended the first training after its first epoch, with the exit code and stderr."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("interrupted") / "project")
    for name in TRAINED:
        remove(name)(folder)
    with interruptible(folder, "train", "--num-epochs", 10**9) as process:
        while not process.stdout.readline().startswith("epoch 1/"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    return folder, process.returncode, errors


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupted_training_fails_in_one_line_and_leaves_a_checkpoint_but_no_model(interrupted, finished):
    folder, code, errors = interrupted
    assert code == 130
    (line,) = errors.strip().splitlines()
    assert line == "interrupted; what is done is kept, and the same command goes on from there"
    left = files(folder)
    assert set(left) - {"metrics/history.csv", CHECKPOINT} == set(files(finished)) - TRAINED
    assert CHECKPOINT in left


LONGER = ("--num-epochs", 6, "--dropout", 0.2, "--checkpoint-seconds", 0)


@pytest.fixture(scope="module")
def uninterrupted(finished, tmp_path_factory):
    """What longer training leaves that nothing has stopped, and how long that took."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("uninterrupted") / "project")
    began = time.monotonic()
    run(folder, "train", *LONGER)
    seconds = time.monotonic() - began
    assert CHECKPOINT not in files(folder)
    return files(folder), seconds


def killed_after(seconds, folder, *flags):
    """Start training and kill it after so many seconds, unless it has ended; whether it was killed."""
    with subprocess.Popen(command("train", *flags), cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode != 0


def test_training_killed_at_twenty_random_moments_leaves_the_same_bytes(project, uninterrupted):
    expected, seconds = uninterrupted
    moments, kills = random.Random(8), 0
    for name in TRAINED:
        remove(name)(project)
    for _ in range(20):
        kills += killed_after(moments.uniform(0.2, 1.0) * seconds, project, *LONGER)
        (project / MODEL).unlink(missing_ok=True)  # as DVC would before it starts again
    has_checkpoint = CHECKPOINT in files(project)
    printed = run(project, "train", *LONGER)
    assert kills >= 10
    assert printed.count("going on from models/char_rnn.npz.checkpoint") == has_checkpoint
    assert files(project) == expected


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to be waited for")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_training_that_was_told_to_stop_goes_on_from_there(number, project, uninterrupted):
    with subprocess.Popen(
        command("train", *LONGER[:-1], 1000), cwd=project, env=ENVIRONMENT, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
    assert "going on from models/char_rnn.npz.checkpoint: epoch " in run(project, "train", *LONGER)
    assert files(project) == uninterrupted[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_training_told_to_stop_after_its_last_batch_fails_too(project, finished):
    code = (
        "import os, signal\n"
        "from charrnn import training\n"
        "from stages import cli, train\n"
        "evaluate = training.evaluate\n"
        "training.evaluate = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT) or evaluate(*a, **k)\n"
        "cli.run(train.main)"
    )
    for name in TRAINED:
        remove(name)(project)
    ended = subprocess.run(
        [sys.executable, "-c", code, "--num-epochs", "1"],
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    assert (ended.returncode, ended.stderr.strip()) == (
        130,
        "interrupted; what is done is kept, and the same command goes on from there",
    )
    assert MODEL not in files(project)
    assert "going on from models/char_rnn.npz.checkpoint: epoch 2, 0 " in run(project, "train", "--num-epochs", 1)
    assert MODEL in files(project)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_checkpoint_of_another_run_is_left_aside_with_a_word(interrupted, tmp_path, finished):
    project = shutil.copytree(interrupted[0], tmp_path / "project")
    printed = run(project, "train")
    assert (
        "not going on from a checkpoint: models/char_rnn.npz.checkpoint is of a run with another num_epochs\n"
        in printed
    )
    assert files(project) == files(finished)


def test_a_damaged_checkpoint_is_left_aside_with_a_word(project, finished):
    (project / CHECKPOINT).write_bytes(b"half")
    assert "not going on from a checkpoint: models/char_rnn.npz.checkpoint is not a charrnn file" in run(
        project, "train"
    )
    assert files(project) == files(finished)
