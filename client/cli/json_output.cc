#include "client/cli/json_output.h"

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "client/cli/files.h"
#include "client/cpp/error.h"
#include "client/cpp/values.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/repeated_field.h"
#include "nlohmann/json.hpp"

namespace pixpool::cli {
namespace {

// float as the number type: values print with the shortest digits that give the same float back.
using Json = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, int64_t,
                                  uint64_t, float>;

float Milliseconds(const google::protobuf::Duration& d) {
  return static_cast<float>(static_cast<double>(d.seconds()) * 1e3 + d.nanos() * 1e-6);
}

template <typename Values>
Json Array(const Values& values) {
  Json array = Json::array();
  for (const auto& v : values) array.push_back(v);
  return array;
}

Json ScoreJson(const v1::ClassScore& s) {
  return {{"class_index", s.class_index()}, {"label", s.label()}, {"score", s.score()}};
}

Json MapJson(const v1::ActivationMap& map) {
  const v1::Box& box = map.box();
  Json json;
  if (map.has_class_score()) json["class_score"] = ScoreJson(map.class_score());
  json["box"] = {{"left_px", box.left_px()},
                 {"top_px", box.top_px()},
                 {"right_px", box.right_px()},
                 {"bottom_px", box.bottom_px()}};
  if (!map.png().empty()) json["png_bytes"] = static_cast<uint64_t>(map.png().size());
  return json;
}

Json HeadJson(const v1::HeadResult& head) {
  Json json;
  json["head_id"] = head.head_id();
  json["kind"] = head.kind();
  json["layer"] = head.layer();
  json["space_id"] = head.space_id();
  json["shape"] = Array(head.shape());
  if (head.class_scores_size() > 0) {
    Json scores = Json::array();
    for (const v1::ClassScore& s : head.class_scores()) scores.push_back(ScoreJson(s));
    json["class_scores"] = std::move(scores);
  }
  if (head.has_activation_map()) json["activation_map"] = MapJson(head.activation_map());
  if (head.class_scores_size() == 0 && head.activation_map().png().empty()) {
    const std::string encoding = client::EncodingName(head.encoding());
    if (encoding != "float32") json["encoding"] = encoding;
    json["values"] = Array(client::DecodeValues(head).value());
  }
  if (head.indices_size() > 0) json["indices"] = Array(head.indices());
  if (head.warnings_size() > 0) json["warnings"] = Array(head.warnings());
  return json;
}

Json HeadsJson(const google::protobuf::RepeatedPtrField<v1::HeadResult>& heads) {
  Json json = Json::array();
  for (const v1::HeadResult& head : heads) json.push_back(HeadJson(head));
  return json;
}

Json RegionJson(const v1::RegionFeatures& region) {
  Json json;
  if (!region.region_id().empty()) json["region_id"] = region.region_id();
  json["box"] = {{"left_px", region.left_px()},
                 {"top_px", region.top_px()},
                 {"right_px", region.right_px()},
                 {"bottom_px", region.bottom_px()}};
  json["heads"] = HeadsJson(region.head_results());
  return json;
}

Json StagesJson(const v1::StageTimes& t) {
  return {{"queue", Milliseconds(t.queue())},
          {"decode", Milliseconds(t.decode())},
          {"preprocess", Milliseconds(t.preprocess())},
          {"batch_wait", Milliseconds(t.batch_wait())},
          {"backbone", Milliseconds(t.backbone())},
          {"heads", Milliseconds(t.heads())},
          {"draw", Milliseconds(t.draw())}};
}

Json ErrorJson(const absl::Status& status) {
  const client::ErrorDetails details = client::GetErrorDetails(status);
  Json json;
  json["code"] = absl::StatusCodeToString(status.code());
  json["reason"] = details.reason;
  json["message"] = std::string(status.message());
  Json fields = Json::array();
  for (const auto& violation : details.field_violations) fields.push_back(violation.first);
  json["fields"] = std::move(fields);
  return json;
}

class JsonWriter final : public Writer {
 public:
  JsonWriter(std::ostream& out, std::string name) : out_(out), name_(std::move(name)) {}

  absl::Status Add(const ImageOutcome& outcome) override {
    const std::string line = OutcomeJson(outcome);
    errno = 0;
    out_ << line << "\n";
    return CheckStream(out_, name_);
  }

  absl::Status Finish() override {
    errno = 0;
    return CheckStream(out_.flush(), name_);
  }

 private:
  std::ostream& out_;
  const std::string name_;
};

}  // namespace

std::string OutcomeJson(const ImageOutcome& outcome) {
  Json json;
  json["index"] = static_cast<uint64_t>(outcome.index);
  json["path"] = outcome.path;
  json["ok"] = outcome.status.ok();
  if (!outcome.status.ok()) {
    json["error"] = ErrorJson(outcome.status);
  } else {
    const v1::Features& f = outcome.features;
    json["model"] = {{"name", outcome.model.name()}, {"version", outcome.model.version()}};
    json["height_px"] = f.height_px();
    json["width_px"] = f.width_px();
    json["input_height_px"] = f.input_height_px();
    json["input_width_px"] = f.input_width_px();
    json["heads"] = HeadsJson(f.head_results());
    if (f.regions_size() > 0) {
      Json regions = Json::array();
      for (const v1::RegionFeatures& region : f.regions()) regions.push_back(RegionJson(region));
      json["regions"] = std::move(regions);
    }
    if (f.warnings_size() > 0) json["warnings"] = Array(f.warnings());
    json["stage_times_ms"] = StagesJson(f.stage_times());
    if (f.cached()) json["cached"] = true;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::unique_ptr<Writer> NewJsonWriter(std::ostream& out, std::string name) {
  return std::make_unique<JsonWriter>(out, std::move(name));
}

}  // namespace pixpool::cli
