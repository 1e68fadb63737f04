// Flags of regions: boxes that every picture of a run has.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

struct RegionFlags {
  std::vector<std::string> boxes;  // "L,T,R,B", in pixels, or all four with "%"
  std::string mode, pooling, size;
  bool include_image = false;

  void Add(CLI::App& app);
  // INVALID_ARGUMENT for text that is no box.
  absl::StatusOr<std::vector<v1::Region>> Regions() const;
  // Puts what becomes of regions into the settings. INVALID_ARGUMENT for options without --box, and
  // for a size that is none.
  absl::Status Apply(v1::StreamConfig& config) const;
};

}  // namespace pixpool::cli
