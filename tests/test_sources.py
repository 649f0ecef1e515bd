"""A text as people have it: folders, globs, several files joined, compressed files, and a hash that it must have."""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from charrnn.data import sources
from charrnn.data.compression import decompressed
from charrnn.data.download import fetch
from charrnn.errors import InputError
from stages.common.params import DownloadConfig
from tests.stage_project import call, set_up
from tests.test_download import environment, page, web  # noqa: F401 (these are fixtures)

TEXT = "Ein Käse für 3 €\r\n".encode()
MARK = b"\xef\xbb\xbf"
not_as_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="a folder that may not be read (root may read all, Windows differs)"
)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def zipped(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name.replace("_dot_", "."), content)
    return archive.getvalue()


COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": lambda text: zipped(a_dot_txt=text),
}
each_compression = pytest.mark.parametrize("ending", COMPRESS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave(folder, **files):
    """Leave files in a folder: `sub__a_dot_txt=b"..."` is sub/a.txt."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def fetched(*parts, **options):
    """Fetch one source of these parts; any warning fails the test. Returns what was written and what is reported."""
    destination = Path("data/raw/input.txt")
    about = fetch([list(parts)], destination, **{"warn": pytest.fail, "announce": pytest.fail} | options)
    content = destination.read_bytes()
    assert about["sha256"] == sha256(content)
    assert (about["bytes"], about["characters"]) == (len(content), len(content.decode()))
    return content, about


def refusal(*parts, **options):
    """Why a source is refused, without its name; nothing is left of the attempt."""
    with pytest.raises(InputError) as caught:
        fetched(*parts, **options)
    assert not list(Path("data/raw").iterdir())
    (line,) = str(caught.value).splitlines()
    start = f"data_url: no source could be read: {' + '.join(parts)!r}: "
    assert line.startswith(start)
    return line.removeprefix(start)


def names(about):
    return [file["name"] for file in about["files"]]


def test_a_folder_is_its_texts_and_those_of_its_subfolders_sorted_by_name(folder):
    leave(folder, t__b_dot_txt=b"B", t__a_dot_txt=b"A", t__B_dot_TXT=b"1", t__b__a_dot_txt=b"C", t__notes_dot_md=b"no")
    leave(folder, t___dot_hidden_dot_txt=b"no", t___dot_git__x_dot_txt=b"no", t__b_dot_txt_dot_gz=gzip.compress(b"D"))
    content, about = fetched("t")
    expected = ["t/B.TXT", "t/a.txt", "t/b/a.txt", "t/b.txt", "t/b.txt.gz"]
    assert names(about) == [os.path.join(*name.split("/")) for name in expected]
    assert content == b"1\nA\nC\nB\nD"
    assert about["source"] == "t"


def test_a_glob_is_the_files_that_match_it_sorted_by_name(folder):
    leave(folder, **{f"t__{i}_dot_txt": f"{i}".encode() for i in (10, 9, 2, 1)}, t__3_dot_md=b"3", t__s__4_dot_txt=b"4")
    (folder / "t/folder.txt").mkdir()
    assert fetched("t/*.txt")[0] == b"1\n10\n2\n9"
    assert fetched("t/**/*.txt")[0] == b"1\n10\n2\n9\n4"
    assert fetched("t/[12].*")[0] == b"1\n2"
    assert fetched("t/?.txt", "t/*.md")[0] == b"1\n2\n9\n3"
    assert fetched(f"{folder}/t/*")[0] == b"1\n10\n2\n3\n9"


def test_parts_are_joined_in_their_order_and_recorded_one_by_one(folder, web):  # noqa: F811
    url = page(web, body=MARK + b"from the web")
    leave(folder, a_dot_txt=b"A\n", b_dot_txt=MARK + b"B\n", b_dot_gz=gzip.compress(b"C"))
    content, about = fetched("b.txt", url, "b.gz", "a.txt")
    assert content == b"B\n\nfrom the web\nC\nA\n"
    assert about["source"] == f"b.txt + {url} + b.gz + a.txt"
    raw = {"b.txt": MARK + b"B\n", url: MARK + b"from the web", "b.gz": gzip.compress(b"C"), "a.txt": b"A\n"}
    assert about["files"] == [{"name": name, "sha256": sha256(of), "bytes": len(of)} for name, of in raw.items()]


@pytest.mark.parametrize("separator", ["", "\n\n", "—\r\n", "\0"])
def test_the_separator_stands_between_two_texts_and_nowhere_else(folder, separator):
    leave(folder, t__a_dot_txt=b"A", t__b_dot_txt=b"", t__c_dot_txt=b"C")
    assert fetched("t", separator=separator)[0].decode() == f"A{separator}{separator}C"
    assert fetched("t/[ac].txt", "t/a.txt", separator=separator)[0].decode() == separator.join("ACA")
    leave(folder, d_dot_txt=b"ab")
    assert fetched("d.txt", separator=separator)[0] == b"ab"


def test_a_byte_order_mark_is_dropped_at_the_beginning_of_each_file_only(folder):
    leave(folder, a_dot_txt=MARK + b"A" + MARK, b_dot_txt=MARK + MARK + b"B", c_dot_gz=gzip.compress(MARK + b"C"))
    assert fetched("a.txt", "b.txt", "c.gz")[0] == b"A" + MARK + b"\n" + MARK + b"B\nC"


def test_a_character_may_not_be_split_between_two_files(folder):
    leave(folder, a_dot_txt=b"caf\xc3", b_dot_txt=b"\xa9 noir")
    assert refusal("a.txt", "b.txt", separator="") == "'a.txt': the text is not UTF-8: unexpected end of data at byte 3"


@pytest.mark.parametrize("name", ["notes:2024.txt", "s3:x.txt", "[draft] *.txt", "a?.txt", "http:x"])
@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_a_name_that_exists_is_that_file(folder, name):
    (folder / name).write_bytes(TEXT)
    (folder / "d x.txt").write_bytes(b"what the glob would match")
    content, about = fetched(name)
    assert (content, about["source"], names(about)) == (TEXT, name, [name])


@pytest.mark.parametrize("name", ["notes:2024.txt", "mailto:me"])
def test_a_missing_file_with_a_colon_is_missing(folder, name):
    assert refusal(name) == "No such file or directory"


def test_the_home_folder_is_expanded_but_not_recorded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "me"))
    monkeypatch.setenv("USERPROFILE", str(folder / "me"))
    leave(folder, me__t__a_dot_txt=b"A", me__t__b_dot_txt=b"B")
    for source in ("~/t", "~/t/*.txt"):
        content, about = fetched(source)
        assert (content, about["source"]) == (b"A\nB", source)
        assert names(about) == [os.path.join("~/t", name) for name in ("a.txt", "b.txt")]
    content, about = fetched("~/t/a.txt", "~/t/b.txt")
    assert (content, names(about)) == (b"A\nB", ["~/t/a.txt", "~/t/b.txt"])
    assert str(folder) not in str(about)


def test_a_name_may_begin_with_a_tilde(folder):
    leave(folder, **dict.fromkeys(("~1_dot_txt", "~2_dot_txt", "~t__a_dot_txt"), b"text"))
    for source, expected in {"~*.txt": ["~1.txt", "~2.txt"], "~t": [os.path.join("~t", "a.txt")]}.items():
        assert names(fetched(source)[1]) == expected


def test_the_corpus_itself_is_none_of_the_texts(folder):
    leave(folder, data__a_dot_txt=b"A", data__b_dot_txt=b"B")
    for _ in range(2):  # the second time it is there
        for source in ("data", "data/**/*.txt"):
            assert fetched(source)[0] == b"A\nB"
    with pytest.raises(InputError, match="it is the file that the corpus is copied to; move the text elsewhere"):
        fetched("data/a.txt", "./data/raw/input.txt")
    assert Path("data/raw/input.txt").read_bytes() == b"A\nB"


NO_TEXTS = "it is a folder without texts; their names must end in .txt, .txt.gz, .txt.bz2, .txt.xz or .txt.zip"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (["empty"], NO_TEXTS),
        (["a.txt", "empty"], f"'empty': {NO_TEXTS}"),
        (["t/*.text"], "no file matches it"),
        (["em*"], "no file matches it"),  # but a folder
        (["a.txt", "t/x*"], "'t/x*': no file matches it"),
        (["nowhere/*.txt"], "nowhere: No such file or directory"),
        (["a.txt/*.txt"], "a.txt: Not a directory"),
        (["a.txt", "nowhere.txt"], "'nowhere.txt': No such file or directory"),
        (["a.txt", "s3://bucket/a.txt"], "'s3://bucket/a.txt': s3:// is not supported; a source must be an http, "),
        (["t"], "'t/bad.txt': the text is not UTF-8: invalid start byte at byte 3"),
        (["t/*"], "'t/bad.txt': the text is not UTF-8: invalid start byte at byte 3"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has other messages and separators")
def test_the_file_that_is_wrong_is_named(folder, parts, why):
    leave(folder, a_dot_txt=b"A", t__a_dot_txt=b"A", t__bad_dot_txt=b"ab\n\xff", empty__notes_dot_md=b"")
    assert refusal(*parts).startswith(why)


@not_as_root
@pytest.mark.parametrize("source", ["t", "t/*.txt", "t/**/*.txt"])
def test_a_folder_that_may_not_be_read_is_named(folder, source):
    leave(folder, t__a_dot_txt=b"A", t__secret__b_dot_txt=b"B")
    closed = folder / "t" / ("secret" if "*.txt" not in source or "**" in source else "")
    closed.chmod(0)
    try:
        assert "Permission denied" in refusal(source)
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("source", ["t", "t/**/*.txt"])
def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch, source):
    """As root, who may read everything."""
    leave(folder, t__a_dot_txt=b"A", t__secret__b_dot_txt=b"B")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert refusal(source) == f"{os.path.join('t', 'secret')}: Permission denied"


@each_compression
def test_a_compressed_text_is_decompressed_wherever_it_comes_from(folder, web, ending):  # noqa: F811
    body = COMPRESS[ending](MARK + TEXT)
    path = folder / f"text.txt{ending}"
    path.write_bytes(body)
    path.with_name("misnamed.txt").write_bytes(body)
    for source in (path.name, "misnamed.txt", path.as_uri(), page(web, body=body)):
        content, about = fetched(source)
        assert content == TEXT
        assert about["files"] == [{"name": source, "sha256": sha256(body), "bytes": len(body)}]


@each_compression
def test_a_text_that_a_server_has_decompressed_is_read(folder, web, ending):  # noqa: F811
    web.pages[f"/text.txt{ending}"] = lambda handler: page_of(handler, gzip.compress(TEXT))
    assert fetched(f"{web.url}/text.txt{ending}")[0] == TEXT


def page_of(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_a_compressed_file_may_have_several_members(folder, ending):
    leave(folder, **{f"a_dot_txt{ending.replace('.', '_dot_')}": COMPRESS[ending](b"A") + COMPRESS[ending](b"B")})
    assert fetched(f"a.txt{ending}")[0] == b"AB"


@each_compression
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_it_does_not_matter_how_the_bytes_arrive(tmp_path, ending, size):
    text = TEXT * 5000
    body = COMPRESS[ending](text)
    pieces = (body[i : i + size] for i in range(0, len(body), size))
    assert b"".join(decompressed(pieces, tmp_path)) == text
    pieces = (text[i : i + size] for i in range(0, len(text), size))
    assert b"".join(decompressed(pieces, tmp_path)) == text


def damaged(body, ending):
    """Each with a byte of its data changed."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0x55]) + body[middle + 1 :]


NAMES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}


