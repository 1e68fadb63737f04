#include "server/model/projections.h"

#include <string>
#include <utility>

#include "nlohmann/json.hpp"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/bundle_data.h"
#include "server/heads/heads.h"

namespace pixpool {
namespace {

// Numbers are written as JSON has them; whether they fit is for the table of heads to say.
ParamValue ToParam(const nlohmann::json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) return value.get<int64_t>();
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  std::vector<int64_t> list;
  for (const nlohmann::json& entry : value) {
    if (entry.is_number_integer()) list.push_back(entry.get<int64_t>());
  }
  return list;
}

// The head that a projection was fitted on, as HeadSpec::pooling; empty where its parameters are
// not stated.
absl::StatusOr<std::string> FittedPooling(const Bundle& bundle, const ProjectionInfo& info) {
  if (info.head_parameters.empty()) return "";
  HeadRequest request{.kind = info.head, .layer = info.layer};
  const nlohmann::json parameters = nlohmann::json::parse(info.head_parameters);
  for (const auto& [name, value] : parameters.items()) request.params.emplace(name, ToParam(value));
  const HeadScope scope{.layers = bundle.manifest.layers,
                        .default_layer = info.layer,
                        .vectors = bundle.manifest.vectors};
  const absl::StatusOr<HeadSpec> head = ValidateHead(request, scope);
  const auto error = [&](std::string_view what) {
    return absl::FailedPreconditionError(
        Concat("bundle ", bundle.dir, ": the head of projection '", info.name, "' ", what));
  };
  if (!head.ok()) return error(Concat("is none of this server: ", head.status().message()));
  if (head->vector != info.vector) return error(Concat("does not read vector '", info.vector, "'"));
  return head->pooling;
}

}  // namespace

absl::StatusOr<std::vector<std::shared_ptr<const Projection>>> ReadProjections(
    const Bundle& bundle) {
  std::vector<std::shared_ptr<const Projection>> projections;
  for (const ProjectionInfo& info : bundle.manifest.projections) {
    auto p = std::make_shared<Projection>();
    p->name = info.name;
    p->layer = info.layer;
    p->vector = info.vector;
    p->head_kind = info.head;
    p->input_dimensions = info.input_dimensions;
    p->output_dimensions = info.output_dimensions;
    p->pictures = info.pictures;
    p->explained_variance = info.explained_variance;
    p->sha256 = Concat(bundle.manifest.FileDigest(info.mean_path), ",",
                       bundle.manifest.FileDigest(info.matrix_path));
    PIXPOOL_ASSIGN_OR_RETURN(p->head_pooling, FittedPooling(bundle, info));
    const auto inputs = static_cast<size_t>(info.input_dimensions);
    const auto outputs = static_cast<size_t>(info.output_dimensions);
    PIXPOOL_ASSIGN_OR_RETURN(p->mean, ReadFloats(bundle, info.mean_path, inputs));
    PIXPOOL_ASSIGN_OR_RETURN(const std::vector<float> matrix,
                             ReadFloats(bundle, info.matrix_path, inputs * outputs));
    p->columns.resize(matrix.size());
    for (size_t row = 0; row < outputs; ++row) {
      for (size_t column = 0; column < inputs; ++column) {
        p->columns[column * outputs + row] = matrix[row * inputs + column];
      }
    }
    projections.push_back(std::move(p));
  }
  return projections;
}

}  // namespace pixpool
