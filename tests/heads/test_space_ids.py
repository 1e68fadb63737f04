"""Space ids over the options of heads and input: equal exactly where the options mean the same, and
then the vectors are equal, too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from api import as_array
from image_bytes import picture
from kinds import OF_MAPS, kind_of, simplest

# Each line holds spellings of one head; different lines are different spaces.
HEADS = [
    ["global_avg", "global_avg:layer=features", "global_avg:encoding=ENCODING_FLOAT32"],
    ["global_avg:l2", "global_avg:l2,layer=features"],
    ["global_avg:layer=stage5"],
    ["global_max"],
    ["avg_max"],
    ["cat_avg_max"],
    ["gem", "gem:p=3", "gem:p=3,eps=1e-6", "gem:eps=0.000001"],
    ["gem:p=3.5"],
    ["gem:eps=0.001"],
    ["gem:l2,p=3", "gem:l2"],
    ["lse", "lse:r=10"],
    ["lse:r=9.99"],
    ["lp", "lp:p=2"],
    ["lp:p=3"],
    ["rmac", "rmac:levels=3", "rmac:overlap=0.4", "rmac:levels=3,overlap=0.4"],
    ["rmac:levels=2"],
    ["rmac:overlap=0.5"],
    ["crow", "crow:a=2", "crow:a=2,b=2"],
    ["crow:a=1"],
    ["crow:b=1"],
    ["spoc"],
    ["spoc:sigma=2"],
    ["scda"],
    ["adaptive_avg:output_size=2", "adaptive_avg:output_size=2x2"],
    ["adaptive_avg:output_size=2x3"],
    ["adaptive_max:output_size=2", "adaptive_max:output_size=2x2,return_indices=true"],
    [
        "spatial_pyramid",
        "spatial_pyramid:levels=1x2x4",
        "spatial_pyramid:pooling=WINDOW_POOLING_MAX",
    ],
    ["spatial_pyramid:levels=4x2x1"],
    ["spatial_pyramid:pooling=WINDOW_POOLING_AVG"],
    [
        "max_pool:kernel_size=2",
        "max_pool:kernel_size=2x2",
        "max_pool:kernel_size=2,stride=2",
        "max_pool:kernel_size=2,padding=0x0,dilation=1,ceil_mode=false",
        "max_pool:kernel_size=2,return_indices=true",
    ],
    ["max_pool:kernel_size=2,stride=1"],
    ["max_pool:kernel_size=2,padding=1"],
    ["max_pool:kernel_size=2,dilation=2"],
    ["max_pool:kernel_size=2,ceil_mode=true"],
    ["max_pool:kernel_size=2x3"],
    [
        "avg_pool:kernel_size=2",
        "avg_pool:kernel_size=2,count_include_pad=true",
        "avg_pool:kernel_size=2x2,stride=2x2",
    ],
    ["avg_pool:kernel_size=2,padding=1"],
    ["avg_pool:kernel_size=2,padding=1,count_include_pad=false"],
    ["avg_pool:kernel_size=2,divisor_override=3"],
    ["max_unpool:kernel_size=1", "max_unpool:kernel_size=1x1,stride=1"],
    [
        "conv_pool:kernel_size=2,mean_filter=true",
        "conv_pool:kernel_size=2x2,stride=2,mean_filter=true,relu=false",
    ],
    ["conv_pool:kernel_size=2,mean_filter=true,relu=true"],
    ["feature_map"],
    ["feature_map:layer=stage5"],
    ["class_scores", "class_scores:top_k=3", "class_scores:score_type=SCORE_TYPE_SOFTMAX"],
    ["class_scores:score_type=SCORE_TYPE_LOGITS"],
    [
        "class_activation_map",
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_FLOATS",
        "class_activation_map:format=ACTIVATION_MAP_FORMAT_PNG",
    ],
    ["class_activation_map:class_index=281"],
]
HEADS += [[simplest(kind)] for kind in OF_MAPS if kind not in {kind_of(line[0]) for line in HEADS}]
# Encodings in the space of the float32 vectors, and those that are not.
ROUNDED = ("ENCODING_FLOAT16", "ENCODING_INT8")
OWN = ("ENCODING_BINARY",)
MOST_HEADS = 32  # in a request


@dataclass(frozen=True)
class Seen:
    """One result: what was asked for, what it means, and what came."""

    spelling: str
    meaning: tuple
    space_id: str
    values: np.ndarray | None  # float32, where the result has such values


def extract(client, photo, heads: list[str], options, meaning) -> list[Seen]:
    """Results of spelt heads; `meaning` gives each head's meaning."""
    out = []
    for start in range(0, len(heads), MOST_HEADS):
        part = heads[start : start + MOST_HEADS]
        outcome = client.extract([photo], part, input_options=options).results[0]
        assert outcome.WhichOneof("outcome") == "features", outcome.status.message
        for head, got in zip(part, outcome.features.head_results, strict=True):
            assert len(got.space_id) == 32 and set(got.space_id) <= set("0123456789abcdef"), head
            out.append(
                Seen(head, meaning(head), got.space_id, as_array(got) if got.values else None)
            )
    return out


