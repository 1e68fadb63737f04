#include "server/metrics/exposition.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <sstream>
#include <tuple>

namespace pixpool {

std::string Exposition(std::vector<prometheus::MetricFamily> families) {
  // The registry's order is that of hash tables; a fixed one is easier to read and to compare.
  std::sort(families.begin(), families.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (prometheus::MetricFamily& family : families) {
    std::sort(family.metric.begin(), family.metric.end(), [](const auto& a, const auto& b) {
      return std::lexicographical_compare(a.label.begin(), a.label.end(), b.label.begin(),
                                          b.label.end(), [](const auto& x, const auto& y) {
                                            return std::tie(x.name, x.value) <
                                                   std::tie(y.name, y.value);
                                          });
    });
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace pixpool
