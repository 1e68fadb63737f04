#include "server/rpc/head_convert.h"

#include <string>
#include <utility>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/heads/head_params.h"
#include "server/rpc/enum_values.h"
#include "server/rpc/head_fields.h"

namespace pixpool {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;

absl::StatusOr<Encoding> EncodingFromProto(v1::Encoding encoding) {
  switch (encoding) {
    case v1::ENCODING_UNSPECIFIED:
    case v1::ENCODING_FLOAT32:
      return Encoding::kFloat32;
    case v1::ENCODING_FLOAT16:
      return Encoding::kFloat16;
    case v1::ENCODING_INT8:
      return Encoding::kInt8;
    case v1::ENCODING_BINARY:
      return Encoding::kBinary;
    default:
      return MakeError({.reason = ErrorReason::kHeadInvalid, .field = "encoding"},
                       UnknownValue("encoding", *v1::Encoding_descriptor(), encoding));
  }
}

v1::Encoding EncodingToProto(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat32:
      return v1::ENCODING_FLOAT32;
    case Encoding::kFloat16:
      return v1::ENCODING_FLOAT16;
    case Encoding::kInt8:
      return v1::ENCODING_INT8;
    case Encoding::kBinary:
      return v1::ENCODING_BINARY;
  }
  return v1::ENCODING_UNSPECIFIED;
}

void ScoreToProto(const ClassScore& score, const std::vector<std::string>& labels,
                  v1::ClassScore* out) {
  out->set_class_index(score.class_index);
  const size_t index = static_cast<size_t>(score.class_index);
  if (index < labels.size()) out->set_label(labels[index]);
  out->set_score(score.score);
}

void ActivationMapToProto(const std::vector<std::string>& labels, HeadOutput&& output,
                          v1::ActivationMap* out) {
  if (!output.scores.empty()) ScoreToProto(output.scores[0], labels, out->mutable_class_score());
  out->set_png(std::move(output.png));
  v1::Box* box = out->mutable_box();
  box->set_left_px(output.box.left);
  box->set_top_px(output.box.top);
  box->set_right_px(output.box.right());
  box->set_bottom_px(output.box.bottom());
}

}  // namespace

absl::StatusOr<HeadRequest> HeadFromProto(const v1::Head& head) {
  const Reflection& reflection = *head.GetReflection();
  const FieldDescriptor* kind =
      reflection.GetOneofFieldDescriptor(head, v1::Head::descriptor()->FindOneofByName("kind"));
  if (kind == nullptr) {
    return MakeError({.reason = ErrorReason::kHeadInvalid, .field = "kind"},
                     "the head has no kind; set one, such as global_avg");
  }
  HeadRequest out{.id = head.head_id(), .kind = kind->name(), .layer = head.layer()};
  out.l2_normalized = head.l2_normalized();
  out.projection = head.projection();
  if (head.has_dimensions()) out.dimensions = head.dimensions();
  PIXPOOL_ASSIGN_OR_RETURN(out.encoding, EncodingFromProto(head.encoding()));
  auto params = ParamsFromMessage(reflection.GetMessage(head, kind));
  if (!params.ok()) return PrependField(params.status(), kind->name());
  out.params = *std::move(params);
  return out;
}

absl::StatusOr<std::vector<HeadRequest>> HeadsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Head>& heads) {
  std::vector<HeadRequest> out;
  out.reserve(static_cast<size_t>(heads.size()));
  for (int i = 0; i < heads.size(); ++i) {
    auto head = HeadFromProto(heads[i]);
    if (!head.ok()) return PrependField(head.status(), Concat("heads[", i, "]"));
    out.push_back(*std::move(head));
  }
  return out;
}

v1::HeadType HeadTypeToProto(const HeadType& type) {
  v1::HeadType out;
  out.set_name(std::string(type.name));
  out.set_description(std::string(type.description));
  for (const ParamSpec& param : type.params) {
    v1::HeadParameter* p = out.add_parameters();
    p->set_name(std::string(param.name));
    p->set_type(std::string(ParamTypeName(param.type)));
    p->set_default_value(std::string(param.default_value));
    p->set_required(param.required);
    p->set_range(param.RangeText());
  }
  return out;
}

void HeadOutputToProto(const HeadSpec& head, const std::vector<std::string>& labels,
                       HeadOutput&& result, v1::HeadResult* out) {
  // Goes with this function: an answer of many values would else exist twice before it is
  // serialised, which takes as much again.
  HeadOutput output = std::move(result);
  out->set_head_id(head.id);
  out->set_kind(std::string(head.kind()));
  out->set_layer(head.layer);
  out->set_space_id(head.space_id);
  out->set_encoding(EncodingToProto(head.post.encoding));
  out->mutable_shape()->Add(output.shape.begin(), output.shape.end());
  out->mutable_values()->Add(output.values.begin(), output.values.end());
  out->set_packed_values(std::move(output.packed));
  out->set_scale(output.scale);
  out->mutable_indices()->Add(output.indices.begin(), output.indices.end());
  for (std::string& warning : output.warnings) out->add_warnings(std::move(warning));
  if (head.output() == HeadOutputKind::kActivationMap) {
    ActivationMapToProto(labels, std::move(output), out->mutable_activation_map());
    return;
  }
  for (const ClassScore& score : output.scores) {
    ScoreToProto(score, labels, out->add_class_scores());
  }
}

}  // namespace pixpool