@each_compression
def test_a_damaged_file_is_an_error_of_one_line(folder, web, ending):  # noqa: F811
    body = COMPRESS[ending](random.Random(0).randbytes(3000).hex().encode())
    path = folder / f"a{ending}"
    for content in (damaged(body, ending), b"no archive at all", TEXT):
        path.write_bytes(content)
        assert refusal(path.name).startswith(f"it is not valid {NAMES[ending]}: ")
    for length in (len(body) // 2, len(body) - 1):
        path.write_bytes(body[:length])
        expected = "it is not valid zip: " if ending == ".zip" else f"its {NAMES[ending]} data are incomplete"
        assert refusal(path.name).startswith(expected)
        assert refusal(page(web, body=body[:length])).startswith(expected)


@each_compression
def test_any_accident_is_an_error_of_one_line_or_changes_nothing(tmp_path, ending):
    rng, text = random.Random(1), TEXT * 20
    body = COMPRESS[ending](text)
    for _ in range(300):
        at = rng.randrange(len(body))
        content = body[:at] + rng.randbytes(rng.choice([0, 1, 2])) + body[at + rng.choice([0, 1, 4, 999]) :]
        if not content:
            continue
        try:
            read = b"".join(decompressed(iter([content]), tmp_path, f"a{ending}"))
        except InputError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert read == text


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (zipped(a=b"A", b=b"B"), "it is a zip archive of 2 files; it must contain exactly one"),
        (zipped(), "it is a zip archive of 0 files; it must contain exactly one"),
        (zipped(a=b"\xff"), "the text is not UTF-8: invalid start byte at byte 0"),
    ],
)
def test_a_zip_archive_must_be_of_one_text(folder, web, body, why):  # noqa: F811
    leave(folder, a_dot_zip=body)
    assert refusal("a.zip") == refusal(page(web, body=body)) == why


