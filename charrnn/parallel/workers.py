"""The group of workers that train one network together, as each worker sees it.

Every worker holds the same parameters and computes the gradient of its shard of a batch. The gradients are summed over
all workers, and then each takes the same step. `all_reduce` and `broadcast` are collective: all workers call them in
the same order.
"""

from itertools import pairwise
from typing import Any

from charrnn.arrays import Array


class Workers:
    """A group of one worker, which has nothing to send. Subclasses connect several processes.

    Attributes
    ----------
    rank, size
        The number of this worker, from 0, and the number of workers.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    def all_reduce(self, *arrays: Array) -> None:
        """Replace each array by its sum over all workers, in one message with the dtype of the first array.

        The arrays must be contiguous, and have the same shapes and dtypes on every worker.
        """

    def broadcast(self, value: Any) -> Any:
        """Return the value that rank 0 passes; the others wait for it, and their own values are ignored."""
        return value

    def shard(self, n: int) -> slice:
        """This worker's slice of n items. The slices of two workers differ by at most one item, and may be empty."""
        return shards(n, self.size)[self.rank]


ALONE = Workers()


def shards(n: int, size: int) -> list[slice]:
    """Cut the range 0 … n into `size` consecutive slices; if n is not a multiple, the first ones are longer by 1."""
    length, longer = divmod(n, size)
    bounds = [i * length + min(i, longer) for i in range(size + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]
