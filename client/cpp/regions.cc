#include "client/cpp/regions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "client/cpp/values.h"

namespace pixpool::client {
namespace {

// Debian's absl::string_view is not std::string_view.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::StatusOr<const v1::HeadResult*> FindHead(const v1::RegionFeatures& region,
                                               std::string_view head_id) {
  const auto& results = region.head_results();
  const auto found = std::find_if(results.begin(), results.end(),
                                  [&](const v1::HeadResult& r) { return r.head_id() == head_id; });
  if (found != results.end()) return &*found;
  const auto id = [](std::string* out, const v1::HeadResult& r) { *out += r.head_id(); };
  return absl::NotFoundError(absl::StrCat("the regions have no result of head \"", View(head_id),
                                          "\"; they have ", absl::StrJoin(results, ", ", id)));
}

}  // namespace

v1::Region PixelRegion(const Edges& edges, std::string_view id) {
  v1::Region region;
  region.set_region_id(std::string(id));
  region.set_left(edges.left);
  region.set_top(edges.top);
  region.set_right(edges.right);
  region.set_bottom(edges.bottom);
  return region;
}

v1::Region RelativeRegion(const Edges& edges, std::string_view id) {
  v1::Region region = PixelRegion(edges, id);
  region.set_relative(true);
  return region;
}

absl::StatusOr<Array> RegionValues(const v1::Features& features, std::string_view head_id) {
  if (features.regions_size() == 0) {
    return absl::FailedPreconditionError("the image has no regions");
  }
  Array all;
  for (const v1::RegionFeatures& region : features.regions()) {
    const absl::StatusOr<const v1::HeadResult*> result = FindHead(region, head_id);
    if (!result.ok()) return result.status();
    const std::vector<int64_t> shape((*result)->shape().begin(), (*result)->shape().end());
    absl::StatusOr<std::vector<float>> values = DecodeValues(**result);
    if (!values.ok()) return values.status();
    if (values->empty()) {
      return absl::InvalidArgumentError(absl::StrCat("head ", View(head_id), " gives no values; ",
                                                     "read the result of each region"));
    }
    if (all.shape.empty()) all.shape = shape;
    if (shape != all.shape) {
      return absl::InvalidArgumentError(
          absl::StrCat("head ", View(head_id), " has the shape ", absl::StrJoin(all.shape, " x "),
                       " in one region and ", absl::StrJoin(shape, " x "),
                       " in another; read the result of each"));
    }
    all.values.insert(all.values.end(), values->begin(), values->end());
  }
  all.shape.insert(all.shape.begin(), features.regions_size());
  return all;
}

}  // namespace pixpool::client
