"""Format values for messages: foreign text, such as a file's content or a server's reply, counts, and figures.

Foreign text may be long and may contain control characters that change a terminal's colours or hide other text.
"""

LONGEST_QUOTE = 200  # characters


def shown(text: object, longest: int = LONGEST_QUOTE) -> str:
    """Foreign text for a message: on one line, with control characters escaped, cut after `longest` characters.

    >>> shown("red: \\x1b[31m")
    'red: \\\\x1b[31m'
    """
    line = "".join(map(_printable, str(text)[: longest + 1]))
    return line if len(line) <= longest else f"{line[:longest]}..."


def shown_lines(text: str) -> str:
    """Foreign text of several lines: control characters are escaped, except line breaks and tabs."""
    return "".join(c if c in "\n\t" else _printable(c) for c in text)


def quoted(value: object) -> str:
    """A value as Python would write it, cut like `shown`.

    >>> quoted("a\\nb")
    "'a\\\\nb'"
    """
    if isinstance(value, str | bytes):
        value = value[: LONGEST_QUOTE + 1]  # so that the representation of a long text is not built first
    try:
        return shown(repr(value))
    except ValueError:  # Python refuses to print integers of more than a few thousand digits
        return "a number with too many digits"


def counted(n: float, noun: str) -> str:
    """A count with its noun in the singular or plural.

    >>> counted(1, "character"), counted(2000, "batch")
    ('1 character', '2,000 batches')
    """
    ending = "" if n == 1 else "es" if noun.endswith(("ch", "sh", "s", "x")) else "s"
    return f"{n:,} {noun}{ending}"


def figure(value: float, decimals: int = 4) -> str:
    """A loss or another figure with this many decimals, but at most six significant digits.

    >>> figure(1.81559), figure(7281.123)
    ('1.8156', '7281.12')
    """
    return f"{value:.{decimals}f}" if abs(value) < 10 ** (6 - decimals) else f"{value:.6g}"


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]
