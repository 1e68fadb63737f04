#include "server/model/check_outputs.h"

#include <ATen/ops/isfinite.h>

#include <string>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/graph_outputs.h"

namespace pixpool {
namespace {

// A map's side is the input's by the layer's stride. What that makes of odd sides is the graph's
// business; twice as much is nonsense, and more than the request was priced at.
int64_t MostCells(int64_t side, const LayerInfo& layer) { return 2 * (side / layer.stride + 1); }

std::string ShapeText(at::IntArrayRef sides) {
  std::string text;
  for (const int64_t side : sides) text += Concat(text.empty() ? "" : ", ", side);
  return Concat("[", text, "]");
}

// The manifest's words for a map that does not fit; empty where it does.
std::string WantedMap(const LayerInfo& layer, const at::Tensor& map, const at::Tensor& inputs) {
  if (map.dim() == 4 && map.size(0) == inputs.size(0) && map.size(1) == layer.channels &&
      map.numel() > 0 && map.size(2) <= MostCells(inputs.size(1), layer) &&
      map.size(3) <= MostCells(inputs.size(2), layer)) {
    return "";
  }
  return Concat("[", inputs.size(0), ", ", layer.channels, ", height, width] and a stride of ",
                layer.stride);
}

absl::Status CheckOutput(const ModelInfo& info, int position, const at::Tensor& output,
                         const at::Tensor& inputs) {
  const GraphOutputs all(info.layers, info.vectors);
  const GraphOutput what = all.At(position);
  const auto index = static_cast<size_t>(what.index);
  if (!output.defined() || output.scalar_type() != at::kFloat) {
    const std::string_view form = what.kind == GraphOutputKind::kMap ? "map" : "tensor";
    return absl::FailedPreconditionError(
        Concat(all.Name(position), " is no ", form, " of float32"));
  }
  std::string wanted;
  if (what.kind == GraphOutputKind::kMap) {
    wanted = WantedMap(info.layers[index], output, inputs);
  } else {
    std::vector<int64_t> shape = {inputs.size(0)};
    if (what.kind == GraphOutputKind::kPrefixTokens) {
      shape.push_back(info.layers[index].prefix_tokens);
      shape.push_back(info.layers[index].channels);
    } else {
      shape.push_back(info.vectors[index].dimensions);
    }
    if (output.sizes() != at::IntArrayRef(shape)) wanted = ShapeText(shape);
  }
  if (wanted.empty()) return absl::OkStatus();
  const std::string_view verb = what.kind == GraphOutputKind::kPrefixTokens ? " have" : " has";
  return absl::FailedPreconditionError(Concat(all.Name(position), verb, " shape ",
                                              ShapeText(output.sizes()), ", the manifest says ",
                                              wanted));
}

}  // namespace

absl::Status CheckOutputs(const ModelInfo& info, absl::Span<const at::Tensor> outputs,
                          const std::vector<int>& wanted, const at::Tensor& inputs) {
  const GraphOutputs all(info.layers, info.vectors);
  if (outputs.size() != static_cast<size_t>(all.count())) {
    const bool maps_alone = static_cast<size_t>(all.count()) == info.layers.size();
    return absl::FailedPreconditionError(Concat("the graph gives ", outputs.size(),
                                                maps_alone ? " maps" : " outputs",
                                                ", the manifest has ", all.Text()));
  }
  for (const int position : wanted) {
    PIXPOOL_RETURN_IF_ERROR(
        CheckOutput(info, position, outputs[static_cast<size_t>(position)], inputs));
  }
  return absl::OkStatus();
}

absl::Status CheckFinite(const ModelInfo& info, absl::Span<const at::Tensor> outputs) {
  const GraphOutputs all(info.layers, info.vectors);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (at::isfinite(outputs[i]).all().item<bool>()) continue;
    const auto position = static_cast<int>(i);
    const bool tokens = all.At(position).kind == GraphOutputKind::kPrefixTokens;
    return absl::FailedPreconditionError(Concat(all.Name(position), tokens ? " have" : " has",
                                                " values that are not finite on a grey picture"));
  }
  return absl::OkStatus();
}

}  // namespace pixpool
