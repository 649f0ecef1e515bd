"""The errors a user can mend; each message is one line that names the thing, its value and what is allowed."""


class CharRNNError(Exception):
    """What the command line shows as one line instead of a traceback."""


class InputError(CharRNNError, ValueError):
    """Something handed in from outside (a parameter, a text, a file) can't be used."""


class DivergenceError(CharRNNError, ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""
