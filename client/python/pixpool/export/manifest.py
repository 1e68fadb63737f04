"""The manifest of a bundle as types: what the exporter writes and reads, see docs/bundle.md."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class LayerEntry(TypedDict):
    name: str
    channels: int
    stride: int
    non_negative: bool
    # Of transformers: the tokens before those of the patches, and whether the first of them is the
    # class token.
    prefix_tokens: NotRequired[int]
    class_token: NotRequired[bool]


class VectorEntry(TypedDict):
    """A vector a picture that the graph gives."""

    name: str
    dimensions: int


class AlignedEntry(TypedDict):
    """A second package of the engine aotinductor, for sides that are multiples of a number."""

    path: str
    multiple: int


class StepEntry(TypedDict):
    """What one way to quantise gave."""

    float_layers: str
    cosine_median: float
    cosine_p5: float
    top1_agreement: NotRequired[float]
    speedup: float


class FidelityEntry(StepEntry):
    """What the step that was written gave, and all steps that were tried."""

    pictures: int
    curve: list[StepEntry]


class EngineEntry(TypedDict):
    engine: str  # one of pixpool.export.engines
    precision: str
    path: str
    # Of aotinductor alone.
    device: NotRequired[str]
    min_side: NotRequired[int]
    instruction_set: NotRequired[str]
    aligned: NotRequired[AlignedEntry]
    # Of int8 alone.
    golden_min_cosine: NotRequired[float]
    fidelity: NotRequired[FidelityEntry]


class ClassifierEntry(TypedDict):
    # One of the two: on the average of a layer's map, or on a vector.
    layer: NotRequired[str]
    vector: NotRequired[str]
    class_count: int
    weight: str
    bias: str
    labels: NotRequired[str]


class ParametersEntry(TypedDict):
    """Of the parameters that the model's own output depends on, how many values the bundle's
    layers, vectors and classifier hold, and how many come after them."""

    held: int
    left_out: int


class GoldenVectorEntry(TypedDict):
    name: str
    values: str


class GoldenEntry(TypedDict):
    image: str
    layer: str
    values: str
    vectors: NotRequired[list[GoldenVectorEntry]]
    min_cosine: float


class ProjectionEntry(TypedDict):
    name: str
    # One of the two that the head is on.
    layer: NotRequired[str]
    vector: NotRequired[str]
    head: str
    head_parameters: dict[str, Any]
    input_dimensions: int
    output_dimensions: int
    mean: str
    matrix: str
    pictures: int
    explained_variance: float


class FilterEntry(TypedDict):
    name: str
    layer: str
    kernel_size: list[int]
    stride: list[int]
    groups: int
    output_channels: int
    weight: str
    bias: NotRequired[str]


class FileEntry(TypedDict):
    path: str
    sha256: str


class OptionalParts(TypedDict, total=False):
    """Keys that are there only where the bundle has such files."""

    vectors: list[VectorEntry]
    classifier: ClassifierEntry
    parameters: ParametersEntry
    projections: list[ProjectionEntry]
    filters: list[FilterEntry]


class Body(OptionalParts):
    """What a manifest says about the bundle's files; Manifest adds name, version and digests."""

    license: str
    weights_sha256: str
    input: dict[str, Any]  # see Recipe
    layers: list[LayerEntry]
    default_layer: str
    engines: list[EngineEntry]
    golden: GoldenEntry


class Manifest(Body):
    format_version: int
    name: str
    version: str
    files: list[FileEntry]