def check_pairs(row, seen: list[Seen]) -> None:
    """Every pair: the same id exactly where the meaning is the same; one case a pair."""
    for a, b in itertools.combinations(seen, 2):
        same = a.space_id == b.space_id
        row.case(
            f"{a.spelling} | {b.spelling}",
            same == (a.meaning == b.meaning),
            f"{'the same' if same else 'different'} ids for {a.meaning} and {b.meaning}",
        )
        if same and a.values is not None and b.values is not None:
            row.case(
                f"{a.spelling} | {b.spelling}: values",
                a.values.shape == b.values.shape and np.allclose(a.values, b.values, 1e-5, 1e-6),
                "they differ",
            )


def test_heads(client, ledger, photos):
    spelt = {spelling: (number,) for number, line in enumerate(HEADS) for spelling in line}
    assert len(spelt) == sum(map(len, HEADS))
    with ledger("space ids: pairs of heads") as row:
        check_pairs(
            row, extract(client, photos["cat.png"], list(spelt), None, lambda head: spelt[head])
        )


def test_encodings(client, ledger, photos):
    heads = [
        "global_avg",
        "global_avg:l2",
        "gem:p=4",
        "feature_map:layer=stage5",
        "spatial_pyramid",
    ]
    spelt = {}
    for head in heads:
        spelt[head] = (head, "")
        for encoding in (*ROUNDED, *OWN):
            spelling = f"{head}{',' if ':' in head else ':'}encoding={encoding}"
            spelt[spelling] = (head, encoding if encoding in OWN else "")
    with ledger("space ids: pairs of heads") as row:
        check_pairs(
            row, extract(client, photos["cat.png"], list(spelt), None, lambda head: spelt[head])
        )


# Each field of InputOptions with its values; what each means is worked out by input_meaning.
RESIZES = (None, "RESIZE_MODE_SHORTER_SIDE", "RESIZE_MODE_EXACT", "RESIZE_MODE_NONE")
CROPS = (None, "CROP_MODE_CENTER", "CROP_MODE_NONE")
SIZES = ((None, None), (224, 224), (96, None), (None, 96), (96, 128))
SHORTER_SIDES = (None, 256, 109, 120)
SCALES = ((), (1.0,), (1.0, 0.75), (0.75, 1.0), (0.75,))
FLIPS = (None, False, True)
EXIF = (None, True, False)
DECODES = (None, "DECODE_MODE_EXACT", "DECODE_MODE_SCALED")
BACKGROUNDS = (None, (0, 0, 0), (255, 10, 0))
RECIPE = (256, 224)  # shorter side and crop of the default model


