// The manifest of a model bundle.
#include "server/bundle/manifest.h"

#include <string>

#include "tests/fuzz/require.h"

namespace pixpool {
namespace {

using testing::Require;

void Try(std::string_view text) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(std::string(text));
  if (!manifest.ok()) {
    Require(
        absl::IsInvalidArgument(manifest.status()) || absl::IsFailedPrecondition(manifest.status()),
        "a manifest is wrong, or of another version");
    return Require(!manifest.status().message().empty(), "every error has a message");
  }
  Require(manifest->FindLayer(manifest->default_layer) != nullptr, "the default layer is a layer");
  Require(!manifest->engines.empty(), "there is a backbone");
  for (const LayerInfo& layer : manifest->layers) {
    Require(layer.channels >= 1 && layer.stride >= 1, "a layer has channels and a stride");
  }
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(pixpool::testing::AsText(data, size));
  return 0;
}
