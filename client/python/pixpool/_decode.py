"""Results from the messages of the API."""

from __future__ import annotations

import dataclasses

import numpy as np

from pixpool._api import pb
from pixpool._results import (
    Box,
    ClassScore,
    HeadResult,
    Heatmap,
    ImageResult,
    ModelReference,
    RegionResult,
    StageTimes,
)
from pixpool._values import decode_values, encoding_name


def head_from_proto(result: pb.HeadResult) -> HeadResult:
    """Raises PixpoolError INTERNAL for a result that contradicts itself."""
    values = decode_values(result)
    indices = None
    if len(result.indices):
        indices = np.array(result.indices, np.int64).reshape(values.shape)
    heatmap = None
    if result.HasField("activation_map"):
        found = result.activation_map
        box = Box(found.box.left_px, found.box.top_px, found.box.right_px, found.box.bottom_px)
        score = _score(found.class_score) if found.HasField("class_score") else None
        heatmap = Heatmap(score, box, found.png, values)
    return HeadResult(
        head_id=result.head_id,
        kind=result.kind,
        layer=result.layer,
        space_id=result.space_id,
        encoding=encoding_name(result.encoding),
        values=values,
        indices=indices,
        class_scores=tuple(_score(s) for s in result.class_scores),
        heatmap=heatmap,
        warnings=tuple(result.warnings),
    )


def features_from_proto(
    features: pb.Features, model: pb.ModelReference, name: str, index: int
) -> ImageResult:
    """The result of an image that has features. Raises PixpoolError as head_from_proto does."""
    times = features.stage_times
    seconds = {
        field.name: getattr(times, field.name).seconds + getattr(times, field.name).nanos / 1e9
        for field in dataclasses.fields(StageTimes)
    }
    return ImageResult(
        name=name,
        index=index,
        model=ModelReference(model.name, model.version),
        head_results=tuple(head_from_proto(r) for r in features.head_results),
        size=(features.height_px, features.width_px),
        input_size=(features.input_height_px, features.input_width_px),
        stage_times=StageTimes(**seconds),
        warnings=tuple(features.warnings),
        regions=tuple(_region(r) for r in features.regions),
        cached=features.cached,
    )


def _region(region: pb.RegionFeatures) -> RegionResult:
    box = (region.left_px, region.top_px, region.right_px, region.bottom_px)
    return RegionResult(
        region.region_id, box, tuple(head_from_proto(r) for r in region.head_results)
    )


def _score(score: pb.ClassScore) -> ClassScore:
    return ClassScore(score.class_index, score.label, score.score)
