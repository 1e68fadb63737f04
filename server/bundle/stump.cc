#include "server/bundle/stump.h"

#include <string>
#include <string_view>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/bundle_data.h"

namespace pixpool {
namespace {

// Patches have 8 pixels a side and more. A convolution of a stem has a stride of 4 at most.
constexpr int kMinPatch = 8;

size_t Count(std::string_view text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) {
    ++count;
  }
  return count;
}

// The file that the exporter writes beside TorchScript's, as text.
const EngineFile* FindIr(const Manifest& manifest) {
  bool traced = false;
  const EngineFile* found = nullptr;
  for (const EngineFile& file : manifest.engines) {
    traced |= file.engine == "torchscript";
    if (file.engine == "openvino" && file.precision == "float32") found = &file;
  }
  return traced ? found : nullptr;
}

}  // namespace

absl::Status RefuseStump(const Bundle& bundle) {
  const Manifest& m = bundle.manifest;
  if (m.states_parameters || m.layers.size() != 1) return absl::OkStatus();
  const LayerInfo& layer = m.layers.front();
  if (layer.name != "features" || layer.stride < kMinPatch) return absl::OkStatus();
  const EngineFile* const ir = FindIr(m);
  if (ir == nullptr) return absl::OkStatus();
  PIXPOOL_ASSIGN_OR_RETURN(const std::string graph, ReadBytes(bundle, ir->path));
  if (Count(graph, "type=\"Convolution\"") != 1 || Count(graph, "type=\"GroupConvolution\"") > 0 ||
      Count(graph, "type=\"MatMul\"") > 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      Concat("layer 'features' is one convolution of stride ", layer.stride,
             ", the patch embedding of a transformer: an earlier exporter left out the rest of the "
             "model; export it again"));
}

}  // namespace pixpool