def test_folders_and_what_macos_adds_are_no_files_of_a_zip_archive(folder):
    leave(folder, a_dot_zip=zipped(**{"texts/": b"", "texts/a.txt": TEXT, "__MACOSX/texts/._a.txt": b"\xff"}))
    assert fetched("a.zip")[0] == TEXT


def test_a_zip_archive_with_a_password_is_refused(folder):
    body = bytearray(zipped(a=TEXT))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # where the flags stand
        body[body.index(signature) + at] |= 1
    leave(folder, a_dot_zip=bytes(body))
    assert refusal("a.zip") == "it is a zip archive with a password; unpack it first"


@pytest.mark.parametrize("ending", ["", ".gz", ".xz"])
def test_a_tar_archive_is_refused(folder, ending):
    leave(folder, a_dot_txt=TEXT)
    with tarfile.open(f"a.tar{ending}", f"w:{ending[1:]}") as archive:
        archive.add("a.txt")
    assert refusal(f"a.tar{ending}") == "it is a tar archive; unpack it, and use the folder"


TOO_LARGE = "it is larger than {} MB, the limit that max_corpus_mb sets"


@each_compression
def test_the_limit_is_that_of_the_decompressed_text(folder, web, ending):  # noqa: F811
    body = COMPRESS[ending](b"ab" * 500_000)
    leave(folder, bomb=body)
    for source in ("bomb", page(web, body=body)):
        assert refusal(source, max_mb=0.999999) == TOO_LARGE.format(0.999999)
        assert len(fetched(source, max_mb=1)[0]) == 1_000_000
        Path("data/raw/input.txt").unlink()


