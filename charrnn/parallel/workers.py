"""The workers that train one network together, as each of them sees the group.

Every worker holds the same parameters and computes the gradient of its shard of a batch. The gradients are summed over
all workers, and then each takes the same step. `all_reduce` and `broadcast` are collective: all workers call them in
the same order.
"""

from itertools import pairwise
from typing import Any

from charrnn.arrays import Array


class Workers:
    """A group of one, in which nothing has to be sent. Subclasses connect several processes.

    Attributes
    ----------
    rank, size
        The number of this worker, from 0, and how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def all_reduce(self, *arrays: Array) -> None:
        """Replace each array by its sum over all workers, in one message that has the dtype of the first array.

        The arrays are contiguous, and have the same shapes and dtypes on every worker.
        """

    def broadcast(self, value: Any) -> Any:
        """The value that rank 0 passes; the others wait for it, and what they pass is ignored."""
        return value

    def shard(self, n: int) -> slice:
        """Which of n things are this worker's: as many as any other worker has, to within one, and so perhaps none."""
        return shards(n, self.size)[self.rank]


ALONE = Workers()


def shards(n: int, size: int) -> list[slice]:
    """The range 0 … n in `size` consecutive slices of equal length; the first ones are longer by 1 where need be."""
    length, longer = divmod(n, size)
    bounds = [i * length + min(i, longer) for i in range(size + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]
