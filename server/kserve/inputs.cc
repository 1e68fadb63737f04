#include "server/kserve/inputs.h"

#include <algorithm>
#include <bit>

#include "server/base/status_macros.h"

namespace pixpool::kserve {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors travel in little-endian order");

constexpr char kInputs[] =
    "; the inputs are \"image\" (BYTES [N] or [N,1] of encoded images, or UINT8 [N,H,W,3] of RGB "
    "pixels) and, optional, \"regions\" (FP32 [N,R,4] of left, top, right, bottom) and "
    "\"region_count\" (INT32 or INT64 [N] or [N,1])";

absl::Status Invalid(const std::string& field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = field},
                   Concat(field, ": ", message));
}

absl::Status OfInput(const inference::ModelInferRequest::InferInputTensor& tensor,
                     const std::string& field, std::string_view message, ErrorReason reason) {
  return MakeError({.reason = reason, .field = field},
                   Concat(field, ": \"", tensor.name(), "\" ", message));
}

// What a single input may be wrong in, whatever it is.
absl::Status CheckPlace(const Input& input) {
  if (input.tensor->parameters().contains("shared_memory_region")) {
    return input.Error("parameters", "is in shared memory, which is not served; send the bytes",
                       ErrorReason::kNotImplemented);
  }
  if (input.raw && input.tensor->has_contents()) {
    return input.Error("contents", "has its values in raw_input_contents already");
  }
  return absl::OkStatus();
}

absl::Status CheckRawCount(const inference::ModelInferRequest& request) {
  const int raw = request.raw_input_contents_size();
  if (raw == 0 || raw == request.inputs_size()) return absl::OkStatus();
  return Invalid("raw_input_contents",
                 Concat("there are ", raw, " for ", request.inputs_size(),
                        " inputs; it has the values of all inputs, in their order, or of none"));
}

Input InputAt(const inference::ModelInferRequest& request, int i) {
  Input input = {.tensor = &request.inputs(i),
                 .path = Concat("inputs[", i, "]"),
                 .raw_path = Concat("raw_input_contents[", i, "]"),
                 .raw = std::nullopt};
  if (i < request.raw_input_contents_size()) input.raw = request.raw_input_contents(i);
  return input;
}

}  // namespace

absl::Status Input::Error(std::string_view field, std::string_view message,
                          ErrorReason reason) const {
  return OfInput(*tensor, Concat(path, ".", field), message, reason);
}

absl::Status Input::ValueError(std::string_view message) const {
  return OfInput(*tensor, raw ? raw_path : path + ".contents", message,
                 ErrorReason::kRequestInvalid);
}

std::string Input::TypeText() const {
  // A message has room for millions.
  constexpr int kMostSides = 8;
  std::string sides;
  for (int i = 0; i < std::min(tensor->shape_size(), kMostSides); ++i) {
    sides += Concat(i == 0 ? "" : ",", tensor->shape(i));
  }
  if (tensor->shape_size() > kMostSides) sides += ",...";
  return Concat(tensor->datatype(), " [", sides, "]");
}

absl::StatusOr<Inputs> InputsOf(const inference::ModelInferRequest& request) {
  std::optional<Input> image;
  Inputs inputs;
  for (int i = 0; i < request.inputs_size(); ++i) {
    Input input = InputAt(request, i);
    const std::string& name = input.tensor->name();
    std::optional<Input>* const place = name == "image"          ? &image
                                        : name == "regions"      ? &inputs.regions
                                        : name == "region_count" ? &inputs.region_count
                                                                 : nullptr;
    if (place == nullptr) {
      return Invalid(input.path + ".name", Concat("there is no input \"", name, "\"", kInputs));
    }
    if (place->has_value()) return input.Error("name", "is sent twice");
    PIXPOOL_RETURN_IF_ERROR(CheckPlace(input));
    *place = std::move(input);
  }
  if (!image) return Invalid("inputs", Concat("\"image\" is not among them", kInputs));
  PIXPOOL_RETURN_IF_ERROR(CheckRawCount(request));
  inputs.image = *std::move(image);
  return inputs;
}

}  // namespace pixpool::kserve
