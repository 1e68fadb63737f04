"""Scales and flip: the vectors of single passes, summed and normalised; what may not be summed."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from PIL import Image

from api import as_array, field_paths, reason

HEADS = [
    "global_avg",
    "global_avg:l2",
    "gem",
    "gem:l2,p=4",
    "rmac",
    "crow",
    "spoc:l2",
    "scda",
    "cat_avg_max:layer=stage5",
    "spatial_pyramid",
    "lse:layer=stage3",
]
RESIZE, CROP = 256, 224  # the default model's recipe
TOLERANCE = 1e-5


def vectors(client, source, heads=HEADS, **options) -> list[np.ndarray]:
    return client.features(source, *heads, input_options=client.pb.InputOptions(**options))


def unit(v: np.ndarray) -> np.ndarray:
    return v / max(np.linalg.norm(v), 1e-12)


def summed(passes: list[list[np.ndarray]]) -> list[np.ndarray]:
    """What several passes make of each head."""
    return [unit(np.sum(np.float64(vs), 0)) for vs in zip(*passes, strict=True)]


def compare(row, name: str, got, want) -> None:
    for head, a, b in zip(HEADS, got, want, strict=True):
        row.close(f"{head}, {name}", a, b, TOLERANCE, 1.0)  # of vectors of norm 1


@pytest.mark.parametrize(
    "scales", [(1, 0.5), (0.5, 1), (0.7071, 1, 1.4142), (0.75,), (0.25, 0.5, 0.75, 1.25)]
)
@pytest.mark.parametrize("photo", ["cat.png", "rocket.jpg"])
def test_scales(client, ledger, photos, scales, photo):
    with ledger("scales and flip: sums of single passes") as row:
        got = vectors(client, photos[photo], scales=scales)
        singles = [
            vectors(
                client,
                photos[photo],
                resize_size_px=round(RESIZE * s),
                input_height_px=round(CROP * s),
                input_width_px=round(CROP * s),
            )
            for s in scales
        ]
        if len(scales) == 1:  # one pass: nothing is summed or normalised
            for head, a, b in zip(HEADS, got, singles[0], strict=True):
                row.close(f"{head} of {photo}, scale {scales[0]}", a, b, TOLERANCE)
        else:
            compare(row, f"{photo}, scales {scales}", got, summed(singles))


def test_one_scale_of_one_is_the_plain_pass(client, ledger, photos):
    with ledger("scales and flip: sums of single passes") as row:
        scaled, plain = (
            vectors(client, photos["cat.png"], scales=[1]),
            vectors(client, photos["cat.png"]),
        )
        for head, a, b in zip(HEADS, scaled, plain, strict=True):
            row.equal(f"{head}, scale 1", a, b)


@pytest.fixture(scope="module")
def square(photos) -> np.ndarray:
    return np.ascontiguousarray(
        np.asarray(Image.open(photos["cat.png"]).convert("RGB"))[20:276, 90:346]
    )


def test_flip(client, ledger, square):
    """The picture is the network's input, so its mirror image is the mirrored input."""
    mirrored = np.ascontiguousarray(square[:, ::-1])
    options = {"resize": client.pb.RESIZE_MODE_NONE, "crop": client.pb.CROP_MODE_NONE}
    with ledger("scales and flip: sums of single passes") as row:
        got = vectors(client, square, flip=True, **options)
        compare(
            row, "flip", got, summed([vectors(client, s, **options) for s in (square, mirrored)])
        )
        again = vectors(client, mirrored, flip=True, **options)
        compare(row, "flip of the mirror image", again, got)


def test_scales_with_flip(client, ledger, square):
    mirrored = np.ascontiguousarray(square[:, ::-1])
    sides = (256, 128)
    for side in sides:  # halving treats left and right alike
        small, turned = (
            Image.fromarray(s).resize((side, side), Image.Resampling.BICUBIC)
            for s in (square, mirrored)
        )
        assert (np.asarray(small)[:, ::-1] == np.asarray(turned)).all()
    exact = {"resize": client.pb.RESIZE_MODE_EXACT, "crop": client.pb.CROP_MODE_NONE}
    with ledger("scales and flip: sums of single passes") as row:
        got = vectors(client, square, flip=True, scales=(1, 0.5), input_height_px=256, **exact)
        singles = [
            vectors(client, s, input_height_px=side, **exact)
            for s in (square, mirrored)
            for side in sides
        ]
        compare(row, "scales and flip", got, summed(singles))


MAP_HEADS = [
    "feature_map",
    "adaptive_avg:output_size=2",
    "adaptive_max:output_size=1",
    "max_pool:kernel_size=2",
    "avg_pool:kernel_size=2",
    "max_unpool:kernel_size=1",
    "conv_pool:kernel_size=2,mean_filter=true",
    "class_scores",
    "class_activation_map",
]


@pytest.mark.parametrize(
    "options", [{"flip": True}, {"scales": (1, 0.5)}, {"flip": True, "scales": (1,)}]
)
def test_heads_that_may_not_be_summed(client, ledger, photos, options):
    with ledger("scales and flip: what is refused") as row:
        for head in MAP_HEADS:
            with pytest.raises(grpc.RpcError) as error:
                vectors(client, photos["cat.png"], ["global_avg", head], **options)
            got = error.value.code().name, reason(error.value)
            row.equal(f"{head} with {options}", got, ("INVALID_ARGUMENT", "HEAD_INVALID"))
            paths = field_paths(error.value)
            row.case(
                f"{head} with {options}: field", any(p.startswith("heads[1]") for p in paths), paths
            )


@pytest.mark.parametrize(
    "scales",
    [
        (0.05,),
        (4.5,),
        (0,),
        (-1,),
        (float("nan"),),
        (1, 1),
        (0.5, 1, 0.5),
        tuple(0.1 * i for i in range(1, 10)),
    ],
)
def test_scales_out_of_range(client, ledger, photos, scales):
    with ledger("scales and flip: what is refused") as row:
        with pytest.raises(grpc.RpcError) as error:
            vectors(client, photos["cat.png"], ["global_avg"], scales=scales)
        row.equal(f"scales {scales}", error.value.code().name, "INVALID_ARGUMENT")
        paths = field_paths(error.value)
        row.case(
            f"scales {scales}: field",
            any(p.startswith("input_options.scales") for p in paths),
            paths,
        )


def test_a_scale_beyond_the_largest_input_is_refused(client, ledger, photos):
    with ledger("scales and flip: what is refused") as row:
        with pytest.raises(grpc.RpcError) as error:
            vectors(client, photos["cat.png"], scales=(1, 4), input_height_px=600)
        row.equal(
            "2400 pixels",
            (error.value.code().name, reason(error.value)),
            ("INVALID_ARGUMENT", "LIMIT_EXCEEDED"),
        )
        paths = field_paths(error.value)
        row.case(
            "2400 pixels: field", any(p.startswith("input_options.scales[1]") for p in paths), paths
        )


def test_maps_are_as_before_without_passes(client, ledger, photos):
    with ledger("scales and flip: sums of single passes") as row:
        plain = client.extract([photos["cat.png"]], ["feature_map"]).results[0]
        one = client.extract(
            [photos["cat.png"]], ["feature_map"], input_options=client.pb.InputOptions(scales=[1])
        ).results[0]
        row.equal(
            "feature_map at scale 1",
            as_array(one.features.head_results[0]),
            as_array(plain.features.head_results[0]),
        )
