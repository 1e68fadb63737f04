"""Regions in the client: their forms, which of them are sent, and their results."""

from __future__ import annotations

import numpy as np
import pytest

from pixpool import Box, Client, Extraction, Image, Region, RegionOptions
from pixpool._decode import features_from_proto
from pixpool._request import RequestSpec
from pixpool.v1 import feature_service_pb2 as pb


def sent(source, index=0, **options):
    """The request of an image."""
    return RequestSpec.make(**options).request(source, index, lambda: None)


def edges(request):
    return [(r.left, r.top, r.right, r.bottom) for r in request.images[0].regions]


@pytest.mark.parametrize(
    "regions",
    [
        [(1, 2, 3.5, 4)],
        [[1, 2, 3.5, 4]],
        [Region(1, 2, 3.5, 4)],
        [pb.Region(left=1, top=2, right=3.5, bottom=4)],
        np.array([[1, 2, 3.5, 4]]),
        [np.float32([1, 2, 3.5, 4])],
    ],
)
def test_regions_in_every_form(regions):
    assert edges(sent(b"abc", regions=regions)) == [(1, 2, 3.5, 4)]


def test_a_box_of_a_heatmap_is_a_region():
    assert edges(sent(b"abc", regions=[Box(1, 2, 3, 4)])) == [(1, 2, 3, 4)]


def test_names_and_shares_travel_with_a_region():
    (region,) = (
        sent(b"abc", regions=[Region(0, 0, 0.5, 1, "left half", relative=True)]).images[0].regions
    )
    assert region.region_id == "left half" and region.relative


@pytest.mark.parametrize(
    ("regions", "error", "message"),
    [
        (Region(1, 2, 3, 4), TypeError, "put the one into a list"),
        (Box(1, 2, 3, 4), TypeError, "put the one into a list"),
        ([(1, 2, 3)], ValueError, "four edges"),
        ((1, 2, 3, 4), TypeError, "four numbers"),
        (["abcd"], TypeError, "not str"),
        ([("a", 2, 3, 4)], ValueError, "must be numbers"),
        ([(None, 2, 3, 4)], ValueError, "must be numbers"),
    ],
)
def test_what_is_no_region_is_said_before_anything_is_sent(regions, error, message):
    with Client("127.0.0.1:1") as client, pytest.raises(error, match=message):
        client.extract([b"abc"], regions=regions)


def test_an_images_own_regions_win():
    call = [(0, 0, 9, 9)]
    assert edges(sent(Image(b"abc", regions=[(1, 2, 3, 4)]), regions=call)) == [(1, 2, 3, 4)]
    assert edges(sent(Image(b"abc"), regions=call)) == call
    message = pb.Image(encoded=b"abc", regions=[pb.Region(right=5, bottom=6)])
    assert edges(sent(message, regions=call)) == [(0, 0, 5, 6)]
    assert edges(sent(Image(message, "a", regions=[(1, 1, 2, 2)]))) == [(1, 1, 2, 2)]
    assert len(message.regions) == 1, "the caller's message stays as it is"


def test_an_image_with_regions_keeps_the_name_of_its_source(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    request = sent(Image(path, regions=np.array([[1, 2, 3, 4]])))
    assert request.images[0].image_id == str(path)
    assert sent(Image(b"abc", regions=[(1, 2, 3, 4)]), 7).images[0].image_id == "image 7"
    assert repr(Image(b"abc", regions=[(1, 2, 3, 4)])) == "Image(<3 bytes>, 1 regions)"
    assert repr(Image(b"abc", "a")) == "Image(<3 bytes>, 'a')"


def test_without_regions_the_request_is_as_ever():
    request = sent(b"abc")
    assert not request.HasField("region_options") and not request.images[0].regions


def test_options_become_a_message():
    options = RegionOptions(
        mode="map",
        pooling="roi_pool",
        output_size=(3, 4),
        sampling_ratio=2,
        aligned=False,
        include_image=True,
    ).to_proto()
    assert options == pb.RegionOptions(
        mode=pb.REGION_MODE_MAP,
        pooling=pb.REGION_POOLING_ROI_POOL,
        output_size=[3, 4],
        sampling_ratio=2,
        aligned=False,
        include_image=True,
    )
    assert RegionOptions(output_size=5).to_proto() == pb.RegionOptions(output_size=[5])
    assert RegionOptions().to_proto() == pb.RegionOptions()
    assert sent(b"abc", region_options=options).region_options == options
    with pytest.raises(ValueError, match="region option pooling must be one of roi_align"):
        RegionOptions(pooling="max").to_proto()


def result(regions, heads=("gem",), whole=False):
    """The result of an image with so many regions, the values of each its number and the head's."""
    features = pb.Features(height_px=40, width_px=30)

    def add(results, number):
        for h, head in enumerate(heads):
            results.add(head_id=head, kind=head, shape=[2], values=[number, h], space_id="s")

    for r in range(regions):
        region = features.regions.add(region_id=f"r{r}", left_px=r, right_px=9.5, bottom_px=8)
        add(region.head_results, r)
    if whole:
        add(features.head_results, -1)
    return features_from_proto(features, pb.ModelReference(name="m", version="1"), "a", 0)


def test_results_of_regions():
    got = result(3, ("gem", "global_max"))
    assert [r.region_id for r in got.regions] == ["r0", "r1", "r2"]
    assert got.regions[2].box == (2, 0, 9.5, 8)
    assert got.regions[1]["global_max"].values.tolist() == [1, 1]
    assert got.regions[1][0].values.tolist() == [1, 0]
    assert got.region_values("gem").tolist() == [[0, 0], [1, 0], [2, 0]]
    assert got.region_values(1).tolist() == [[0, 1], [1, 1], [2, 1]]
    assert "3 regions" in repr(got) and "r1" in repr(got.regions[1])
    with pytest.raises(KeyError, match='no head "lp"; the heads are gem, global_max'):
        got.regions[0]["lp"]


def test_arrays_of_pictures_say_where_the_regions_are():
    alone = result(2)
    for ask in (lambda: alone.values, lambda: Extraction([alone]).array):
        with pytest.raises(ValueError, match="region_values"):
            ask()
    both = result(2, whole=True)
    assert both.values.tolist() == [-1, 0]
    assert Extraction([both]).array.tolist() == [[-1, 0]]
    assert repr(Extraction([alone])) and Extraction([alone])._repr_html_()
    with pytest.raises(ValueError, match="no regions"):
        result(0, whole=True).region_values()
