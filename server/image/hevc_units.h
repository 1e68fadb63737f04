// HEVC as HEIF files hold it: units of data with parameter sets and slices (ITU-T H.265, 7.3;
// ISO/IEC 14496-15, 8.3). As much of them as must be known before libde265 sees any.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/image/formats.h"
#include "server/image/image.h"

namespace pixpool {

// A sequence parameter set: what pictures are like.
struct HevcSequence {
  Size coded;    // in luma samples
  Size visible;  // of it, behind cropping
  // Whether something is cropped in front of it: libde265 1.0 miscounts that in samples of two
  // bytes.
  bool is_cut_before = false;
  int chroma = 0;       // chroma_format_idc: 0 none, 1 4:2:0, 2 4:2:2, 3 4:4:4
  int luma_bits = 0;    // 8 to 16
  int chroma_bits = 0;  // likewise
};

// Reads a unit of that type, its header included; nullopt if it is damaged.
std::optional<HevcSequence> ReadHevcSequence(std::string_view unit);

// The property hvcC of an item.
struct HevcConfiguration {
  int chroma = 0;                       // as in a sequence parameter set
  int luma_bits = 0;                    // 8 to 15
  std::vector<std::string_view> units;  // parameter sets, none of them empty
};

// Nullopt if it is damaged.
std::optional<HevcConfiguration> ReadHevcConfiguration(std::string_view body);

// What decoding an item takes.
struct HevcDemand {
  Size coded;        // the largest of its sequences
  int pictures = 0;  // that its data holds: one, but a decoder would decode others too
  int slices = 0;
  int units = 0;
  int parameter_sets = 0;  // of pictures: each has tables of the picture's size, and 64 are kept
};

// Looks at all units of an item. Errors: IMAGE_UNDECODABLE where a unit is cut or damaged; where
// a sequence is not of the size that the file states, or coded beyond it by more than the largest
// block (64 samples a side); where there is no picture, or more than 8 of them, 600 slices (what
// the standard's highest level allows) or 4,096 units. Any bytes are safe.
absl::StatusOr<HevcDemand> ReadHevcDemand(const HevcConfiguration& configuration,
                                          std::string_view data, Size stated);

}  // namespace pixpool
