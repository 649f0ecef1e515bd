"""Arrays that begin at a cache line."""

import numpy as np
import pytest

from charrnn.arrays import CACHE_LINE, aligned_copy, aligned_empty
from charrnn.models import create_char_rnn_model


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("shape, dtype", [((3, 5), np.float32), ((7,), np.float64), ((1, 4), np.intp), ((), np.uint8)])
def test_an_empty_array_has_its_shape_and_begins_at_a_cache_line(shape, dtype):
    several = [aligned_empty(shape, dtype) for _ in range(8)]  # a single one may begin there by chance
    for array in several:
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.c_contiguous and array.flags.writeable
        assert address(array) % CACHE_LINE == 0


def test_each_array_has_memory_of_its_own():
    arrays = [aligned_empty((5,), np.float32) for _ in range(8)]
    for number, array in enumerate(arrays):
        array[...] = number
    assert [array.tolist() for array in arrays] == [[number] * 5 for number in range(8)]


def test_a_copy_is_contiguous_begins_at_a_cache_line_and_is_no_view(rng):
    array = rng.normal(size=(4, 6)).T
    copied = aligned_copy(array)
    np.testing.assert_array_equal(copied, array)
    assert copied.flags.c_contiguous and address(copied) % CACHE_LINE == 0
    assert not np.shares_memory(copied, array)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_all_buffers_of_recurrent_layers_begin_at_a_cache_line(cell, rng):
    model = create_char_rnn_model(65, rng, cell=cell)
    buffers = vars(model.allocate(T=4, B=16).layers[1])
    assert buffers
    assert {name: address(array) % CACHE_LINE for name, array in buffers.items()} == dict.fromkeys(buffers, 0)
