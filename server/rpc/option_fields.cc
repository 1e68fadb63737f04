#include "server/rpc/option_fields.h"

#include <array>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/region_convert.h"

namespace pixpool {
namespace {

// "255,0,128". Numbers are no colour.
std::string SetBackground(const FieldValue& value, v1::InputOptions* options) {
  const auto* text = std::get_if<std::string_view>(&value);
  const std::vector<std::string> parts =
      absl::StrSplit(text != nullptr ? ToAbsl(*text) : absl::string_view(), ',');
  std::array<int, 3> levels{};
  bool good = parts.size() == levels.size();
  for (size_t i = 0; good && i < levels.size(); ++i) {
    good = absl::SimpleAtoi(parts[i], &levels[i]);
  }
  if (!good) return "it must be red,green,blue, such as 255,255,255";
  options->mutable_background()->set_red(levels[0]);
  options->mutable_background()->set_green(levels[1]);
  options->mutable_background()->set_blue(levels[2]);
  return "";
}

std::string NamesOf(const google::protobuf::Descriptor* type) {
  return absl::StrJoin(ScalarFieldNames(type), ", ");
}

}  // namespace

std::string OptionFields::Set(const std::string& name, const FieldValue& value) {
  if (name == "background") return SetBackground(value, &input_);
  google::protobuf::Message* message = &input_;
  const auto* field = v1::InputOptions::descriptor()->FindFieldByName(name);
  if (field == nullptr) {
    message = &regions_;
    field = v1::RegionOptions::descriptor()->FindFieldByName(name);
  }
  if (name == "relative") {
    message = &region_;
    field = v1::Region::descriptor()->FindFieldByName(name);
  }
  if (field != nullptr) return SetField(*message, field, value);
  return Concat("no such parameter; ", names_begin_, NamesOf(v1::InputOptions::descriptor()),
                ", background; of regions ", NamesOf(v1::RegionOptions::descriptor()),
                ", relative");
}

absl::StatusOr<RequestOptions> OptionFields::Native() const {
  PIXPOOL_ASSIGN_OR_RETURN(InputOptions input, InputOptionsFromProto(input_));
  PIXPOOL_ASSIGN_OR_RETURN(RegionOptions regions, RegionOptionsFromProto(regions_));
  return RequestOptions{
      .input = std::move(input), .regions = std::move(regions), .relative = region_.relative()};
}

}  // namespace pixpool
