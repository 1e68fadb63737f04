"""The tools take the same files for pictures: those of the formats that the server decodes."""

import io
import re
import sys

import PIL.Image
import PIL.TiffImagePlugin
import pillow_heif
import pytest

from image_formats import names
from project_tree import ROOT, project_files

sys.path.insert(0, str(ROOT / "scripts"))
import make_picture_suffixes  # noqa: E402

PIL.Image.init()
pillow_heif.register_heif_opener()
# What Pillow calls a format, where that is another name than ours.
PILLOW = {"heic": "HEIF"}

PYTHON = "client/python/pixpool/_picture_suffixes.py"
PYTHON_TABLES = "client/python/pixpool/_picture_files.py"
SOURCE = make_picture_suffixes.SOURCE.read_text()


def suffixes():
    return make_picture_suffixes.suffixes(SOURCE)


def signatures():
    return make_picture_suffixes.signatures(SOURCE)


def test_the_python_list_is_up_to_date():
    wanted = make_picture_suffixes.python_list(suffixes())
    assert (ROOT / PYTHON).read_text() == wanted, "run: scripts/py scripts/make_picture_suffixes.py"


@pytest.mark.parametrize("found", [[".a"], [".jpg", ".png"], [f".suffix{n}" for n in range(20)]])
def test_the_python_list_is_what_was_found(found):
    module = {}
    exec(make_picture_suffixes.python_list(found), module)
    assert module["PICTURE_SUFFIXES"] == tuple(found)


def test_the_table_is_read_whole():
    assert make_picture_suffixes.suffixes('kExtensions[] = {".a", ".b",\n  ".c"};') == [
        ".a",
        ".b",
        ".c",
    ]
    with pytest.raises(AssertionError):
        make_picture_suffixes.suffixes('kExtensions[] = {".a", "b"};')


def test_the_other_python_tables_are_up_to_date():
    junk = make_picture_suffixes.junk_folders(SOURCE)
    wanted = make_picture_suffixes.python_tables(signatures(), junk)
    found = (ROOT / PYTHON_TABLES).read_text()
    assert found == wanted, "run: scripts/py scripts/make_picture_suffixes.py"
    module = {}
    exec(found, module)
    assert module["PICTURE_SIGNATURES"] == tuple(signatures())
    assert set(module["JUNK_FOLDERS"]) >= {"@eaDir", "__MACOSX", ".thumbnails"}


def test_every_format_of_the_server_begins_with_a_signature():
    """A file without a suffix is known by it, and each signature is of some format."""
    met = set()
    for name in names():
        file = io.BytesIO()
        PIL.Image.new("RGB", (8, 8)).save(file, PILLOW.get(name, name))
        met |= {s for s in signatures() if matches(s, file.getvalue())}
        assert any(matches(s, file.getvalue()) for s in signatures()), name
    # Pillow writes TIFF in the machine's order of bytes only.
    met |= set(signatures()) & set(PIL.TiffImagePlugin.PREFIXES)
    # HEIFs may begin with another brand than heic, which pillow-heif writes.
    heif = [b"????ftyp" + brand for brand in (b"hev", b"mif1", b"msf1")]
    met |= set(signatures()) & set(heif)
    assert met == set(signatures())
    # As many bytes as the tools read.
    assert max(map(len, signatures())) <= 16


def matches(signature, data):
    return all(w in (ord("?"), b) for w, b in zip(signature, data, strict=False))


def test_every_format_of_the_server_has_its_suffixes_and_no_other_has():
    known = PIL.Image.registered_extensions()
    ours = {theirs: name for name, theirs in PILLOW.items()}
    found = {ours.get(known[suffix], known[suffix].lower()) for suffix in suffixes()}
    assert found == names()


def test_no_python_tool_has_a_list_of_its_own():
    lists = re.compile(r"""["']\.jpe?g["'],\s*["']\.\w+["'],\s*["']\.\w+["']""")
    found = [
        str(path)
        for path in project_files()
        if path.suffix == ".py"
        and path.parts[0] != "tests"
        and lists.search((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert found == [PYTHON]


@pytest.mark.parametrize("table", ['kX[] = {".a" + b};', "kX[] = {};", 'kY[] = {".a"};'])
def test_a_table_that_is_more_than_literals_is_refused(table):
    with pytest.raises(AssertionError):
        make_picture_suffixes.table(table, "kX")
    assert make_picture_suffixes.table('kX[] = {"a,b", "\\"c\\x01"};', "kX") == [
        "a,b",
        '\\"c\\x01',
    ]
