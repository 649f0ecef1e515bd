"""Cut a matrix into blocks of columns that are small enough for BLAS to multiply by without copying them first.

BLAS copies both matrices of a product into a layout that suits it ("packing", Goto and van de Geijn 2008). For the few
rows of one time step, packing takes up to a third of the time. On processors with AVX-512, OpenBLAS skips it if the
product is small.
"""

import numpy as np

from charrnn.arrays import aligned_copy

# Most multiply-adds of a product that is not packed: OpenBLAS, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c
UNPACKED = 10**6


def column_blocks(matrix: np.ndarray, rows: int) -> np.ndarray:
    """The columns of `matrix` (…, K, N) in blocks of equal width: (…, N / width, K, width).

    The width is the first of 64, 32, N and 16 that divides N and for which a product of (rows, K) and (K, width) is not
    packed: a few whole registers are fastest. If there is no such width, there is one block.
    """
    *_, K, N = matrix.shape
    unpacked = UNPACKED // (rows * K)
    width = next((width for width in (64, 32, N, 16) if N % width == 0 and width <= unpacked), N)
    return aligned_copy(matrix.reshape(*matrix.shape[:-1], N // width, width).swapaxes(-3, -2))


def as_blocks(product: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """A view of the contiguous array `product` (…, rows, N) as (…, N / width, rows, width), to multiply into."""
    return product.reshape(*product.shape[:-1], -1, blocks.shape[-1]).swapaxes(-3, -2)
