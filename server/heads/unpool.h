// Sizes and checks of max_unpool, as torch.nn.MaxUnpool2d has them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/heads/heads.h"

namespace pixpool {

// Height and width of what max_unpool gives for a map of this size: output_size, or torch's
// default. With given_indices the map holds pooled values, else it is pooled first.
std::vector<int64_t> UnpooledSize(const HeadSpec& spec, int64_t h, int64_t w);

// Columns of max_unpool in the table of heads.
absl::Status CheckUnpool(HeadSpec& spec, const HeadScope& scope);
absl::Status CheckUnpoolOnMap(const HeadSpec& spec, int64_t h, int64_t w);
int64_t UnpoolValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

}  // namespace pixpool
