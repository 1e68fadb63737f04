"""What all images of a call share, and the way from an image to a request and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import grpc
import numpy as np
from numpy.typing import NDArray

from pixpool._api import pb
from pixpool._decode import features_from_proto, head_from_proto
from pixpool._errors import ImageError, PixpoolError, from_status
from pixpool._head_base import HeadsLike, heads_to_proto
from pixpool._images import ImageSource, image_name, image_to_proto, own_regions
from pixpool._models import Limits
from pixpool._options import InputOptions, options_to_proto
from pixpool._regions import (
    RegionOptions,
    RegionsLike,
    region_options_to_proto,
    regions_to_proto,
)
from pixpool._results import Extraction, Heatmap, ImageResult
from pixpool._room import Room
from pixpool.heads import ClassActivationMap, ClassScores, MeanMap

# Who waits for an answer: a person, or a job that can be held back under load.
Priority: TypeAlias = Literal["interactive", "bulk"]
_PRIORITIES = {
    None: pb.PRIORITY_UNSPECIFIED,
    "interactive": pb.PRIORITY_INTERACTIVE,
    "bulk": pb.PRIORITY_BULK,
}
OnError: TypeAlias = Literal["raise", "return"]
Options: TypeAlias = InputOptions | pb.InputOptions | None
OptionsOfRegions: TypeAlias = RegionOptions | pb.RegionOptions | None
# What can be sent as float32.
RealArray: TypeAlias = NDArray[np.bool_ | np.integer[Any] | np.floating[Any]]


@dataclasses.dataclass(frozen=True)
class RequestSpec:
    """Model, heads, options, priority and regions; immutable, so threads may share it.

    regions: of images that bring none of their own.
    """

    model: str
    model_version: str
    heads: Sequence[pb.Head]
    options: pb.InputOptions
    priority: Priority | None = None
    regions: Sequence[pb.Region] = ()
    region_options: pb.RegionOptions | None = None

    @staticmethod
    def make(
        heads: HeadsLike = None,
        model: str = "",
        model_version: str = "",
        input_options: Options = None,
        priority: Priority | None = None,
        regions: RegionsLike = (),
        region_options: OptionsOfRegions = None,
    ) -> RequestSpec:
        """ValueError or TypeError for heads, options, a priority or regions that are none."""
        priority_to_proto(priority)
        return RequestSpec(
            model,
            model_version,
            heads_to_proto(heads),
            options_to_proto(input_options),
            priority,
            regions_to_proto(regions),
            region_options_to_proto(region_options),
        )

    def request(
        self, source: ImageSource, index: int, ask_limits: Callable[[], Limits | None]
    ) -> pb.ExtractFeaturesRequest:
        """The request of one image; reads files. ImageError for one that cannot be used.

        ask_limits: called for large images; blocks; None where the server does not say.
        """
        name = image_name(source, index)
        exif = not self.options.HasField("apply_exif") or self.options.apply_exif
        request = pb.ExtractFeaturesRequest(
            model=self.model,
            model_version=self.model_version,
            heads=self.heads,
            input_options=self.options,
            priority=priority_to_proto(self.priority),
            region_options=self.region_options,
        )
        regions = own_regions(source) or self.regions
        # The image's own fields beside its bytes: its name, its sizes and its regions.
        room = Room(ask_limits, request.ByteSize() + len(name) + 64 + _bytes_of(regions))
        try:
            image = image_to_proto(source, name, apply_exif=exif, room=room)
        except PixpoolError as error:
            raise ImageError(error, name, index) from error
        request.images.append(image)
        del request.images[0].regions[:]
        request.images[0].regions.extend(regions)
        return request


def _bytes_of(regions: Sequence[pb.Region]) -> int:
    return sum(region.ByteSize() + 4 for region in regions)


def result_of(response: pb.ExtractFeaturesResponse, name: str, index: int) -> ImageResult:
    """The result of the only image of a request."""
    try:
        if len(response.results) != 1:
            raise PixpoolError(
                grpc.StatusCode.INTERNAL,
                f"the server sent {len(response.results)} results for one image",
            )
        result = response.results[0]
        if result.WhichOneof("outcome") != "features":
            raise from_status(result.status)
        return features_from_proto(result.features, response.model, name, index)
    except PixpoolError as error:
        return ImageResult(name, index, ImageError(error, name, index))


def image_failure(error: PixpoolError, name: str, index: int) -> ImageResult:
    """The result of an image whose call failed; raises the error if all others would fail too."""
    if error.ends_run:
        raise error
    failure = error if isinstance(error, ImageError) else ImageError(error, name, index)
    return ImageResult(name, index, failure)


def priority_to_proto(priority: Priority | None) -> pb.Priority:
    """ValueError for what is no priority. None: the metadata decide, or the server's default."""
    if priority not in _PRIORITIES:
        raise ValueError(f'priority must be "interactive", "bulk" or None, is {priority!r}')
    return _PRIORITIES[priority]


def check_on_error(on_error: str) -> None:
    if on_error not in ("raise", "return"):
        raise ValueError(f'on_error must be "raise" or "return", is {on_error!r}')


def check_concurrency(concurrency: int) -> None:
    if not 1 <= concurrency <= 1024:
        raise ValueError(f"concurrency must be 1 to 1024, is {concurrency}")


def check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be above 0 seconds, or None for no limit, is {timeout}")


def scores_head(top_k: int | None, score_type: Literal["softmax", "logits"] | None) -> pb.Head:
    return ClassScores(top_k=top_k, score_type=score_type).to_proto()


def map_head(
    class_index: int | None, layer: str | None, form: Literal["png_overlay", "png", "floats"]
) -> pb.Head:
    """ValueError where both are given."""
    if layer is not None:
        if class_index is not None:
            raise ValueError("give class_index or layer: a layer's mean shows no class")
        return MeanMap(format=form, layer=layer).to_proto()
    return ClassActivationMap(class_index=class_index, format=form).to_proto()


def heatmaps_of(extraction: Extraction) -> list[Heatmap]:
    maps = [result[0].heatmap for result in extraction]
    if any(m is None for m in maps):
        raise PixpoolError(grpc.StatusCode.INTERNAL, "the server sent no heatmap")
    return [m for m in maps if m is not None]


def pool_request(
    tensor: RealArray,
    heads: HeadsLike,
    indices: NDArray[np.integer[Any]] | None,
    priority: Priority | None = None,
) -> pb.PoolTensorRequest:
    """ValueError for a tensor that is no [N, C, H, W]."""
    array = np.ascontiguousarray(tensor, np.float32)
    if array.ndim != 4:
        raise ValueError(f"tensor must be [N, C, H, W], not {list(array.shape)}")
    request = pb.PoolTensorRequest(
        heads=heads_to_proto(heads), priority=priority_to_proto(priority)
    )
    request.tensor.shape.extend(array.shape)
    request.tensor.values.extend(array.ravel().tolist())
    if indices is not None:
        request.indices.extend(np.asarray(indices, np.int64).ravel().tolist())
    return request


def pooled(response: pb.PoolTensorResponse) -> Extraction:
    return Extraction(
        [
            ImageResult(
                f"map {i}", i, head_results=tuple(head_from_proto(h) for h in one.head_results)
            )
            for i, one in enumerate(response.results)
        ]
    )
