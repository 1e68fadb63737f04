"""Links of Markdown files that lead nowhere: to files that are not there, or to headings that no
file has.
"""

import re
import urllib.parse

from markdown_it import MarkdownIt

from project_tree import ROOT, project_files

PARSER = MarkdownIt("commonmark").enable("table")


def inline_tokens(text):
    """Every piece of running text, link, image and code, in order."""
    for token in PARSER.parse(text):
        yield from token.children or []


def targets(text):
    """Targets of the links and images of a Markdown text."""
    for token in inline_tokens(text):
        if token.type == "link_open":
            yield token.attrs["href"]
        elif token.type == "image":
            yield token.attrs["src"]


def anchors(text):
    """Anchors of a Markdown text's headings, as GitHub makes them."""
    found = []
    tokens = PARSER.parse(text)
    for opening, heading in zip(tokens, tokens[1:], strict=False):
        if opening.type != "heading_open":
            continue
        words = "".join(child.content for child in heading.children or [])
        anchor = re.sub(r"[^\w -]", "", words.lower()).replace(" ", "-")
        before = len([other for other in found if re.fullmatch(rf"{anchor}(-\d+)?", other)])
        found.append(f"{anchor}-{before}" if before else anchor)
    return set(found)


def problems(path, root=ROOT):
    """Yields "path: what is wrong" for the links of one file below `root`."""
    here = root / path
    for target in targets(here.read_text(encoding="utf-8")):
        parts = urllib.parse.urlsplit(target)
        if parts.scheme:
            continue
        there = here.parent / urllib.parse.unquote(parts.path) if parts.path else here
        if not there.exists():
            yield f"{path}: {target}: there is no such file"
        elif parts.fragment and there.suffix == ".md":
            if parts.fragment not in anchors(there.read_text(encoding="utf-8")):
                yield f"{path}: {target}: there is no such heading"


def markdown_files(root=ROOT):
    return [path for path in project_files(root) if path.suffix == ".md"]
