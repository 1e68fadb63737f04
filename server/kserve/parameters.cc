#include "server/kserve/parameters.h"

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>

#include "google/protobuf/map.h"
#include "proto/message_text.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/head_convert.h"
#include "server/rpc/option_fields.h"
#include "server/rpc/priority.h"

namespace pixpool::kserve {
namespace {

using inference::InferParameter;
using Parameters = google::protobuf::Map<std::string, InferParameter>;

// Parameters of a request that are no input options: the priority has its own function; of
// Triton's other hints the deadline is the call's here, and every response is the final one.
constexpr std::array<std::string_view, 3> kOthers = {"priority", "timeout",
                                                     "triton_enable_empty_final_response"};

absl::Status Invalid(ErrorReason reason, const std::string& field, std::string_view message) {
  return MakeError({.reason = reason, .field = field}, Concat(field, ": ", message));
}

std::string PathOf(std::string_view key) { return Concat("parameters[\"", key, "\"]"); }

// In a fixed order, so that the same request gets the same complaint.
std::set<std::string> Keys(const Parameters& parameters) {
  std::set<std::string> keys;
  for (const auto& [key, value] : parameters) keys.insert(key);
  return keys;
}

FieldValue ValueOf(const InferParameter& value) {
  switch (value.parameter_choice_case()) {
    case InferParameter::kBoolParam:
      return value.bool_param();
    case InferParameter::kInt64Param:
      return value.int64_param();
    case InferParameter::kUint64Param:
      return value.uint64_param();
    case InferParameter::kDoubleParam:
      return value.double_param();
    case InferParameter::kStringParam:
      return std::string_view(value.string_param());
    case InferParameter::PARAMETER_CHOICE_NOT_SET:
      break;
  }
  return std::monostate();
}

bool IsSharedMemory(std::string_view key) { return key.substr(0, 14) == "shared_memory_"; }

absl::Status NotServed(const std::string& field, std::string_view what) {
  return Invalid(ErrorReason::kNotImplemented, field, Concat(what, " is not served"));
}

absl::Status HasId(const std::string& field) {
  return Invalid(ErrorReason::kHeadInvalid, field, "a head is called as its output; leave id out");
}

absl::Status SetParameter(const std::string& key, const InferParameter& value, v1::Head* head) {
  if (IsSharedMemory(key)) return NotServed(PathOf(key), "shared memory");
  if (key == "binary_data") return absl::OkStatus();  // of the HTTP protocol; always true here
  // Triton's classification extension: the number of classes.
  const bool classes = key == "classification";
  if (classes && !head->has_class_scores()) {
    return Invalid(ErrorReason::kHeadInvalid, PathOf(key), "it applies to class_scores alone");
  }
  const std::string complaint = SetHeadParameter(*head, classes ? "top_k" : key, ValueOf(value));
  if (complaint.empty()) return absl::OkStatus();
  return Invalid(ErrorReason::kHeadInvalid, PathOf(key), complaint);
}

// What one tensor of the protocol cannot carry.
absl::Status CheckCarried(const HeadRequest& head) {
  if (head.encoding == Encoding::kInt8) {
    return Invalid(ErrorReason::kNotImplemented, "encoding",
                   "INT8 has a scale for each vector, which a tensor of this protocol cannot "
                   "carry; take FLOAT16 or BINARY, or pixpool.v1");
  }
  const auto indices = head.params.find("return_indices");
  if (indices == head.params.end() || indices->second != ParamValue(true)) return absl::OkStatus();
  return Invalid(ErrorReason::kNotImplemented, "return_indices",
                 "one output is one tensor; take pixpool.v1 for values with their indices");
}

absl::StatusOr<HeadRequest> HeadFromOutput(
    const inference::ModelInferRequest::InferRequestedOutputTensor& output) {
  absl::StatusOr<v1::Head> head = HeadFromText(output.name());
  if (!head.ok()) {
    return Invalid(ErrorReason::kHeadInvalid, "name", ToStd(head.status().message()));
  }
  if (!head->head_id().empty()) return HasId("name");
  for (const std::string& key : Keys(output.parameters())) {
    PIXPOOL_RETURN_IF_ERROR(SetParameter(key, output.parameters().at(key), &*head));
    if (!head->head_id().empty()) return HasId(PathOf(key));
  }
  PIXPOOL_ASSIGN_OR_RETURN(HeadRequest request, HeadFromProto(*head));
  PIXPOOL_RETURN_IF_ERROR(CheckCarried(request));
  return request;
}

absl::Status SetOption(const std::string& key, const InferParameter& value, OptionFields* options) {
  for (const std::string_view other : kOthers) {
    if (key == other) return absl::OkStatus();
  }
  if (key.substr(0, 9) == "sequence_") return NotServed(PathOf(key), "a sequence of requests");
  const std::string complaint = options->Set(key, ValueOf(value));
  if (complaint.empty()) return absl::OkStatus();
  return Invalid(ErrorReason::kRequestInvalid, PathOf(key), complaint);
}

}  // namespace

absl::StatusOr<std::vector<HeadRequest>> HeadsFromOutputs(
    const inference::ModelInferRequest& request) {
  std::vector<HeadRequest> heads;
  std::set<std::string_view> names;
  for (int i = 0; i < request.outputs_size(); ++i) {
    const auto& output = request.outputs(i);
    const std::string path = Concat("outputs[", i, "]");
    if (!names.insert(output.name()).second) {
      return Invalid(ErrorReason::kHeadInvalid, path + ".name",
                     Concat("\"", output.name(), "\" is requested twice"));
    }
    auto head = HeadFromOutput(output);
    if (!head.ok()) return PrependField(head.status(), path);
    // Ids are for the pipeline's messages alone: responses are by position.
    head->id = Concat("output_", i);
    heads.push_back(*std::move(head));
  }
  if (heads.empty()) heads.push_back({.id = "", .kind = "global_avg"});
  return heads;
}

absl::StatusOr<RequestOptions> OptionsFromParameters(const inference::ModelInferRequest& request) {
  OptionFields options("requests take ");
  for (const std::string& key : Keys(request.parameters())) {
    PIXPOOL_RETURN_IF_ERROR(SetOption(key, request.parameters().at(key), &options));
  }
  auto native = options.Native();
  return native.ok() ? native : PrependField(native.status(), "parameters");
}

absl::StatusOr<Priority> PriorityFromParameters(const inference::ModelInferRequest& request,
                                                Priority fallback) {
  const auto found = request.parameters().find("priority");
  if (found == request.parameters().end()) return fallback;
  const InferParameter& value = found->second;
  std::optional<Priority> priority;
  if (value.has_string_param()) priority = PriorityFromText(value.string_param());
  if (value.has_uint64_param() || (value.has_int64_param() && value.int64_param() >= 0)) {
    const uint64_t level = value.has_uint64_param() ? value.uint64_param()
                                                    : static_cast<uint64_t>(value.int64_param());
    priority = level == 0 ? fallback : level == 1 ? Priority::kInteractive : Priority::kBulk;
  }
  if (priority.has_value()) return *priority;
  return Invalid(ErrorReason::kRequestInvalid, PathOf("priority"),
                 "it must be interactive or bulk, or a whole number: 1 is interactive, more is "
                 "bulk, 0 is the default");
}

}  // namespace pixpool::kserve
