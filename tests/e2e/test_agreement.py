"""Our decoders take and refuse what Pillow takes and refuses, with the same pixels (agreement.py).
tests/agreement is the same with 50,000 files of each format.
"""

from __future__ import annotations

import random

import pytest

from agreement import Ours, compare, pillow
from mutants import BASES, edits, mutants

COUNT = 3000
# Share of the files that may differ for a reason. Two readers of TIFF directories, each with its
# own leniency, part more often; Pillow's libavif and dav1d are years newer than Debian's; libheif
# shows what is left of a damaged HEIC.
MOST_EXCEPTIONS = {"tiff": 0.08, "avif": 0.06, "heic": 0.12}
# Files whose difference has no reason yet. Damaged TIFFs differ in so many ways that not all have
# been looked at (docs/pictures.md). Of HEICs it is one in a thousand: colours along an edge where a
# picture of an odd side is turned twice, and alpha whose kind is no longer named.
UNEXPLAINED = {"tiff": 5, "heic": 2}


@pytest.fixture
def ours(build_dir):
    program = Ours(build_dir / "tests" / "unit" / "image" / "decode_stream")
    yield program
    program.close()


@pytest.mark.parametrize("fmt", BASES)
def test_pillow_and_we_agree(ours, fmt):
    result = compare(ours, mutants(fmt, COUNT, seed=20))
    print(f"{fmt}: {result}")
    assert len(result.unexplained) <= UNEXPLAINED.get(fmt, 0), result
    assert result.files > 0.9 * COUNT
    assert result.read > 0.1 * COUNT
    assert sum(result.exceptions.values()) < MOST_EXCEPTIONS.get(fmt, 0.02) * COUNT


@pytest.mark.parametrize("fmt", BASES)
def test_edits_of_one_part(ours, fmt):
    every = list(edits(fmt))
    assert len(every) > 5000
    result = compare(ours, random.Random(1).sample(every, COUNT))
    assert len(result.unexplained) <= UNEXPLAINED.get(fmt, 0), result
    assert result.read > 0.1 * COUNT


@pytest.mark.parametrize("fmt", BASES)
def test_whole_pictures_are_read_without_a_warning(ours, fmt):
    bases = list(BASES[fmt]())
    assert len(bases) == 20
    for data in bases:
        answer = ours(data)
        assert answer.read and not answer.damages
        assert answer.digest == pillow(data).digest
