"""Results: of a head, of an image, of many images as arrays."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pixpool._display import clipped, first_values, html_table, shape_and_type
from pixpool._errors import ImageError
from pixpool._values import FeatureArray

if TYPE_CHECKING:
    import PIL.Image

# Of the tables for notebooks.
_COLUMNS = ("head", "layer", "space id", "values")
_SHOWN_IMAGES = 10
_REGIONS_ALONE = (
    "only regions were asked for: write result.region_values(), or ask for"
    " RegionOptions(include_image=True)"
)


@dataclasses.dataclass(frozen=True)
class ModelReference:
    """The model that computed the features."""

    name: str
    version: str


@dataclasses.dataclass(frozen=True)
class StageTimes:
    """Seconds in each stage of the server; what each spans is in feature_service.proto."""

    queue: float = 0.0
    decode: float = 0.0
    preprocess: float = 0.0
    batch_wait: float = 0.0
    backbone: float = 0.0
    heads: float = 0.0
    draw: float = 0.0


@dataclasses.dataclass(frozen=True)
class ClassScore:
    """Score of one class: a probability or a logit, as asked for. label: "" where unknown."""

    class_index: int
    label: str
    score: float


@dataclasses.dataclass(frozen=True)
class Box:
    """A box in pixels of the picture; left and top inside, right and bottom just outside."""

    left: int
    top: int
    right: int
    bottom: int


@dataclasses.dataclass(frozen=True)
class Heatmap:
    """Where a picture has the evidence for a class, or where a layer responds.

    class_score: the class shown, with its softmax probability; None of mean_map, which shows none.
    box: around the largest part above a fifth of the maximum; all zeros where nothing is above 0.
    png: a PNG file in the picture's size, for the PNG formats; else empty.
    values: the map [H, W] in float32 at its own size, for "floats"; else of shape [0].
    """

    class_score: ClassScore | None
    box: Box
    png: bytes
    values: FeatureArray

    def __repr__(self) -> str:
        form = f"PNG of {len(self.png)} bytes" if self.png else shape_and_type(self.values)
        if self.class_score is None:
            return f"<Heatmap: {form}, {self.box}>"
        shown = f"{self.class_score.label or self.class_score.class_index}"
        return f"<Heatmap of {clipped(shown)} {self.class_score.score:.4g}: {form}, {self.box}>"

    def image(self) -> PIL.Image.Image:
        """The PNG as a PIL image; needs Pillow. ValueError where the map came in floats."""
        if not self.png:
            raise ValueError('the map came in floats, see `values`; ask for "png" or "png_overlay"')
        from PIL import Image

        return Image.open(io.BytesIO(self.png))


@dataclasses.dataclass(frozen=True)
class HeadResult:
    """Result of one head on one image.

    values: the features in their shape, read-only: [D] of vectors, [C, H, W] of maps. float32,
        float16 where that encoding was asked for, bool for "binary"; int8 is multiplied out to
        float32. Shape [0] of class_scores.
    layer: that was pooled; "" for heads on a vector of the model, such as embedding.
    space_id: vectors may be compared only if these are equal; "" in Client.pool.
    indices: positions of the maxima as int64 in the shape of values, where asked for, else None.
    class_scores: highest first, or in class order for top_k=0; empty for other heads.
    heatmap: of class_activation_map and mean_map, else None. warnings: remarks for people.
    """

    head_id: str
    kind: str
    layer: str
    space_id: str
    encoding: str
    values: FeatureArray
    indices: NDArray[np.int64] | None
    class_scores: tuple[ClassScore, ...]
    heatmap: Heatmap | None
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<HeadResult {self._line(shape_and_type(self.values))}>"

    def _line(self, extent: str) -> str:
        """The result in a line; extent: type and shape of the array that is described."""
        layer = f" of {clipped(self.layer)}" if self.layer else ""
        space = f", space {self.space_id}" if self.space_id else ""
        return f"{clipped(self.head_id)}{layer}{space}: {self._content(extent)}"

    def _cells(self, extent: str) -> tuple[str, ...]:
        return self.head_id, self.layer, self.space_id, self._content(extent)

    def _content(self, extent: str) -> str:
        if self.class_scores:
            best = [f"{clipped(s.label) or s.class_index} {s.score:.4g}" for s in self.class_scores]
            return ", ".join(best[:3] + ["..."] * (len(best) > 3))
        if self.heatmap is not None:
            return repr(self.heatmap)
        return f"{extent} = {first_values(self.values)}"


def _head_of(results: tuple[HeadResult, ...], head: str | int) -> HeadResult:
    """The result of a head by its id or position."""
    if isinstance(head, int):
        return results[head]
    for result in results:
        if result.head_id == head:
            return result
    raise KeyError(f'no head "{head}"; the heads are {", ".join(r.head_id for r in results)}')


@dataclasses.dataclass(frozen=True)
class RegionResult:
    """The features of one region of an image; `result["gem"]` or `result[0]` is those of a head.

    region_id: as sent. box: left, top, right and bottom in pixels of the picture, of what the heads
        were applied to.
    """

    region_id: str
    box: tuple[float, float, float, float]
    head_results: tuple[HeadResult, ...]

    def __repr__(self) -> str:
        lines = [r._line(shape_and_type(r.values)) for r in self.head_results]
        return "\n  ".join([f"<RegionResult {clipped(self.region_id)!r} {self.box}", *lines]) + ">"

    def __getitem__(self, head: str | int) -> HeadResult:
        """The result of a head by its id or position."""
        return _head_of(self.head_results, head)


@dataclasses.dataclass(frozen=True)
class ImageResult:
    """What became of one image: features, or an error.

    name, index: the image's name and its position among those of the call, from 0.
    error: why there are no features; None where there are. What follows is then empty.
    head_results: of the picture as a whole; empty where regions were asked for and
        `RegionOptions.include_image` was not. regions: theirs, in the order sent.
    size, input_size: height and width in pixels of the picture, and of the network's input.
    warnings: remarks for people on the picture: damage of its file, hidden colours under alpha.
    cached: whether the features come from the server's response cache.
    """

    name: str
    index: int
    error: ImageError | None = None
    model: ModelReference | None = None
    head_results: tuple[HeadResult, ...] = ()
    size: tuple[int, int] = (0, 0)
    input_size: tuple[int, int] = (0, 0)
    stage_times: StageTimes = StageTimes()
    warnings: tuple[str, ...] = ()
    regions: tuple[RegionResult, ...] = ()
    cached: bool = False

    def __repr__(self) -> str:
        text = f"<ImageResult {self.index}, {clipped(self.name)!r}"
        if self.error is not None:
            return f"{text}: {clipped(str(self.error), 200)}>"
        if self.regions:
            text += f", {len(self.regions)} regions"
        lines = [r._line(shape_and_type(r.values)) for r in self.head_results]
        return "\n  ".join([text, *lines]) + ">"

    def _repr_html_(self) -> str:
        """The results of the heads in a table, for notebooks."""
        caption = f"{self.index}, {clipped(self.name)}"
        if self.error is not None:
            return html_table(caption, ("error",), [(self.error,)])
        rows = [r._cells(shape_and_type(r.values)) for r in self.head_results]
        return html_table(caption, _COLUMNS, rows)

    @property
    def ok(self) -> bool:
        """Whether there are features."""
        return self.error is None

    def __getitem__(self, head: str | int) -> HeadResult:
        """The result of a head by its id or position; raises the image's error if it has one."""
        if self.error is not None:
            raise self.error
        return _head_of(self.head_results, head)

    def region_values(self, head: str | int = 0) -> FeatureArray:
        """A head's values of all regions, [R, ...]; raises the image's error if it has one.

        ValueError where there are no regions, or where they differ in shape.
        """
        if self.error is not None:
            raise self.error
        if not self.regions:
            raise ValueError("the image has no regions")
        return np.stack([region[head].values for region in self.regions])

    @property
    def values(self) -> FeatureArray:
        """The values of the only head; raises the image's error, ValueError for several heads."""
        if self.error is None and len(self.head_results) != 1:
            ids = [r.head_id for r in self.head_results]
            if not ids:
                raise ValueError(_REGIONS_ALONE)
            raise ValueError(
                f'there are several heads ({", ".join(ids)}): write result["{ids[0]}"].values'
            )
        return self[0].values


