"""Calls beside this thread: who makes them, when, and what becomes of their errors."""

import threading

import pytest
from threadpoolctl import threadpool_info

from charrnn.threads import start, threads


def blas_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_each_thread_has_a_call_at_the_same_time_and_one_blas_thread():
    before, barrier = blas_threads(), threading.Barrier(3, timeout=60)
    with threads(3) as beside:
        waiting = start([lambda: (barrier.wait(), threading.get_ident())] * 3, beside)
        places, idents = zip(*(wait() for wait in waiting))
        assert blas_threads() == {1}
    assert sorted(places) == [0, 1, 2]
    assert len(set(idents)) == 3 and idents[0] == threading.get_ident()
    assert blas_threads() == before


def test_a_single_thread_makes_every_call_at_once():
    made = []
    with threads(1) as beside:
        wait = beside(lambda: made.append(threading.get_ident()) or 7)
        assert made == [threading.get_ident()]
        assert wait() == wait() == 7
        assert blas_threads() == {1}
    assert len(made) == 1


def test_whoever_waits_makes_a_call_that_no_thread_has_begun_with():
    busy, release = threading.Event(), threading.Event()
    with threads(2) as beside:
        begun = beside(lambda: (busy.set(), release.wait(60), threading.get_ident()))
        assert busy.wait(60)
        made = []
        assert beside(lambda: made.append(1) or threading.get_ident())() == threading.get_ident()
        release.set()
        assert begun()[2] != threading.get_ident()
    assert made == [1]  # and nobody makes it again


def test_a_call_that_fails_tells_whoever_waits_for_it():
    with threads(2) as beside:
        begun = threading.Event()
        fails = beside(lambda: 1 / begun.set())
        assert begun.wait(60)  # so it is the other thread that makes the call
        with pytest.raises(TypeError):
            fails()


def test_an_error_in_this_thread_ends_the_block_once_the_others_are_done():
    finished = []
    with pytest.raises(KeyboardInterrupt), threads(2) as beside:
        begun = threading.Event()
        beside(lambda: (begun.set(), threading.Event().wait(0.1), finished.append(1)))
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert finished == [1]
