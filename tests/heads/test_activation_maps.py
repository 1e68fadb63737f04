"""Class activation maps of the real model: their arithmetic, their box, their pictures."""

from __future__ import annotations

import io
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from PIL import Image

from api import as_array, reason
from exposition import total
from network_input import Area, cropped_area, enlarged, over_picture
from oracles import largest_component

PHOTOS = ["cat.png", "coffee.png", "astronaut.png", "rocket.jpg"]
RESIZE, CROP = 256, 224  # the default model's recipe
BOX_SHARE = 0.2  # of the maximum (Zhou et al. 2016)
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Classifier:
    weight: np.ndarray  # [classes, channels]
    bias: np.ndarray


@pytest.fixture(scope="module")
def classifier(models_dir) -> Classifier:
    folder = models_dir / "efficientnet-lite0" / "1"
    bias = np.fromfile(folder / "classifier.bias.f32", "<f4")
    weight = np.fromfile(folder / "classifier.weight.f32", "<f4").reshape(len(bias), -1)
    return Classifier(np.float64(weight), np.float64(bias))


def whole(api) -> dict[str, object]:
    """Input options under which the network sees all of the picture."""
    pb = api.pb
    options = pb.InputOptions(
        resize=pb.RESIZE_MODE_EXACT, crop=pb.CROP_MODE_NONE, input_height_px=192, input_width_px=256
    )
    return {"input_options": options}


def results(client, path, *heads: str, **fields):
    outcome = client.extract([path], heads, **fields).results[0]
    assert outcome.WhichOneof("outcome") == "features", outcome.status.message
    return outcome.features


@pytest.mark.parametrize("photo", PHOTOS)
def test_a_map_sums_the_weighted_channels_and_means_the_logit(
    client, ledger, classifier, photos, photo
):
    classes = [None, 0, 281, 504, 999]
    heads = [f"class_activation_map{f':class_index={c}' if c is not None else ''}" for c in classes]
    others = (
        "feature_map",
        "class_scores:top_k=0,score_type=SCORE_TYPE_LOGITS",
        "class_scores:top_k=0",
    )
    features = results(client, photos[photo], *heads, *others).head_results
    x = np.float64(as_array(features[len(heads)]))
    logits, probabilities = (
        np.array([s.score for s in f.class_scores]) for f in features[len(heads) + 1 :]
    )
    np.testing.assert_allclose(
        logits, classifier.weight @ x.mean((1, 2)) + classifier.bias, rtol=TOLERANCE, atol=1e-4
    )
    with ledger("class activation maps: arithmetic") as row:
        for wanted, got in zip(classes, features[: len(heads)], strict=True):
            index = int(np.argmax(logits)) if wanted is None else wanted
            name = f"{photo}, class {index}"
            row.equal(f"{name}: the class shown", got.activation_map.class_score.class_index, index)
            evidence = as_array(got)
            parts = classifier.weight[index][:, None, None] * x
            scale = np.abs(parts).sum(0).max()
            row.close(f"{name}: sum of W x", evidence, parts.sum(0), TOLERANCE, scale)
            row.close(
                f"{name}: mean + bias = fc(GAP)",
                np.float64(evidence).mean() + classifier.bias[index],
                logits[index],
                TOLERANCE,
                scale,
            )
            row.close(
                f"{name}: probability",
                got.activation_map.class_score.score,
                probabilities[index],
                TOLERANCE,
            )
            row.equal(f"{name}: no PNG with floats", got.activation_map.png, b"")


def test_the_label_is_that_of_the_class(client, ledger, photos):
    labels = client.stub.GetModel(client.pb.GetModelRequest()).model.labels
    with ledger("class activation maps: arithmetic") as row:
        for photo in PHOTOS:
            score = (
                results(client, photos[photo], "class_activation_map")
                .head_results[0]
                .activation_map.class_score
            )
            row.equal(f"{photo}: label", score.label, labels[score.class_index])


def expected_box(
    evidence: np.ndarray, input_size: tuple[int, int], picture: tuple[int, int], area: Area
) -> list[int]:
    """[left, top, right, bottom] in pixels of the picture [height, width]."""
    if evidence.max() <= 0:
        return [0, 0, 0, 0]
    fine = enlarged(np.maximum(evidence, 0), input_size)
    part = largest_component(fine > BOX_SHARE * evidence.max())
    rows, columns = (np.flatnonzero(part.any(axis)) for axis in (1, 0))
    down, across = (
        (area.bottom - area.top) / input_size[0],
        (area.right - area.left) / input_size[1],
    )
    box = [
        area.left + columns[0] * across,
        area.top + rows[0] * down,
        area.left + (columns[-1] + 1) * across,
        area.top + (rows[-1] + 1) * down,
    ]
    outward = [
        np.floor(box[0] + 1e-6),
        np.floor(box[1] + 1e-6),
        np.ceil(box[2] - 1e-6),
        np.ceil(box[3] - 1e-6),
    ]
    return [
        int(np.clip(v, 0, limit))
        for v, limit in zip(outward, (picture[1], picture[0]) * 2, strict=True)
    ]


