"""Ranks: several processes that train together end where one would, to rounding, and with the same bytes each time."""

import threading
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from charrnn.checkpoint import load_checkpoint, save_checkpoint
from charrnn.evaluation import evaluate
from charrnn.models import create_char_rnn_model
from charrnn.optimizers import Nadam
from charrnn.ranks import ALONE, Ranks, shares
from charrnn.training import fit

V = 5
TEXT = np.random.default_rng(1).integers(V, size=403, dtype=np.uint8)


def together(size, work):
    """What each of so many ranks returns from `work(ranks)`. Here, they are threads that sum where they meet."""
    meeting, brought, results = threading.Barrier(size, timeout=60), [None] * size, [None] * size

    def sum_over(rank, array):
        brought[rank] = array.copy()
        meeting.wait()
        assert len({(a.shape, a.dtype) for a in brought}) == 1
        array[...] = sum(brought)
        meeting.wait()

    def run(rank):
        try:
            results[rank] = work(Ranks(rank, size, partial(sum_over, rank)))
        except BaseException as error:
            results[rank] = error
            meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class Stopped(BaseException):
    pass


def trained(ranks=ALONE, path=None, stop_at=None, stopper=0, num_threads=1, **options):
    """The parameters, the loss of each batch and the history. Rank `stopper` is told to stop after so many batches, and
    then a checkpoint is left at `path`; if there is one, it is gone on from."""
    rng, losses = np.random.default_rng(3), []
    sizes = dict(embedding_dim=3, hidden_dim=6, num_layers=2, cell="gru")
    model = create_char_rnn_model(V, rng, **{name: options.pop(name, size) for name, size in sizes.items()})

    def stop(now):
        if ranks.rank == 0:
            save_checkpoint(path, {}, now)
        raise Stopped

    try:
        history = fit(
            model,
            TEXT,
            TEXT[:53],
            rng=rng,
            optimizer=Nadam(0.01),
            resume=load_checkpoint(path, {}) if path is not None and path.exists() else None,
            ranks=ranks,
            num_threads=num_threads,
            stopped=lambda: len(losses) + 1 == stop_at and ranks.rank == stopper,
            on_batch=lambda now, loss: losses.append(loss),
            on_stop=stop,
            **dict(num_epochs=2, batch_size=6, window_size=10) | options,
        )
    except Stopped:
        return None, losses, None
    return model.parameters, losses, history


# The last batch has 2 sequences, fewer than there are ranks.
SHUFFLED = dict(window_size=10, stride=7, batch_size=6)
SETTINGS = [
    dict(SHUFFLED, clip_norm=0.5, weight_decay=0.1, schedule="cosine"),
    dict(SHUFFLED, dropout=0.4),
    dict(carry_state=True, dropout=0.4, num_layers=3),
    dict(carry_state=True, cell="lstm", batch_size=2),  # fewer streams than ranks
    dict(SHUFFLED, cell="rnn", targets="last"),
]
each_setting = pytest.mark.parametrize("options", SETTINGS, ids=lambda options: ",".join(options))


def assert_alike(one, other):
    """To rounding. Not the parameters: where a gradient is nearly zero, Nadam makes much of its rounding at first."""
    np.testing.assert_allclose(one[1], other[1], rtol=1e-5)
    for row, expected in zip(one[2], other[2], strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


@each_setting
@pytest.mark.parametrize("size", [2, 3])
def test_ranks_give_the_losses_of_one_process_and_all_the_same(size, options):
    alone = trained(**options)
    ranks = together(size, partial(trained, **options))
    for rank in ranks:
        assert_alike(rank, alone)
        assert rank[0].tobytes() == ranks[0][0].tobytes() and rank[1:] == ranks[0][1:]
    assert ranks[0][0].tobytes() != alone[0].tobytes()  # sums in another order: they were at work


@pytest.mark.parametrize("cut", ["MULTIPLY_ADDS_A_THREAD", "NUMBERS_A_THREAD"])
def test_threads_of_every_rank_change_nothing_but_rounding(cut, monkeypatch):
    options = dict(carry_state=True, dropout=0.4)
    alone = trained(**options)
    monkeypatch.setattr(f"charrnn.parts.{cut}", 1)
    with_one_thread = together(2, partial(trained, **options))
    for rank, other in zip(together(2, partial(trained, num_threads=2, **options)), with_one_thread):
        assert_alike(rank, alone)
        assert rank[0].tobytes() != other[0].tobytes()  # sums in another order: the threads were at work


@each_setting
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("stop_at", [3, 9])
def test_training_goes_on_with_another_number_of_ranks(before, after, stop_at, options, tmp_path):
    path = tmp_path / "checkpoint"

    def part(size, **more):
        work = partial(trained, path=path, **more, **options)
        return together(size, work) if size > 1 else [work()]

    stopped = part(before, stop_at=stop_at, stopper=before - 1)
    assert [len(losses) for _, losses, _ in stopped] == [stop_at] * before  # whoever was told to, all stop together
    for parameters, losses, history in part(after):
        assert_alike((parameters, stopped[0][1] + losses, history), trained(**options))


@pytest.mark.parametrize("num_streams", [1, 2, 7])
def test_ranks_evaluate_as_one_process_does(num_streams, rng):
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=6)
    expected = evaluate(model, TEXT, num_streams=num_streams)
    copies = [create_char_rnn_model(V, np.random.default_rng(0), embedding_dim=3, hidden_dim=6) for _ in range(3)]
    for copy in copies:
        copy.parameters[...] = model.parameters
    results = together(3, lambda ranks: evaluate(copies[ranks.rank], TEXT, num_streams=num_streams, ranks=ranks))
    assert results[0] == pytest.approx(expected, rel=1e-6)
    assert results == [results[0]] * 3


def test_shares_are_nearly_equal_and_cover_the_whole():
    assert shares(slice(3, 13), 4) == [slice(3, 6), slice(6, 9), slice(9, 11), slice(11, 13)]
    assert [Ranks(rank, 3).share(2) for rank in range(3)] == [slice(0, 1), slice(1, 2), slice(2, 2)]
    assert ALONE.share(7) == slice(0, 7)


@pytest.mark.parametrize("num_shares", range(1, 9))
def test_no_share_of_a_smaller_batch_is_larger(num_shares):
    """Threads are made for whole batches, and a last batch with fewer sequences must not need more of them."""
    sizes = [[own.stop - own.start for own in shares(slice(0, n), num_shares)] for n in range(60)]
    assert all(less <= more for of_n in pairwise(sizes) for less, more in zip(*of_n))


def test_a_step_costs_one_message(monkeypatch):
    messages = []

    def work(ranks):
        def counted(array):
            messages.append(array.size)
            ranks.sum(array)

        return trained(Ranks(ranks.rank, ranks.size, counted), carry_state=True, batch_size=4)

    parameters, losses, history = together(2, work)[0]
    H, num_layers, B = 6, 2, 4
    of_steps = parameters.size + 2 + num_layers * B * H
    assert sorted(messages) == sorted(2 * ([3] * len(history) + [of_steps] * len(losses)))
