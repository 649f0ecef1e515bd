"""Split a text, in its own order, into training, validation and test text."""

from charrnn.errors import InputError
from charrnn.messages import counted


def split_sizes(n: int, train_size: float, validation_size: float) -> tuple[int, int, int]:
    """The sizes of the training, validation and test text, which follow each other in a text of n characters.

    `train_size` is the fraction of the text before the test text, `validation_size` the fraction of that before it
    which is for validation.

    Raises
    ------
    InputError
        If one of them would have fewer than 2 characters: one to read and one to predict.
    """
    training = int(n * train_size)
    validation = int(training * validation_size)
    sizes = (training - validation, validation, n - training)
    for name, size in zip(("training", "validation", "test"), sizes):
        if size < 2:
            raise InputError(
                f"the text has {counted(n, 'character')}, which leaves {size} for {name} at train_size {train_size} "
                f"and validation_size {validation_size}; each needs at least 2"
            )
    return sizes
