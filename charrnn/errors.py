"""Errors that the user can fix; each message is one line that names the thing, its value and what is allowed."""


class CharRNNError(Exception):
    """An error that the command line shows as one line instead of a traceback."""


class InputError(CharRNNError, ValueError):
    """An input (a parameter, a text, a file) can't be used."""


class DivergenceError(CharRNNError, ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""
