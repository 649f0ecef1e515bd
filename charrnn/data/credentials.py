"""Show a URL without the passwords and tokens in it."""

import re
from urllib.parse import quote, unquote, unquote_plus

HIDDEN = "***"


def public(source: str) -> str:
    """A source that may be shown and recorded: a path as it is, a URL without its user, password and query values.

    >>> public("https://me:secret@example.org/text?format=plain&token=secret")
    'https://***@example.org/text?format=***&token=***'
    """
    start, rest = _split(_cleaned(source))
    return start + _masked(rest) if start else source


def without_credentials(text: str, *sources: str) -> str:
    """The text of an error without the credentials of these sources or of any other URL that it quotes."""
    secrets = {
        form
        for source in sources
        for secret in _secrets(source) | _secrets(_cleaned(source))
        for form in _forms(secret)
    }
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return re.sub(r"(://+)([^\s'\"]*)", lambda url: url[1] + _masked(url[2]), text)


def _cleaned(source: str) -> str:
    """A URL as parsers read it: without line breaks and tabs, and without blanks around it."""
    return re.sub(r"[\t\r\n]", "", source).strip()


def _split(url: str) -> tuple[str, str]:
    """Split a URL before its user or host, as in "https://" and "me@example.org/text"; a path gives "" and the path."""
    start = re.match(r"[^:]{2,}:/+|[a-z][\w+.-]+:|//+", url, re.IGNORECASE)  # one letter would be a drive
    return (start[0], url[start.end() :]) if start else ("", url)


def _parts(rest: str) -> tuple[str, str, str, str]:
    """Split what follows http:// into "user:password@", the host with the path, the query, and the fragment."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@") + 1
    host = authority[end:]
    port = host.partition(":")[2]
    if port and not port.isdecimal() and not host.startswith("["):  # no port, but a password with a slash in it
        end = max(end, rest.rfind("@") + 1)
    address, _, fragment = rest[end:].partition("#")
    place, _, query = address.partition("?")
    return rest[:end], place, query, fragment


def _masked(rest: str) -> str:
    user, place, query, fragment = _parts(rest)
    values = re.sub(r"([^&;=]*=)?[^&;]+", rf"\1{HIDDEN}", query)
    return (user and f"{HIDDEN}@") + place + (query and f"?{values}") + (fragment and f"#{HIDDEN}")


def _secrets(source: str) -> set[str]:
    start, rest = _split(source)
    if not start:
        return set()
    user, _, query, fragment = _parts(rest)
    values = [part.partition("=")[2] or part for part in re.split("[&;]", query)]
    return {user.removesuffix("@"), *re.split("[:/?#@]", user), *values, fragment} - {""}


def _forms(secret: str) -> set[str]:
    """The forms of a secret in the text of an error: encoded or decoded, plain or as `repr` writes it."""
    decoded = {secret, unquote(secret), unquote_plus(secret)}
    escaped = {repr(text)[1:-1] for text in decoded} | {repr(text + "'\"")[1:-4] for text in decoded}  # \' or '
    return decoded | escaped | {quote(text, errors="replace") for text in decoded}