@each_compression
def test_a_small_text_may_be_larger_when_compressed(folder, web, ending):  # noqa: F811
    leave(folder, **{f"a{ending.replace('.', '_dot_')}": COMPRESS[ending](TEXT)})
    assert fetched(f"a{ending}", max_mb=22e-6)[0] == TEXT
    Path("data/raw/input.txt").unlink()
    assert refusal(f"a{ending}", max_mb=21e-6) == TOO_LARGE.format("2.1e-05")


def test_the_limit_is_that_of_all_texts_together(folder):
    leave(folder, t__a_dot_txt=b"A" * 10, t__b_dot_txt=b"B" * 10)
    assert len(fetched("t", separator="--", max_mb=22e-6)[0]) == 22
    Path("data/raw/input.txt").unlink()
    assert refusal("t", separator="--", max_mb=21e-6) == TOO_LARGE.format("2.1e-05")


def test_an_archive_without_text_that_never_ends_is_left(folder, web):  # noqa: F811
    body = gzip.compress(b"") * 200_000  # 4 MB, and not a character
    assert refusal(page(web, body=body), max_mb=0.5) == TOO_LARGE.format(0.5)


@pytest.mark.parametrize("ending", ["", *COMPRESS])
def test_memory_does_not_grow_with_the_text(folder, ending):
    path = Path(f"a.txt{ending}")
    text = TEXT * 700_000
    path.write_bytes(COMPRESS[ending](text) if ending else text)
    tracemalloc.start()
    try:
        about = fetch([[path.name, path.name]], "data/raw/input.txt", warn=pytest.fail, announce=pytest.fail)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    assert about["bytes"] == 2 * len(text) + 1 > 30_000_000


def test_another_content_is_an_error_that_names_both_hashes(folder):
    leave(folder, a_dot_txt=TEXT, b_dot_txt=b"other")
    assert fetched("a.txt", expected_sha256=sha256(TEXT).upper())[0] == TEXT
    Path("data/raw/input.txt").unlink()
    why = refusal("b.txt", expected_sha256=sha256(TEXT))
    assert why == f"its SHA-256 is {sha256(b'other')}, but data_sha256 is {sha256(TEXT)}"
    warnings = []
    about = fetch(["b.txt", "a.txt"], "i", warnings.append, pytest.fail, expected_sha256=sha256(TEXT))
    assert about["source"] == "a.txt" and why in warnings[0]


def test_the_hash_is_that_of_the_prepared_text(folder):
    leave(folder, a_dot_gz=gzip.compress(MARK + b"A"), b_dot_txt=b"B")
    assert fetched("a.gz", "b.txt", separator="-", expected_sha256=sha256(b"A-B"))[0] == b"A-B"


