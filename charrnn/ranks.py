"""The processes that train one model together, each on its share of every batch.

They are called ranks, as in MPI, and may be on one machine or on many. All hold the same parameters: what each has
found out about its share is summed over all, and then each takes the same step by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from charrnn.arrays import Array

if TYPE_CHECKING:  # MPI is no requirement
    from mpi4py.MPI import Intracomm


@dataclass(frozen=True)
class Ranks:
    """Which of them this process is; alone, unless told otherwise.

    Attributes
    ----------
    rank, size
        The number of this process, from 0, and how many there are.
    sum
        Put the sum over all ranks in the place of an array. All ranks must call it, with arrays of one shape and dtype.
    """

    rank: int = 0
    size: int = 1
    sum: Callable[[Array], None] = lambda array: None

    def share(self, n: int) -> slice:
        """Which of n things are for this rank: as many as for any other, to within one, and so perhaps none."""
        return shares(slice(0, n), self.size)[self.rank]


ALONE = Ranks()


class JointSum:
    """Puts sums over all ranks in the places of several arrays, by one message, which has the dtype of the first."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks, self.message = ranks, np.empty(0)

    def __call__(self, *arrays: Array) -> None:
        if self.ranks.size == 1:
            return
        size, dtype = sum(array.size for array in arrays), arrays[0].dtype
        if (self.message.size, self.message.dtype) != (size, dtype):
            self.message = np.empty(size, dtype)
        np.concatenate([array.ravel() for array in arrays], out=self.message, casting="same_kind")
        self.ranks.sum(self.message)
        start = 0
        for array in arrays:
            array[...] = self.message[start : start + array.size].reshape(array.shape)
            start += array.size


def ranks_of(communicator: "Intracomm") -> Ranks:
    """The ranks of a communicator of mpi4py."""
    from mpi4py import MPI

    def sum(array: Array) -> None:
        communicator.Allreduce(MPI.IN_PLACE, array)

    return Ranks(communicator.rank, communicator.size, sum)


def shares(whole: slice, num_shares: int) -> list[slice]:
    """A slice cut into slices, the first of them longer by one than the others, if they can't be equally long.

    So no share of a longer slice is shorter.
    """
    length, longer = divmod(whole.stop - whole.start, num_shares)
    bounds = [whole.start + i * length + min(i, longer) for i in range(num_shares + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]
