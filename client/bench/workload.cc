#include "client/bench/workload.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "inference/grpc_service.pb.h"

namespace pixpool::bench {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// The bytes before a length-delimited field: its tag and its length.
std::string FieldHeader(int number, size_t length) {
  std::string header;
  {
    StringOutputStream stream(&header);
    CodedOutputStream out(&stream);
    out.WriteTag(static_cast<uint32_t>(number) << 3 | 2);
    out.WriteVarint32(static_cast<uint32_t>(length));
  }
  return header;
}

// A picture inside an ExtractFeaturesRequest or a StreamFeaturesRequest: field `number`, an Image.
std::string ImageField(int number, const std::string& encoded) {
  const std::string inner = FieldHeader(v1::Image::kEncodedFieldNumber, encoded.size());
  return absl::StrCat(FieldHeader(number, inner.size() + encoded.size()), inner, encoded);
}

// A picture inside raw_input_contents: its length in four bytes, little-endian, and the file.
std::string RawElement(const std::string& encoded) {
  std::string bytes(4, '\0');
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<char>(encoded.size() >> (8 * i) & 0xff);
  return bytes + encoded;
}

// A set field as the text that the server reads in parameters.
std::string FieldText(const v1::InputOptions& input, const FieldDescriptor* field) {
  const auto* reflection = input.GetReflection();
  if (field->is_repeated()) {  // scales
    std::string text;
    for (const float scale : input.scales()) absl::StrAppend(&text, text.empty() ? "" : "x", scale);
    return text;
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->GetEnum(input, field)->name();
    case FieldDescriptor::CPPTYPE_MESSAGE: {  // background
      const v1::RgbColor& color = input.background();
      return absl::StrCat(color.red(), ",", color.green(), ",", color.blue());
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(input, field) ? "true" : "false";
    default:
      return absl::StrCat(reflection->GetInt32(input, field));
  }
}

std::string KservePrefix(const WorkloadOptions& options) {
  inference::ModelInferRequest request;
  request.set_model_name(options.config.model());
  request.set_model_version(options.config.model_version());
  const v1::InputOptions& input = options.config.input_options();
  std::vector<const FieldDescriptor*> fields;
  input.GetReflection()->ListFields(input, &fields);
  for (const FieldDescriptor* field : fields) {
    (*request.mutable_parameters())[field->name()].set_string_param(FieldText(input, field));
  }
  for (const std::string& head : options.heads) request.add_outputs()->set_name(head);
  auto& tensor = *request.add_inputs();
  tensor.set_name("image");
  tensor.set_datatype("BYTES");
  tensor.add_shape(options.batch);
  return request.SerializeAsString();
}

std::string PixpoolPrefix(const v1::StreamConfig& config) {
  v1::ExtractFeaturesRequest request;
  request.set_model(config.model());
  request.set_model_version(config.model_version());
  request.set_priority(config.priority());
  *request.mutable_heads() = config.heads();
  if (config.has_input_options()) *request.mutable_input_options() = config.input_options();
  return request.SerializeAsString();
}

}  // namespace

grpc::Slice ToSlice(const std::string& text) { return grpc::Slice(text.data(), text.size()); }

absl::StatusOr<Workload> Workload::Make(const WorkloadOptions& options,
                                        std::vector<std::string> pictures) {
  if (pictures.empty()) return absl::InvalidArgumentError("a run needs pictures");
  if (options.batch < 1) return absl::InvalidArgumentError("--batch must be at least 1");
  const bool kserve = options.api == Api::kKserve;
  if (options.stream && !kserve && options.batch > 1) {
    return absl::InvalidArgumentError(
        "a message of StreamFeatures holds one picture: leave --batch out, or --stream");
  }
  std::mt19937_64 engine(options.seed);
  std::shuffle(pictures.begin(), pictures.end(), engine);

  Workload workload;
  workload.options_ = options;
  if (kserve) {
    workload.method_ = absl::StrCat("/inference.GRPCInferenceService/",
                                    options.stream ? "ModelStreamInfer" : "ModelInfer");
    workload.prefix_ = ToSlice(KservePrefix(options));
  } else if (options.stream) {
    workload.method_ = "/pixpool.v1.FeatureService/StreamFeatures";
    v1::StreamFeaturesRequest first;
    *first.mutable_config() = options.config;
    workload.stream_config_ = first.SerializeAsString();
  } else {
    workload.method_ = "/pixpool.v1.FeatureService/ExtractFeatures";
    workload.prefix_ = ToSlice(PixpoolPrefix(options.config));
  }
  const int field = options.stream ? int{v1::StreamFeaturesRequest::kImageFieldNumber}
                                   : int{v1::ExtractFeaturesRequest::kImagesFieldNumber};
  for (std::string& picture : pictures) {
    workload.pictures_.push_back(
        {ToSlice(kserve ? RawElement(picture) : ImageField(field, picture))});
    picture = std::string();  // each is held once
  }
  return workload;
}

grpc::ByteBuffer Workload::Request(size_t first) const {
  std::vector<grpc::Slice> slices;
  slices.reserve(static_cast<size_t>(options_.batch) + 2);
  if (prefix_.size() > 0) slices.push_back(prefix_);
  const bool kserve = options_.api == Api::kKserve;
  if (kserve) slices.emplace_back();  // the length of all, known below
  size_t length = 0;
  for (size_t i = 0; i < static_cast<size_t>(options_.batch); ++i) {
    slices.push_back(pictures_[(first + i) % pictures_.size()].bytes);
    length += slices.back().size();
  }
  if (kserve) {
    slices[prefix_.size() > 0 ? 1 : 0] =
        ToSlice(FieldHeader(inference::ModelInferRequest::kRawInputContentsFieldNumber, length));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace pixpool::bench
