#include "server/kserve/models.h"

#include <string>
#include <vector>

#include "server/base/text.h"
#include "server/input/preprocess.h"

namespace pixpool::kserve {
namespace {

struct InputType {
  const char* name;
  const char* datatype;
  inference::DataType config_type;
  std::vector<int64_t> shape;  // without the batch; -1: any size
  bool optional = false;
};

// Images in the form that is the same for all of them; of numbers the type that is named first.
const std::vector<InputType>& InputTypes() {
  static const auto* const types = new std::vector<InputType>{
      {"image", "BYTES", inference::TYPE_STRING, {1}},
      {"regions", "FP32", inference::TYPE_FP32, {-1, 4}, true},
      {"region_count", "INT32", inference::TYPE_INT32, {1}, true},
  };
  return *types;
}

// An output without parameters, on the input size of the recipe.
struct Output {
  std::string name;
  bool is_text = false;        // BYTES, else FP32
  std::vector<int64_t> shape;  // without the batch; -1: any size
};

// Shape of a vector or scores, which the map's size does not decide; that of maps does depend on
// it.
std::vector<int64_t> ShapeOf(const HeadType& type, const HeadSpec& head, const HeadExtents& map) {
  switch (head.output()) {
    case HeadOutputKind::kScores:
      return {head.Int("top_k")};
    case HeadOutputKind::kActivationMap:
      return {-1, -1};
    case HeadOutputKind::kMap:
      return {map.c, -1, -1};
    case HeadOutputKind::kVector:
      break;
  }
  return {type.value_count(head, map.c, map.h, map.w)};
}

std::vector<Output> OutputsOf(const ModelInfo& info, int max_input_side) {
  std::vector<Output> out;
  const auto plan = MakeInputPlan(info.input, InputOptions{}, max_input_side);
  if (!plan.ok()) return out;
  for (const HeadType& type : HeadTypes()) {
    if (!HeadFits(type, info.Scope())) continue;
    const auto head = ValidateHead({.id = "", .kind = std::string(type.name)}, info.Scope());
    if (!head.ok()) continue;  // a required parameter
    const HeadExtents map = ExtentsOf(*head, info.layers, {plan->width, plan->height}, 0);
    out.push_back({.name = std::string(head->kind()),
                   .is_text = head->output() == HeadOutputKind::kScores,
                   .shape = ShapeOf(type, *head, map)});
  }
  return out;
}

std::string Platform(const ModelInfo& info) { return Concat("pixpool_", info.engine); }

}  // namespace

void MetadataToProto(const ModelInfo& info, int max_input_side,
                     inference::ModelMetadataResponse* out) {
  out->set_name(info.name);
  out->set_platform(Platform(info));
  for (const InputType& type : InputTypes()) {
    auto* input = out->add_inputs();
    input->set_name(type.name);
    input->set_datatype(type.datatype);
    input->add_shape(-1);
    input->mutable_shape()->Add(type.shape.begin(), type.shape.end());
  }
  for (const Output& output : OutputsOf(info, max_input_side)) {
    auto* tensor = out->add_outputs();
    tensor->set_name(output.name);
    tensor->set_datatype(output.is_text ? "BYTES" : "FP32");
    tensor->add_shape(-1);
    tensor->mutable_shape()->Add(output.shape.begin(), output.shape.end());
  }
}

void ConfigToProto(const ModelInfo& info, int max_input_side, int max_images,
                   inference::ModelConfig* out) {
  out->set_name(info.name);
  out->set_platform(Platform(info));
  out->set_backend("pixpool");
  out->set_max_batch_size(max_images);
  for (const InputType& type : InputTypes()) {
    auto* input = out->add_input();
    input->set_name(type.name);
    input->set_data_type(type.config_type);
    input->mutable_dims()->Add(type.shape.begin(), type.shape.end());
    input->set_optional(type.optional);
  }
  for (const Output& output : OutputsOf(info, max_input_side)) {
    auto* tensor = out->add_output();
    tensor->set_name(output.name);
    tensor->set_data_type(output.is_text ? inference::TYPE_STRING : inference::TYPE_FP32);
    tensor->mutable_dims()->Add(output.shape.begin(), output.shape.end());
  }
  out->mutable_model_transaction_policy()->set_decoupled(false);
}

void IndexToProto(const ModelEntry& entry, inference::RepositoryIndexResponse::ModelIndex* out) {
  out->set_name(entry.name);
  out->set_version(entry.version);
  out->set_reason(entry.message);
  switch (entry.state) {
    case ModelState::kLoading:
      return out->set_state("LOADING");
    case ModelState::kIdle:
      out->set_reason(entry.message.empty() ? "idle: the next call loads it" : entry.message);
      return out->set_state("READY");
    case ModelState::kReady:
      return out->set_state("READY");
    case ModelState::kFailed:
      return out->set_state("UNAVAILABLE");
  }
}

}  // namespace pixpool::kserve