def test_a_full_disk_is_not_blamed_on_a_zip_archive(folder, monkeypatch):
    leave(folder, a_dot_zip=zipped(a=TEXT))

    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("charrnn.data.compression.TemporaryFile", lambda dir: Full())
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(["a.zip", "a.zip"], "data/raw/input.txt", warn=pytest.fail, announce=pytest.fail)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("data_url", "expected"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ({"join": ["a", "b"]}, [["a", "b"]]),
        ([{"join": ["a", "b"]}, "c"], [["a", "b"], "c"]),
    ],
)
def test_what_data_url_means(data_url, expected):
    assert DownloadConfig(data_url=data_url).sources == expected


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("data_sha256: abc", "data_sha256 is 'abc'; it must be empty or 64 hexadecimal digits"),
        ("data_sha256: 12", "params.yaml: data_sha256 is 12; it must be a text"),
        (r'separator: "\ud800"', r"separator is '\ud800'; it must have only characters that UTF-8 can encode"),
        ("separator: 1", "params.yaml: separator is 1; it must be a text"),
    ],
)
def test_a_hash_and_a_separator_that_make_no_sense_are_refused(tmp_path, line, why):
    set_up(tmp_path)
    params, (name, *_) = tmp_path / "params.yaml", line.split(":")
    text = "".join(line + "\n" if old.startswith(f"{name}:") else old for old in params.open())
    params.write_text(text, encoding="utf-8")
    ended = call(tmp_path, "download")
    assert (ended.returncode, ended.stderr) == (1, f"error: {why}\n")


def with_data_url(folder, value):
    set_up(folder)
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(text.replace("data_url: corpus.txt", f"data_url: {value}"), encoding="utf-8")


def test_the_stage_joins_texts_and_records_them(tmp_path):
    with_data_url(tmp_path, "{join: [t, corpus.txt]}")
    leave(tmp_path, t__a_dot_txt=b"A", t__b_dot_txt=b"B")
    ended = call(tmp_path, "download", "--separator", "|")
    assert (ended.stdout, ended.stderr) == ("3,004 characters from t + corpus.txt, 3 files\n", "")
    assert (tmp_path / "data/raw/input.txt").read_bytes().startswith(b"A|B|")
    about = json.loads((tmp_path / "metrics/data.json").read_bytes())
    assert [file["name"] for file in about["files"]] == [
        os.path.join("t", "a.txt"),
        os.path.join("t", "b.txt"),
        "corpus.txt",
    ]
    assert about["files"][0] == {"name": os.path.join("t", "a.txt"), "sha256": sha256(b"A"), "bytes": 1}


@pytest.mark.parametrize("record", [None, b"", b"{", b"[]", b'{"sha256": 1}', b'{"sha256": "0"}', b"[" * 10**5])
def test_a_text_put_in_place_by_hand_is_not_overwritten(tmp_path, record):
    set_up(tmp_path)
    leave(tmp_path, data__raw__input_dot_txt=b"my own")
    if record is not None:
        leave(tmp_path, metrics__data_dot_json=record)
    ended = call(tmp_path, "download")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"error: {Path('data/raw/input.txt')} is not a text that this stage wrote, and would be overwritten; to train "
        "on it, move it elsewhere and set data_url to its path, or run `dvc commit --force download`; if you don't "
        "need it, remove it\n"
    )
    assert (tmp_path / "data/raw/input.txt").read_bytes() == b"my own"


def test_the_text_that_the_stage_has_written_is_overwritten(tmp_path):
    set_up(tmp_path)
    leave(tmp_path, a_dot_txt=MARK + TEXT)
    for source in ("a.txt", "corpus.txt", "a.txt"):
        assert call(tmp_path, "download", "--data-url", source).returncode == 0
    with open(tmp_path / "data/raw/input.txt", "ab") as file:
        file.write(b"!")
    assert call(tmp_path, "download").returncode == 1


def test_a_text_of_which_dvc_has_a_record_is_overwritten(tmp_path):
    """It is in DVC's cache."""
    set_up(tmp_path)
    leave(tmp_path, data__raw__input_dot_txt=b"my own")
    md5 = hashlib.md5(b"my own").hexdigest()
    leave(tmp_path, dvc_dot_lock=f"outs:\n- path: data/raw/input.txt\n  md5: {md5}\n".encode())
    assert call(tmp_path, "download").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows paths")
@pytest.mark.parametrize(("source", "is_url"), [
    ("http://a/b", True), ("HTTPS://a", True), ("file:/a", True), ("s3://a", True), ("://", True),
    ("a.txt", False), ("notes:2024.txt", False), ("C:\\a", False), ("/a://b", True), ("", False),
])  # fmt: skip
def test_what_a_url_is(folder, source, is_url):
    assert sources.is_url(source) is is_url
