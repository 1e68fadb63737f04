"""Models of a server as they describe themselves; fields are named as in feature_service.proto."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

from pixpool._api import pb
from pixpool._display import clipped, html_table
from pixpool._head_text import enum_name

_Info = TypeVar("_Info")


@dataclasses.dataclass(frozen=True)
class InputSize:
    """A size of a network's input, in pixels."""

    height_px: int
    width_px: int


@dataclasses.dataclass(frozen=True)
class InputRecipe:
    """How pictures become network input.

    resize: "shorter_side", "exact" or "none"; resize_size_px: length in pixels of the shorter side;
    resize_height_px, resize_width_px: size in pixels after "exact", before the crop, else 0.
    interpolation: filter of the resize, always antialiased: "bilinear" or "bicubic".
    crop: "center" or "none".
    input_height_px, input_width_px: size of the input in pixels.
    sizes: all sizes of its input that the network takes; empty where it is not bound to a list.
    size_multiple_px: both sides of the input are multiples of this many pixels.
    color: what the network sees of the picture: "rgb", or "grey", its luma.
    mean, std: what is subtracted from a value and what it is then divided by, inside the network's
        graph; a number per channel in RGB order, on the 0 to 255 scale.
    """

    resize: str
    resize_size_px: int
    interpolation: str
    crop: str
    input_height_px: int
    input_width_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize_height_px: int = 0
    resize_width_px: int = 0
    sizes: tuple[InputSize, ...] = ()
    size_multiple_px: int = 1
    color: str = "rgb"


@dataclasses.dataclass(frozen=True)
class Layer:
    """A named layer of a backbone, which heads can pool; its maps are [C, H, W].

    channel_count: C. stride_px: input pixels between neighbouring cells, so that H is about the
    input's height divided by it.
    non_negative: whether no value can be negative; where this is false, gem loses those below 0.
    prefix_token_count: tokens that a transformer's block carries beside those of the map; 0 for
        other layers. has_class_token: whether the first of them is a class token; the others are
        registers (`heads.ClassToken`).
    """

    name: str
    channel_count: int
    stride_px: int
    non_negative: bool
    prefix_token_count: int = 0
    has_class_token: bool = False


@dataclasses.dataclass(frozen=True)
class Vector:
    """A vector that the network gives for each picture.

    name: "embedding", the model's own (`heads.Embedding`), or that of a trained head of the bundle
    (`heads.BundleHead`). dimension_count: number of its values.
    """

    name: str
    dimension_count: int


@dataclasses.dataclass(frozen=True)
class HeadParameter:
    """A parameter of a head kind.

    type: "float", "int", "bool", "int_list", "text" or "enum".
    default_value: as text; "" where the parameter is required or its default depends on others.
    range: allowed values as text, such as "(0, 100]"; brackets include the end, parentheses not.
    """

    name: str
    type: str
    default_value: str
    required: bool
    range: str


