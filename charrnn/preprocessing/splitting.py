"""Splitting a text, in its own order, into training, validation and test."""

from charrnn.errors import InputError


def split_sizes(n: int, train_size: float, validation_size: float) -> tuple[int, int, int]:
    """How many of n characters go to training, validation and test, in this order of the text.

    `train_size` is the share of the text that is not test, `validation_size` the share of that which is validation.

    Raises
    ------
    InputError
        If a part would have fewer than 2 characters: one to read and one to predict.
    """
    training = int(n * train_size)
    validation = int(training * validation_size)
    sizes = (training - validation, validation, n - training)
    for name, size in zip(("training", "validation", "test"), sizes):
        if size < 2:
            raise InputError(
                f"the text has {n} characters, which leaves {size} for {name} at train_size {train_size} and "
                f"validation_size {validation_size}; each part needs at least 2"
            )
    return sizes
