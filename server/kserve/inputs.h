// The input tensors of a request, by name, and where their values lie.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "inference/grpc_service.pb.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool::kserve {

// One input. A view of the request.
struct Input {
  const inference::ModelInferRequest::InferInputTensor* tensor = nullptr;
  std::string path;                     // "inputs[1]"
  std::string raw_path;                 // "raw_input_contents[1]"
  std::optional<std::string_view> raw;  // its values, unless they are in the tensor's contents

  // An error of one of its fields, such as "shape", with the input's name; `message` is what
  // follows that.
  absl::Status Error(std::string_view field, std::string_view message,
                     ErrorReason reason = ErrorReason::kRequestInvalid) const;

  // The same of its values, wherever they are.
  absl::Status ValueError(std::string_view message) const;

  // Type and shape: "FP32 [2,3,4]".
  std::string TypeText() const;
};

struct Inputs {
  Input image;
  std::optional<Input> regions;
  std::optional<Input> region_count;
};

// The inputs of a request, none of which is sent twice. Errors: REQUEST_INVALID with the field for
// other names, no image, and values that are in both places or for too few of the inputs;
// NOT_IMPLEMENTED for shared memory.
absl::StatusOr<Inputs> InputsOf(const inference::ModelInferRequest& request);

// The numbers of an input, in row-major order. A view.
template <typename T>
class Numbers {
 public:
  // REQUEST_INVALID where there are not as many as `count`, which the shape means.
  static absl::StatusOr<Numbers> Of(const Input& input,
                                    const google::protobuf::RepeatedField<T>& contents,
                                    double count);

  T operator[](size_t i) const {
    if (!raw_) return contents_->Get(static_cast<int>(i));
    T value;
    std::memcpy(&value, raw_->data() + i * sizeof(T), sizeof(T));
    return value;
  }

 private:
  Numbers(std::optional<std::string_view> raw, const google::protobuf::RepeatedField<T>* contents)
      : raw_(raw), contents_(contents) {}

  std::optional<std::string_view> raw_;
  const google::protobuf::RepeatedField<T>* contents_;
};

template <typename T>
absl::StatusOr<Numbers<T>> Numbers<T>::Of(const Input& input,
                                          const google::protobuf::RepeatedField<T>& contents,
                                          double count) {
  const double wanted = input.raw ? count * sizeof(T) : count;
  const size_t found = input.raw ? input.raw->size() : static_cast<size_t>(contents.size());
  if (wanted == static_cast<double>(found)) return Numbers(input.raw, &contents);
  return input.Error("shape", Concat("is ", input.TypeText(), ", which takes ", wanted,
                                     input.raw ? " bytes" : " values", ", but there are ", found));
}

}  // namespace pixpool::kserve