@dataclasses.dataclass(frozen=True)
class HeadType:
    """A head kind that works with the model.

    name: as in heads' texts, such as "gem". description: what it computes, in a sentence.
    default_value_count: values that it gives on the default layer and recipe with default
        parameters; 0 where a parameter has no default.
    default_space_id: the space id of those; "" where a parameter has no default.
    """

    name: str
    description: str
    parameters: tuple[HeadParameter, ...]
    default_value_count: int
    default_space_id: str


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on requests; over them INVALID_ARGUMENT with reason LIMIT_EXCEEDED.

    max_images_per_request, max_heads_per_request, max_regions_per_image: counts.
    max_image_bytes: of one encoded image. max_image_pixels: height times width of one image.
    max_image_side_px, max_input_side_px: longer side in pixels of one image, and of the network's
        input.
    max_response_bytes: of one response, as estimated before any work.
    max_message_bytes: of one request; over it gRPC itself answers RESOURCE_EXHAUSTED.
    max_head_operations: map values that the windows of one request's heads read.
    """

    max_images_per_request: int
    max_heads_per_request: int
    max_image_bytes: int
    max_image_pixels: int
    max_image_side_px: int
    max_input_side_px: int
    max_response_bytes: int
    max_message_bytes: int
    max_head_operations: int
    max_regions_per_image: int = 0


@dataclasses.dataclass(frozen=True)
class Projection:
    """A PCA-whitening of the bundle, for `projection` of a head: matrix * (x - mean).

    layer, head_kind: what it was fitted on; vector: of the network, "" where it was a layer's.
    input_dimension_count: length of the vectors that it
    takes; output_dimension_count: of those that it gives, by falling variance.
    picture_count: number of pictures that it was fitted on.
    explained_variance: share of the variance that all its dimensions keep, 0 to 1.
    """

    name: str
    layer: str
    head_kind: str
    input_dimension_count: int
    output_dimension_count: int
    picture_count: int
    explained_variance: float
    vector: str = ""


@dataclasses.dataclass(frozen=True)
class ConvFilter:
    """A convolution filter of the bundle, for `bundle_filter` of `heads.ConvPool`.

    layer: that it was trained for. kernel_size, stride: height and width in cells of its window,
    and of its step where a request names none.
    output_channel_count: channels of its output. group_count: as in torch.nn.Conv2d; as many as
    channels for a depthwise filter.
    """

    name: str
    layer: str
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    output_channel_count: int
    group_count: int


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """A model of the server.

    name, version: a folder of the model repository, and a folder in it.
    state: "ready", "loading", or "failed", and state_message then says why; else that is "".
    idle: whether it is ready, but was freed since no call needed it: the next one loads it.
    engine, device, precision: such as "openvino", "cpu" and "float32".
    license: of the weights, as the bundle states it. weights_sha256: in hexadecimal.
    input_recipe: how pictures become input unless a request says otherwise.
    layers: first to last; default_layer: that of heads that name none; vectors: those that the
        network itself gives.
    classifier_layer, classifier_vector: layer or vector that the classifier reads; "" where it
        reads none such.
    head_types: the kinds of heads that work with the model.
    labels: in class order; empty without a classifier, and in `Client.models`.
    class_count: number of classes; 0 without a classifier.
    space_id: of global_avg on the default layer with the recipe as it is.
    warnings: remarks for people.
    message: the protobuf message that all this was read from.
    """

    name: str
    version: str
    state: str
    state_message: str
    engine: str
    device: str
    precision: str
    license: str
    weights_sha256: str
    input_recipe: InputRecipe
    layers: tuple[Layer, ...]
    default_layer: str
    classifier_layer: str
    head_types: tuple[HeadType, ...]
    labels: tuple[str, ...]
    class_count: int
    space_id: str
    limits: Limits
    warnings: tuple[str, ...]
    projections: tuple[Projection, ...]
    filters: tuple[ConvFilter, ...]
    message: pb.Model = dataclasses.field(repr=False, compare=False)
    vectors: tuple[Vector, ...] = ()
    classifier_vector: str = ""
    idle: bool = False

    def __repr__(self) -> str:
        return f"<ModelInfo {self._summary()}>"

    def _repr_html_(self) -> str:
        """A table of the layers, for notebooks."""
        rows = [(x.name, x.channel_count, x.stride_px, x.non_negative) for x in self.layers]
        return html_table(
            self._summary(), ("layer", "channels", "stride in pixels", "non-negative"), rows
        )

    def _summary(self) -> str:
        recipe = self.input_recipe
        return clipped(
            f"{self.name}/{self.version}, {self.state}: {self.engine} on {self.device} in"
            f" {self.precision}, input {recipe.input_height_px}x{recipe.input_width_px},"
            f" {len(self.layers)} layers (default {self.default_layer}), {len(self.head_types)}"
            f" kinds of heads, {self.class_count} classes, space {self.space_id}",
            400,
        )


def model_from_proto(message: pb.Model) -> ModelInfo:
    recipe = message.input_recipe
    return _made(
        ModelInfo,
        message,
        state=enum_name(pb.ModelState.DESCRIPTOR, message.state),
        input_recipe=_made(
            InputRecipe,
            recipe,
            resize=enum_name(pb.ResizeMode.DESCRIPTOR, recipe.resize),
            crop=enum_name(pb.CropMode.DESCRIPTOR, recipe.crop),
            sizes=_all(InputSize, recipe.sizes),
        ),
        layers=_all(Layer, message.layers),
        vectors=_all(Vector, message.vectors),
        head_types=tuple(
            _made(HeadType, kind, parameters=_all(HeadParameter, kind.parameters))
            for kind in message.head_types
        ),
        limits=_made(Limits, message.limits),
        projections=_all(Projection, message.projections),
        filters=_all(ConvFilter, message.filters),
        message=message,
    )


def _made(kind: type[_Info], message: Message, /, **given: Any) -> _Info:
    """The dataclass with the message's fields of the same names, lists as tuples."""
    values = dict(given)
    for field in message.DESCRIPTOR.fields:
        if field.name not in given:
            value = getattr(message, field.name)
            values[field.name] = tuple(value) if field.is_repeated else value
    return kind(**values)


def _all(kind: type[_Info], messages: Iterable[Message]) -> tuple[_Info, ...]:
    return tuple(_made(kind, message) for message in messages)
