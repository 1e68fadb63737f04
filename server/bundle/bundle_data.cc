#include "server/bundle/bundle_data.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {

static_assert(std::endian::native == std::endian::little,
              "bundles hold little-endian floats, which are read as they are");

absl::StatusOr<std::string> ReadBytes(const Bundle& bundle, const std::string& path) {
  std::ifstream in(bundle.dir + "/" + path, std::ios::binary);
  std::ostringstream bytes;
  if (in) bytes << in.rdbuf();
  if (!in) {
    return absl::FailedPreconditionError(
        Concat("bundle ", bundle.dir, ": '", path, "' cannot be read"));
  }
  return std::move(bytes).str();
}

absl::StatusOr<std::vector<float>> ReadFloats(const Bundle& bundle, const std::string& path,
                                              size_t count) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string bytes, ReadBytes(bundle, path));
  if (bytes.size() != count * sizeof(float)) {
    return absl::FailedPreconditionError(Concat("bundle ", bundle.dir, ": '", path, "' has ",
                                                bytes.size(), " bytes, ", count,
                                                " float32 values take ", count * sizeof(float)));
  }
  std::vector<float> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (float value : values) {
    if (!std::isfinite(value)) {
      return absl::FailedPreconditionError(
          Concat("bundle ", bundle.dir, ": '", path, "' holds a value that is not finite"));
    }
  }
  return values;
}

absl::StatusOr<std::vector<std::string>> ReadLabels(const Bundle& bundle, const std::string& path,
                                                    size_t count) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::string text, ReadBytes(bundle, path));
  std::vector<std::string> labels;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    labels.emplace_back(line);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  if (labels.size() != count) {
    return absl::FailedPreconditionError(Concat("bundle ", bundle.dir, ": '", path, "' has ",
                                                labels.size(), " labels for ", count, " classes"));
  }
  return labels;
}

}  // namespace pixpool
