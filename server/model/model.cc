#include "server/model/model.h"

#include <string>
#include <vector>

#include "server/base/sha256.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr size_t kSpaceIdLength = 32;

std::string Triple(const std::array<float, 3>& values) {
  std::string text;
  for (float value : values) {
    // Hexadecimal keeps every bit and needs no rounding rule.
    char buffer[48];
    std::snprintf(buffer, sizeof buffer, "%s%a", text.empty() ? "" : ",", double{value});
    text += buffer;
  }
  return text;
}

}  // namespace

std::vector<HeadScope::Layer> ModelInfo::ScopeLayers() const {
  std::vector<HeadScope::Layer> result;
  result.reserve(layers.size());
  for (const LayerInfo& layer : layers) {
    result.push_back({layer.name, layer.channels, layer.stride});
  }
  return result;
}

std::string MakeSpaceId(const ModelInfo& info, std::string_view plan_canonical,
                        std::string_view head_canonical) {
  const std::string text =
      Concat("pixpool space 1\nweights=", info.weights_sha256, "\nmean=", Triple(info.input.mean),
             "\nstd=", Triple(info.input.std), "\nprecision=", info.precision,
             "\ninput=", plan_canonical, "\nhead=", head_canonical, "\n");
  return Sha256Hex(text).substr(0, kSpaceIdLength);
}

}  // namespace pixpool
