"""The image formats that the server decodes, as its sources have them."""

import re

from project_tree import ROOT


def listed():
    """The entries of the list in formats.h, such as "Jpeg"."""
    source = (ROOT / "server/image/formats.h").read_text().replace("\\\n", " ")
    entries = re.search(r"#define PIXPOOL_IMAGE_FORMATS\(F\)(.*)", source)[1]
    return re.findall(r"F\((\w+)\)", entries)


def codecs():
    """(name, title) of each Codec, such as ("jpeg", "JPEG")."""
    found = []
    for source in sorted((ROOT / "server/image").glob("*.cc")):
        found += re.findall(
            r'\.name = "([^"]+)",\s*\.title = "([^"]+)"', source.read_text(encoding="utf-8")
        )
    return found


def names():
    """Of the formats, as errors and metrics have them."""
    return {name for name, _ in codecs()}


def titles():
    """Of the formats, for people."""
    return {title for _, title in codecs()}
