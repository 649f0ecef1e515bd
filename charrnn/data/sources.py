"""Which files a source names: a source is a URL, or the path of a file, of a folder of texts, or of a glob."""

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from charrnn.data.compression import ENDINGS
from charrnn.data.credentials import public
from charrnn.errors import InputError

URL = re.compile(r"(?:https?|file):|.*://", re.IGNORECASE | re.DOTALL)
TEXT_FILES = tuple(f".txt{ending}" for ending in ("", *ENDINGS))  # endings of the names that a folder's texts have


def is_url(source: str) -> bool:
    """Whether a source is a URL. An existing path is not, even if it looks like one: `http:notes.txt`."""
    return not os.path.exists(os.path.expanduser(source)) and bool(URL.match(source))


def public_name(source: str) -> str:
    """The name of a source that may be shown and recorded: a path as it is, a URL without credentials."""
    return source if os.path.exists(os.path.expanduser(source)) else public(source)


def is_compressed(source: str) -> bool:
    """Whether the name of a file, or the path in a URL, has the ending of a compressed file."""
    path = urlsplit(source).path if is_url(source) else source
    return path.lower().endswith(tuple(ENDINGS))


def is_same_file(path: str, other: str | Path) -> bool:
    """Whether a path exists and leads to the same file as the other path."""
    path = os.path.expanduser(path)
    return os.path.exists(path) and os.path.realpath(path) == os.path.realpath(other)


def files(source: str, excluded: str | Path) -> list[str]:
    """The URL or the paths of the files that a source names, in order.

    A folder stands for the texts in it and in its subfolders: the files whose names end in .txt, perhaps followed by
    the ending of a compressed file. Hidden files and folders are left out. In a glob, `**` stands for any number of
    folders. Files are sorted by the names of their folders and their own, character by character. If a source begins
    with `~`, so do the paths.

    Parameters
    ----------
    excluded
        A path that is never among the files of a folder or a glob, because it is written to.

    Raises
    ------
    InputError
        If a folder has no text, nothing matches a glob, or a folder can't be read.
    """
    if is_url(source):
        return [source]
    path = os.path.expanduser(source)
    try:
        if os.path.isdir(path):
            found, problem = list(_texts_in(path)), f"it is a folder without texts; their names must end in {_listed()}"
        elif os.path.exists(path) or not glob.has_magic(path):
            return [source]
        else:
            found, problem = list(_matches(path)), "no file matches it"
    except ValueError as error:  # the name has a null byte, or a lone surrogate
        raise InputError(str(error)) from None
    except OSError as error:
        place = "" if error.filename in (None, path) else f"{os.fspath(error.filename)}: "
        raise InputError(f"{place}{error.strerror}") from None
    kept = sorted((name for name in found if not is_same_file(name, excluded)), key=lambda name: PurePath(name).parts)
    if not kept:
        raise InputError(problem)
    home = re.match(r"~[^/\\]*", source) if path != source else None  # a name may also begin with a ~
    return [home[0] + name.removeprefix(os.path.expanduser(home[0])) if home else name for name in kept]


def _texts_in(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder, onerror=_fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            os.path.join(parent, name)
            for name in names
            if name.lower().endswith(TEXT_FILES) and not name.startswith(".")
        )


def _matches(pattern: str) -> Iterator[str]:
    # glob itself silently skips folders that it can't read.
    fixed = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    parent = os.path.dirname(fixed) or "."
    if "**" in pattern:
        for _ in os.walk(parent, onerror=_fail):
            pass
    else:
        os.listdir(parent)
    return (name for name in glob.iglob(pattern, recursive=True) if not os.path.isdir(name))


def _fail(error: OSError) -> None:
    raise error


def _listed() -> str:
    return f"{', '.join(TEXT_FILES[:-1])} or {TEXT_FILES[-1]}"
