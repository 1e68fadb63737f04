#pragma once

#include <string>
#include <vector>

#include "server/config/config.h"

namespace pixpool {

// Contradictions between options whose values are each in range; one line a problem, naming both
// options.
std::vector<std::string> FindContradictions(const Config& config);

}  // namespace pixpool
