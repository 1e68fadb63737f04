#include "server/input/input_rows.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "server/image/decode.h"
#include "server/image/grey.h"

namespace pixpool {
namespace {

// That lose their colours at a time: few, since they are held beside the picture's own.
constexpr int kGreyRows = 8;

// `part` on black, at the crop's size.
Image Pad(const Image& part, const Geometry& geometry) {
  Image out(geometry.wanted.width, geometry.wanted.height);
  std::fill_n(out.data(), out.byte_size(), uint8_t{0});
  for (int row = 0; row < part.height(); ++row) {
    std::memcpy(out.row(geometry.y.target + row) + static_cast<size_t>(geometry.x.target) * 3,
                part.row(row), part.stride());
  }
  return out;
}

Geometry SourceGeometry(const InputPlan& plan, const RowsSource& source) {
  return GeometryOf(plan, UprightSize(source.stored, source.orientation), source.full);
}

ResizeJob JobOf(const Geometry& geometry, const RowsSource& source) {
  return {.stored = source.stored,
          .orientation = source.orientation,
          .to = geometry.resized,
          .region = geometry.kept(),
          .filter = geometry.filter};
}

}  // namespace

InputRows::InputRows(const InputPlan& plan, const RowsSource& source)
    : geometry_(SourceGeometry(plan, source)),
      grey_(plan.grey),
      resizer_(JobOf(geometry_, source)) {}

void InputRows::Take(const PixelRows& rows) {
  if (!grey_) return resizer_.Take(rows);
  const Region& all = rows.part;
  grey_rows_.resize(rows.stride() * static_cast<size_t>(std::min(all.height, kGreyRows)));
  for (int top = all.top; top < all.bottom(); top += kGreyRows) {
    const int count = std::min(kGreyRows, all.bottom() - top);
    ToGrey(rows.row(top), count * all.width, grey_rows_.data());
    resizer_.Take({.part = {all.left, top, all.width, count}, .data = grey_rows_.data()});
  }
}

Image InputRows::Finish() {
  Image part = resizer_.Finish();
  return geometry_.is_padded() ? Pad(part, geometry_) : std::move(part);
}

int64_t InputRows::MostBytes(const InputPlan& plan, const RowsSource& source) {
  const Geometry geometry = SourceGeometry(plan, source);
  const int64_t padded =
      geometry.is_padded() ? int64_t{3} * geometry.wanted.width * geometry.wanted.height : 0;
  const int64_t grey = plan.grey ? int64_t{3} * source.stored.width * kGreyRows : 0;
  return RowResizer::MostBytes(JobOf(geometry, source)) + padded + grey;
}

}  // namespace pixpool
