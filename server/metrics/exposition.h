#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

namespace pixpool {

// The families as text (version 0.0.4 of the format), in the order of their names and labels.
std::string Exposition(std::vector<prometheus::MetricFamily> families);

}  // namespace pixpool
