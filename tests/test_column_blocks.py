"""Products with blocks of columns, compared with products with the whole matrix."""

import numpy as np
import pytest

from charrnn.layers.column_blocks import UNPACKED, as_blocks, column_blocks


@pytest.mark.parametrize(
    "rows, K, N, width",
    [
        (2, 6, 5, 5),
        (32, 128, 128, 64),
        (32, 256, 256, 64),
        (64, 256, 256, 32),
        (32, 96, 96, 32),
        (32, 80, 80, 80),
        (128, 488, 16 * 7, 16),
        (128, 488, 8 * 31, 8 * 31),
        (64, 320, 320, 32),
        (64, 512, 512, 16),
        (32, 512, 257, 257),
    ],
)
def test_blocks_give_the_product(rows, K, N, width, rng):
    x, matrices, product = rng.normal(size=(2, rows, K)), rng.normal(size=(2, K, N)), np.empty((2, rows, N))
    blocks = column_blocks(matrices, rows)
    assert blocks.shape == (2, N // width, K, width)
    assert rows * K * width <= UNPACKED or width == N
    np.matmul(x[:, None], blocks, out=as_blocks(product, blocks))
    np.testing.assert_allclose(product, x @ matrices, atol=1e-9)


def test_a_block_is_contiguous(rng):
    assert column_blocks(rng.normal(size=(3, 512, 512)).swapaxes(1, 2), 32).flags.c_contiguous