def input_meaning(o: dict) -> tuple:
    """What decides the pixels: fields that have no say under the chosen resize and crop are left
    out.
    """
    resize = o["resize"] or "RESIZE_MODE_SHORTER_SIDE"
    crop = o["crop"] or "CROP_MODE_CENTER"
    height, width = o["size"]
    height, width = height or width or RECIPE[1], width or height or RECIPE[1]
    parts: list[object] = [resize]
    if resize == "RESIZE_MODE_SHORTER_SIDE":
        parts.append(
            o["shorter"] or max(RECIPE[0] * height // RECIPE[1], RECIPE[0] * width // RECIPE[1])
        )
    parts.append(crop)
    if "RESIZE_MODE_EXACT" == resize or crop == "CROP_MODE_CENTER":
        parts.append((height, width))
    scales = tuple(sorted(o["scales"])) or (1.0,)
    # Where the picture is not shrunk to half, there is nothing to scale.
    parts.append(
        o["decode"] == "DECODE_MODE_SCALED" and (resize != "RESIZE_MODE_NONE" or scales[-1] < 0.5)
    )
    return (*parts, o["exif"] is not False, o["background"], scales, bool(o["flip"]))


def input_options(pb, o: dict):
    options = pb.InputOptions(scales=o["scales"])
    if o["resize"]:
        options.resize = pb.ResizeMode.Value(o["resize"])
    if o["crop"]:
        options.crop = pb.CropMode.Value(o["crop"])
    if o["decode"]:
        options.decode = pb.DecodeMode.Value(o["decode"])
    for field, value in (
        ("input_height_px", o["size"][0]),
        ("input_width_px", o["size"][1]),
        ("resize_size_px", o["shorter"]),
        ("apply_exif", o["exif"]),
        ("flip", o["flip"]),
    ):
        if value is not None:
            setattr(options, field, value)
    if o["background"] is not None:
        options.background.CopyFrom(
            pb.RgbColor(**dict(zip(("red", "green", "blue"), o["background"], strict=True)))
        )
    return options


def drawn_options(rng: np.random.Generator) -> dict:
    """Few fields at a time, so that spellings meet."""
    choices = {
        "resize": RESIZES,
        "crop": CROPS,
        "size": SIZES,
        "shorter": SHORTER_SIDES,
        "scales": SCALES,
        "flip": FLIPS,
        "exif": EXIF,
        "decode": DECODES,
        "background": BACKGROUNDS,
    }
    chosen = set(rng.choice(list(choices), int(rng.integers(0, 4)), replace=False))
    return {
        name: values[int(rng.integers(len(values)))] if name in chosen else values[0]
        for name, values in choices.items()
    }


def small_picture() -> np.ndarray:
    return picture(140, 120, seed=3)


def test_input_options(client, ledger):
    rng = np.random.default_rng(12)
    drawn = [drawn_options(rng) for _ in range(100)]
    seen = []
    for o in drawn:
        meaning = input_meaning(o)
        spelling = {k: v for k, v in o.items() if v not in (None, ()) and v != (None, None)}
        for one in extract(
            client,
            small_picture(),
            ["global_avg", "gem:l2"],
            input_options(client.pb, o),
            lambda head, m=meaning: (head, m),
        ):
            seen.append(Seen(f"{one.spelling} {spelling}", one.meaning, one.space_id, one.values))
    assert 40 <= len({s.meaning for s in seen}) < len(seen) - 20  # both kinds of pairs
    with ledger("space ids: pairs of input options") as row:
        check_pairs(row, seen)


def test_the_models_own_ids(client, ledger):
    """GetModel's ids are those of the results."""
    model = client.stub.GetModel(client.pb.GetModelRequest()).model
    heads = [h for h in model.head_types if h.default_space_id]
    assert len(heads) >= 12
    results = (
        client.extract([small_picture()], [h.name for h in heads]).results[0].features.head_results
    )
    with ledger("space ids: those of GetModel") as row:
        row.equal(
            "the default request",
            client.extract([small_picture()]).results[0].features.head_results[0].space_id,
            model.space_id,
        )
        for head, got in zip(heads, results, strict=True):
            row.equal(head.name, got.space_id, head.default_space_id)
            count = len(got.class_scores) or int(np.prod(got.shape))
            row.equal(f"{head.name}: number of values", count, head.default_value_count)


@pytest.mark.parametrize("head", ["gem", "crow"])
def test_layers_that_lose_negative_values_are_warned_of(client, ledger, head):
    model = client.stub.GetModel(client.pb.GetModelRequest()).model
    signed = [layer.name for layer in model.layers if not layer.non_negative]
    assert signed and len(signed) < len(model.layers)
    with ledger("warnings of layers with negative activations") as row:
        for layer in model.layers:
            (got,) = (
                client.extract([small_picture()], [f"{head}:layer={layer.name}"])
                .results[0]
                .features.head_results
            )
            told = any(layer.name in w for w in got.warnings)
            row.equal(f"{head} on {layer.name}: warning in the result", told, layer.name in signed)
            (plain,) = (
                client.extract([small_picture()], [f"global_avg:layer={layer.name}"])
                .results[0]
                .features.head_results
            )
            row.equal(f"global_avg on {layer.name}: no warning", list(plain.warnings), [])
        text = "\n".join(model.warnings)
        for layer in signed:
            row.case(f"GetModel names {layer}", f"'{layer}'" in text or layer in text.split(), text)
        row.case(f"GetModel names {head}", head in text, text)