class Extraction(Sequence[ImageResult]):
    """Results of all images of a call, in input order; a sequence of `ImageResult`.

    `extraction.array` is [N, ...] for one head, `extraction["gem"]` for the head of that id, and
    `np.asarray(extraction)` is `extraction.array`. Where images failed (on_error="return") their
    rows are NaN, so that rows stay those of the input; `extraction.ok` says which they are, and
    `extraction.succeeded()` leaves them out.
    """

    def __init__(self, results: Sequence[ImageResult]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, key: int) -> ImageResult: ...
    @overload
    def __getitem__(self, key: slice) -> Extraction: ...
    @overload
    def __getitem__(self, key: str) -> FeatureArray: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        """An image's result by position, some images by a slice, a head's array by its id."""
        if isinstance(key, str):
            return self._stack(key)
        if isinstance(key, slice):
            return Extraction(self._results[key])
        return self._results[key]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[ImageResult]:
        return iter(self._results)

    def __repr__(self) -> str:
        lines = [r._line(self._extent(i)) for i, r in enumerate(self._heads())]
        return "\n  ".join([f"<Extraction of {self._summary()}", *lines]) + ">"

    def _repr_html_(self) -> str:
        """The heads and the first images in tables, for notebooks."""
        rows = [r._cells(self._extent(i)) for i, r in enumerate(self._heads())]
        shown = self._results[:_SHOWN_IMAGES]
        rest = f"and {len(self) - len(shown)} more" if len(self) > len(shown) else ""
        images = [(r.index, r.name, r.error or "") for r in shown]
        return "\n".join(
            [
                html_table(self._summary(), _COLUMNS, rows),
                html_table(rest, ("index", "image", "error"), images),
            ]
        )

    def _summary(self) -> str:
        model = self.model
        by = f" by {clipped(model.name)}/{clipped(model.version)}" if model is not None else ""
        count = f"{len(self)} image" + "s" * (len(self) != 1)
        return f"{count}{by}, {len(self.errors)} failed"

    def _extent(self, head: int) -> str:
        """Type and shape of the array of the head at a position, without making the array."""
        values = [r.head_results[head].values for r in self._results if r.ok]
        if len({one.shape for one in values}) > 1:
            return f"{values[0].dtype}, shapes differ; of the first {list(values[0].shape)}"
        return f"{values[0].dtype} {[len(self), *values[0].shape]}"

    @property
    def array(self) -> FeatureArray:
        """The only head's values, [N, ...]: float32, float16 or bool, as in `HeadResult.values`.

        ValueError where there are several heads, no image with features, images of different
        shapes, or failed images under "binary", whose values cannot be NaN.
        """
        heads = self._heads()
        if len(heads) > 1:
            ids = [r.head_id for r in heads]
            raise ValueError(
                f'there are several heads ({", ".join(ids)}): write extraction["{ids[0]}"]'
            )
        return self._stack(heads[0].head_id if heads else "")

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.array, dtype)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which images have features: bool, [N]."""
        return np.array([r.ok for r in self._results], bool)

    @property
    def errors(self) -> list[ImageError]:
        """The errors of the images that failed, in input order."""
        return [r.error for r in self._results if r.error is not None]

    @property
    def names(self) -> list[str]:
        """The names of the images, in input order."""
        return [r.name for r in self._results]

    @property
    def space_ids(self) -> dict[str, str]:
        """The space id of each head, by head id; empty where every image failed."""
        return {r.head_id: r.space_id for r in self._heads()}

    @property
    def model(self) -> ModelReference | None:
        """The model that computed the features; None where every image failed."""
        return next((r.model for r in self._results if r.model is not None), None)

    @property
    def stage_times(self) -> StageTimes:
        """For each stage the longest time over the images."""
        names = [field.name for field in dataclasses.fields(StageTimes)]
        times = [r.stage_times for r in self._results] or [StageTimes()]
        return StageTimes(*(max(getattr(t, name) for t in times) for name in names))

    def succeeded(self) -> Extraction:
        """The images with features alone; their `index` still says where they were."""
        return Extraction([r for r in self._results if r.ok])

    def _heads(self) -> tuple[HeadResult, ...]:
        return next((r.head_results for r in self._results if r.ok), ())

    def _stack(self, head_id: str) -> FeatureArray:
        good = [r for r in self._results if r.ok]
        if not good:
            raise ValueError(f"no array: none of the {len(self)} images has features")
        if not all(r.head_results for r in good):
            raise ValueError(_REGIONS_ALONE)
        rows = [r[head_id].values for r in good]
        if len(shapes := {row.shape for row in rows}) > 1:
            raise ValueError(
                f'head "{head_id}" has results of different shapes'
                f" ({', '.join(str(list(s)) for s in sorted(shapes))}), which no array holds: take"
                " them one by one, or give inputs one size (InputOptions)"
            )
        if len(spaces := {r[head_id].space_id for r in good}) > 1:
            raise ValueError(
                f'head "{head_id}" has results of different vector spaces'
                f" ({', '.join(sorted(spaces))}): the server's model changed meanwhile"
            )
        if len(good) == len(self):
            return np.stack(rows)
        if rows[0].dtype == bool:
            raise ValueError(
                f'head "{head_id}" travels as bits, which cannot mark the {len(self) - len(good)}'
                " failed images: take extraction.succeeded()"
            )
        array = np.full((len(self), *rows[0].shape), np.nan, rows[0].dtype)
        array[self.ok] = rows
        return array
