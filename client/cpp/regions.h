// Regions of an image: ways to make a pixpool::v1::Region, and their results as one array.
//
//   *image.add_regions() = pixpool::client::PixelRegion({.right = 110, .bottom = 220});
//   ...
//   auto vectors = pixpool::client::RegionValues(result.features(), "gem");  // shape [R, D]
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

// Four edges, from the upper left of the upright picture; right and bottom just outside.
struct Edges {
  float left = 0;
  float top = 0;
  float right = 0;
  float bottom = 0;
};

// A region with its edges in pixels, of which fractions count. `id` comes back in its result. What
// lies outside of the picture is the server's to refuse.
v1::Region PixelRegion(const Edges& edges, std::string_view id = {});

// The same in shares of the picture's width and height, 0 to 1.
v1::Region RelativeRegion(const Edges& edges, std::string_view id = {});

// Numbers in row-major order of their shape.
struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// The values of one head for all regions of an image, in the order in which they were sent, as one
// array [R, ...]; in whatever encoding they travelled (DecodeValues). `head_id` is the head's id,
// or the name of its kind where it was given none.
//
// FAILED_PRECONDITION where the image has no regions; NOT_FOUND, naming those there are, where the
// regions have no such head; INVALID_ARGUMENT for a head without values (class_scores, a class
// activation map as PNG), and where regions differ in shape; errors of DecodeValues.
absl::StatusOr<Array> RegionValues(const v1::Features& features, std::string_view head_id);

}  // namespace pixpool::client