@pytest.mark.parametrize("photo", PHOTOS)
def test_the_box_surrounds_the_largest_part_above_a_fifth(client, api, ledger, photos, photo):
    heads = [
        "class_activation_map",
        "class_activation_map:class_index=281",
        "class_activation_map:class_index=7",
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG",
    ]
    with ledger("class activation maps: boxes") as row:
        for fields in ({}, whole(api)):
            features = results(client, photos[photo], *heads, **fields)
            height, width = features.height_px, features.width_px
            size = (features.input_height_px, features.input_width_px)
            area = (
                Area(0, 0, width, height) if fields else cropped_area(height, width, RESIZE, CROP)
            )
            for head, got in zip(heads, features.head_results, strict=True):
                evidence = as_array(got if got.values else features.head_results[0])
                box = got.activation_map.box
                have = [box.left_px, box.top_px, box.right_px, box.bottom_px]
                row.equal(
                    f"{head} on {photo} at {size}",
                    have,
                    expected_box(evidence, size, (height, width), area),
                )


def luminance(pixels: np.ndarray) -> np.ndarray:
    return np.float64(pixels) @ [0.299, 0.587, 0.114]


@pytest.mark.parametrize("photo", PHOTOS)
def test_the_pictures_show_the_evidence(client, api, ledger, photos, photo):
    heads = [
        "class_activation_map",
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG",
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY",
    ]
    picture = np.asarray(Image.open(photos[photo]).convert("RGB"))
    with ledger("class activation maps: PNG") as row:
        for fields in ({}, whole(api)):
            features = results(client, photos[photo], *heads, **fields)
            height, width = features.height_px, features.width_px
            area = (
                Area(0, 0, width, height) if fields else cropped_area(height, width, RESIZE, CROP)
            )
            evidence, *drawn = features.head_results
            heat = over_picture(
                np.maximum(as_array(evidence), 0) / max(evidence.values), height, width, area
            )
            outside = np.isnan(heat)
            seen = heat[~outside]
            images = []
            for head, got in zip(heads[1:], drawn, strict=True):
                image = Image.open(io.BytesIO(got.activation_map.png))
                images.append(np.asarray(image.convert("RGB")))
                row.case(
                    f"{head} on {photo}: a PNG of the picture's size",
                    image.format == "PNG"
                    and image.size == (width, height)
                    and not got.values
                    and not got.shape,
                    f"{image.format} of {image.size}, shape {got.shape}",
                )
            colours, overlay = images
            light = luminance(colours)
            row.case(
                f"{photo}: brighter where there is more evidence",
                np.corrcoef(light[~outside], seen)[0, 1] > 0.97 and _rises(light[~outside], seen),
                np.corrcoef(light[~outside], seen),
            )
            row.case(
                f"{photo}: brightest at the maximum",
                heat.flat[np.argmax(light)] >= seen.max() - 0.02,
                heat.flat[np.argmax(light)],
            )
            row.case(
                f"{photo}: dark without evidence",
                bool((light[outside | (heat == 0)] < 2).all()),
                "lit",
            )
            changed = np.abs(overlay.astype(int) - picture).max(2)
            row.case(
                f"{photo}: the overlay leaves the rest alone",
                not changed[outside | (heat == 0)].any(),
                "changed",
            )
            row.case(
                f"{photo}: the overlay shows the maximum",
                changed[heat >= 0.95].mean() > 30,
                changed[heat >= 0.95].mean(),
            )


def _rises(light: np.ndarray, heat: np.ndarray) -> bool:
    """Whether the mean luminance rises from each tenth of the heat to the next."""
    tenth = np.minimum((heat * 10).astype(int), 9)
    means = [light[tenth == t].mean() for t in range(10) if (tenth == t).any()]
    return bool((np.diff(means) > 0).all())


@pytest.mark.parametrize("index", [-1, 1000])
def test_a_class_that_does_not_exist_is_refused(client, ledger, photos, index):
    with ledger("class activation maps: arithmetic") as row:
        with pytest.raises(grpc.RpcError) as error:
            client.extract([photos["cat.png"]], [f"class_activation_map:class_index={index}"])
        got = error.value.code().name, reason(error.value)
        row.equal(f"class {index}", got, ("INVALID_ARGUMENT", "HEAD_INVALID"))


def passes(server) -> float:
    """Backbone passes so far."""
    return total(server, "pixpool_batch_size_count")


def test_a_map_costs_no_pass_of_its_own(client, server, ledger, photos):
    with ledger("one backbone pass a picture") as row:
        for heads in (
            ["global_avg"],
            ["global_avg", "class_activation_map"],
            ["class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG_OVERLAY"],
            ["gem:layer=stage3", "rmac", "class_scores", "class_activation_map", "feature_map"],
        ):
            before = passes(server)
            results(client, photos["cat.png"], *heads)
            row.equal(", ".join(heads), passes(server) - before, 1.0)
