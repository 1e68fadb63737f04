"""What a console and a notebook show of results: what matters, escaped, and never much."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from pixpool import (
    Box,
    ClassScore,
    Extraction,
    HeadResult,
    Heatmap,
    Image,
    ImageError,
    ImageResult,
    ModelReference,
    PixpoolError,
)

SPACE = "0123456789abcdef" * 2
SCORES = tuple(ClassScore(i, f"class {i}", 0.5 / (i + 1)) for i in range(1000))
NOTHING = np.empty(0, np.float32)


def head(head_id="gem", values=NOTHING, **fields):
    given = {
        "kind": "gem",
        "layer": "stage5",
        "space_id": SPACE,
        "encoding": "float32",
        "indices": None,
        "class_scores": (),
        "heatmap": None,
        "warnings": (),
    }
    return HeadResult(head_id=head_id, values=values, **(given | fields))


MODEL = ModelReference("net", "3")


def results(count, *heads, name="a.jpg"):
    return [ImageResult(name, i, model=MODEL, head_results=heads) for i in range(count)]


def failed(index, text="the JPEG ends early", name="b.jpg"):
    error = PixpoolError(grpc.StatusCode.INVALID_ARGUMENT, text, reason="IMAGE_UNDECODABLE")
    return ImageResult(name, index, ImageError(error, name, index))


VECTOR = np.linspace(-1, 1, 1280, dtype=np.float32)


def test_vectors():
    text = "float32 [1280] = -1, -0.9984, -0.9969, -0.9953, ..."
    one = head(values=VECTOR)
    assert repr(one) == f"<HeadResult gem of stage5, space {SPACE}: {text}>"
    (result,) = results(1, one)
    assert repr(result) == f"<ImageResult 0, 'a.jpg'\n  gem of stage5, space {SPACE}: {text}>"
    bits = head("bits", VECTOR > 0.9, encoding="binary", layer="", space_id="")
    got = Extraction([*results(2, one, bits), failed(2)])
    assert repr(got) == (
        "<Extraction of 3 images by net/3, 1 failed\n"
        f"  gem of stage5, space {SPACE}: {text.replace('[', '[3, ')}\n"
        "  bits: bool [3, 1280] = 0, 0, 0, 0, ...>"
    )


def test_images_without_features():
    assert repr(failed(3)) == (
        "<ImageResult 3, 'b.jpg': b.jpg: INVALID_ARGUMENT (IMAGE_UNDECODABLE): the JPEG ends early>"
    )
    assert repr(Extraction([failed(0)])) == "<Extraction of 1 image, 1 failed>"
    assert repr(Extraction([])) == "<Extraction of 0 images, 0 failed>"


def test_maps_of_several_shapes():
    maps = [head("map", np.ones((2, 3, side), np.float16)) for side in (4, 5)]
    got = Extraction([*results(1, maps[0]), *results(1, maps[1])])
    assert "float16, shapes differ; of the first [2, 3, 4] = 1, 1, 1, 1, ...>" in repr(got)


def test_scores_and_heatmaps():
    assert repr(head("class_scores", class_scores=SCORES)).endswith(
        ": class 0 0.5, class 1 0.25, class 2 0.1667, ...>"
    )
    box = Box(1, 2, 3, 4)
    png = Heatmap(SCORES[1], box, b"\x89PNG" + bytes(1_000_000), NOTHING)
    assert repr(png) == f"<Heatmap of class 1 0.25: PNG of 1000004 bytes, {box}>"
    floats = Heatmap(ClassScore(7, "", 0.5), box, b"", np.zeros((7, 9), np.float32))
    assert repr(floats) == f"<Heatmap of 7 0.5: float32 [7, 9], {box}>"
    assert repr(png) in repr(head(heatmap=png))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (bytes(3_000_000), "<3000000 bytes>"),
        (memoryview(np.zeros(9, np.int32)), "<36 bytes>"),
        (np.zeros((900, 800, 3), np.uint8), "<uint8 [900, 800, 3]>"),
        ("a.jpg", "'a.jpg'"),
    ],
)
def test_images_show_no_pixels(source, text):
    assert repr(Image(source, "me")) == f"Image({text}, 'me')"


def test_long_things_stay_short():
    """Maps of 25 million values, names and messages of a megabyte, a million images."""
    long = "x" * 1_000_000
    maps = head(long, np.zeros((2048, 112, 112), np.float32), indices=np.zeros((2048, 112, 112)))
    scores = head(class_scores=SCORES)
    everything = [*results(1_000, maps, scores, name=long), failed(1_000, long, long)]
    for one in (*everything[::1_000], maps, scores, Extraction(everything), Image(b"", long)):
        assert len(repr(one)) < 1_000
    for one in (everything[0], everything[-1], Extraction(everything)):
        assert len(one._repr_html_()) < 4_000


def test_tables_for_notebooks():
    got = Extraction([*results(30, head(values=VECTOR), name="<script>alert(1)</script>")])
    got = Extraction([failed(0, "<img src=x onerror=alert(2)>", "&"), *got])
    page = got._repr_html_()
    assert "31 images by net/3, 1 failed" in page and "float32 [31, 1280] = -1, -0.9984" in page
    assert SPACE in page and "and 21 more" in page
    assert page.count("<tr>") == 2 + 11  # the head, and ten of the images, below titles
    for one in (page, got[0]._repr_html_(), got[1]._repr_html_()):
        assert "<script" not in one and "<img" not in one
    assert "&lt;script&gt;alert" in page and "&lt;img src=x" in got[0]._repr_html_()
    assert "&lt;script&gt;alert" in got[1]._repr_html_()
