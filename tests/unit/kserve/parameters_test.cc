#include "server/kserve/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "pixpool/v1/feature_service.pb.h"
#include "server/base/error.h"
#include "server/base/number_text.h"
#include "server/base/text.h"

namespace pixpool::kserve {
namespace {

using inference::InferParameter;

// What a client sends for a parameter, and how a complaint words it.
struct Sent {
  std::string name;
  InferParameter value;
  std::string text;
};

Sent Bool(bool value) {
  Sent sent{value ? "true" : "false", {}, value ? "true" : "false"};
  sent.value.set_bool_param(value);
  return sent;
}

Sent Int(int64_t value) {
  Sent sent{Concat("int64 ", value), {}, Concat(value)};
  sent.value.set_int64_param(value);
  return sent;
}

Sent Uint(uint64_t value) {
  Sent sent{Concat("uint64 ", value), {}, Concat(value)};
  sent.value.set_uint64_param(value);
  return sent;
}

Sent Double(double value, const std::string& text) {
  Sent sent{Concat("double ", text), {}, text};
  sent.value.set_double_param(value);
  return sent;
}

Sent Text(const std::string& text) {
  Sent sent{Concat("\"", text, "\""), {}, text};
  sent.value.set_string_param(text);
  return sent;
}

const std::vector<Sent>& AllSent() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  static const auto* const all = new std::vector<Sent>{
      Bool(true),
      Bool(false),
      Int(0),
      Int(1),
      Int(3),
      Int(-3),
      Int(16'777'217),
      Int(int64_t{1} << 31),
      Int(INT64_MIN),
      Uint(1),
      Uint(3),
      Uint(UINT64_MAX),
      Double(0, "0"),
      Double(1, "1"),
      Double(3, "3"),
      Double(-3, "-3"),
      Double(16'777'217, "16777216"),
      Double(1e5, "1e+05"),
      Double(0.1, "0.1"),
      Double(static_cast<double>(0.1f), "0.1"),
      Double(2.7182818, "2.7182817"),
      Double(1e-6, "1e-06"),
      Double(3e9, "3e+09"),
      Double(1e300, "inf"),
      Double(-kInfinity, "-inf"),
      Double(std::numeric_limits<double>::quiet_NaN(), "nan"),
      Text(""),
      Text("3"),
      Text("-3"),
      Text("0.1"),
      Text("1e-6"),
      Text("2147483648"),
      Text("1e300"),
      Text("nan"),
      Text("yes"),
      Text("FALSE"),
      Text("2x3"),
      Text("0.5X2"),
      Text("x"),
      Text("logits"),
      Text("SCORE_TYPE_LOGITS"),
      Text("int16"),
      Text("Float16"),
      Text("exact"),
      Text("crop"),
      Text("region_mode_map"),
      Text("ROI_POOL"),
      Text("score_type_unspecified"),
      {"nothing", {}, ""},
  };
  return *all;
}

template <typename Number>
std::string List(const std::vector<Number>& values) {
  std::string text;
  for (const Number value : values) text += Concat(text.empty() ? "" : ",", ShortestText(value));
  return Concat("[", text, "]");
}

std::string Shown(const ParamValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return Concat("int ", *integer);
  if (const auto* number = std::get_if<double>(&value))
    return Concat("float ", ShortestText(*number));
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return List(*list);
  return Concat("\"", std::get<std::string>(value), "\"");
}

std::string Refused(const absl::Status& status, std::string_view field, ErrorReason reason) {
  const ErrorDetails details = GetErrorDetails(status).value_or(ErrorDetails());
  EXPECT_EQ(details.field, field);
  EXPECT_EQ(details.reason, reason) << field;
  return std::string(ToStd(status.message()));
}

// What a head's parameter comes to; "" where it is as if it were not given.
std::string HeadOutcome(const std::string& head, const std::string& name,
                        const InferParameter& value) {
  inference::ModelInferRequest request;
  auto* output = request.add_outputs();
  output->set_name(head);
  (*output->mutable_parameters())[name] = value;
  const auto heads = HeadsFromOutputs(request);
  if (!heads.ok()) {
    const std::string field = Concat("parameters[\"", name, "\"]");
    return Refused(heads.status(), Concat("outputs[0].", field), ErrorReason::kHeadInvalid);
  }
  const HeadRequest& out = heads->front();
  if (name == "layer") return Shown(out.layer);
  if (name == "l2_normalized") return Shown(out.l2_normalized);
  if (name == "dimensions") return Shown(out.dimensions.value_or(-1));
  if (name == "encoding") return Concat("encoding ", static_cast<int>(out.encoding));
  const auto it = out.params.find(name == "classification" ? "top_k" : name);
  return it == out.params.end() ? "" : Shown(it->second);
}

std::string OptionOutcome(const std::string& name, const InferParameter& value) {
  inference::ModelInferRequest request;
  (*request.mutable_parameters())[name] = value;
  const auto out = OptionsFromParameters(request);
  if (!out.ok()) {
    return Refused(out.status(), Concat("parameters[\"", name, "\"]"),
                   ErrorReason::kRequestInvalid);
  }
  const InputOptions& input = out->input;
  const RegionOptions& regions = out->regions;
  if (name == "input_height_px") return Concat("int ", input.height.value_or(-1));
  if (name == "apply_exif") return input.apply_exif ? "true" : "false";
  if (name == "flip") return input.flip ? "true" : "false";
  if (name == "resize") return input.resize ? Concat("mode ", static_cast<int>(*input.resize)) : "";
  if (name == "scales") return List(input.scales);
  if (name == "mode") return regions.mode == RegionMode::kCrop ? "crop" : "map";
  if (name == "pooling") return regions.pooling == RegionPoolingKind::kRoiPool ? "roi_pool" : "";
  if (name == "output_size") {
    const std::vector<int>& sides = regions.output_size;
    return List(std::vector<int64_t>(sides.begin(), sides.end()));
  }
  if (name == "sampling_ratio") return Concat("int ", regions.sampling_ratio.value_or(-1));
  if (name == "aligned") return *regions.aligned ? "true" : "false";
  if (name == "include_image") return regions.include_image ? "true" : "";
  return out->relative ? "true" : "";
}

// By the name of what was sent, what it comes to; nothing else is taken.
using Taken = std::map<std::string, std::string>;

const Taken kWholeNumbers = {
    {"int64 0", "int 0"},
    {"int64 1", "int 1"},
    {"int64 3", "int 3"},
    {"int64 -3", "int -3"},
    {"int64 16777217", "int 16777217"},
    {"uint64 1", "int 1"},
    {"uint64 3", "int 3"},
    {"double 0", "int 0"},
    {"double 1", "int 1"},
    {"double 3", "int 3"},
    {"double -3", "int -3"},
    {"double 16777216", "int 16777216"},
    {"double 1e+05", "int 100000"},
    {"\"3\"", "int 3"},
    {"\"-3\"", "int -3"},
};

// As float32 has them, by its shortest decimals.
const Taken kNumbers = {
    {"int64 0", "float 0"},
    {"int64 1", "float 1"},
    {"int64 3", "float 3"},
    {"int64 -3", "float -3"},
    {"int64 16777217", "float 16777216"},
    {"int64 2147483648", "float 2147483648"},
    {"int64 -9223372036854775808", "float -9.223372e+18"},
    {"uint64 1", "float 1"},
    {"uint64 3", "float 3"},
    {"uint64 18446744073709551615", "float 1.8446744e+19"},
    {"double 0", "float 0"},
    {"double 1", "float 1"},
    {"double 3", "float 3"},
    {"double -3", "float -3"},
    {"double 16777216", "float 16777216"},
    {"double 1e+05", "float 1e+05"},
    {"double 0.1", "float 0.1"},
    {"double 2.7182817", "float 2.7182817"},
    {"double 1e-06", "float 1e-06"},
    {"double 3e+09", "float 3e+09"},
    {"\"3\"", "float 3"},
    {"\"-3\"", "float -3"},
    {"\"0.1\"", "float 0.1"},
    {"\"1e-6\"", "float 1e-06"},
    {"\"2147483648\"", "float 2147483648"},
};

const Taken kFlags = {
    {"true", "true"},     {"false", "false"},   {"int64 0", "false"},
    {"int64 1", "true"},  {"uint64 1", "true"}, {"double 0", "false"},
    {"double 1", "true"}, {"\"yes\"", "true"},  {"\"FALSE\"", "false"},
};

// Lists of one, and those that only a text can give.
Taken Lists(const Taken& values, const Taken& of_texts) {
  Taken lists = of_texts;
  for (const auto& [name, shown] : values) {
    lists[name] = Concat("[", shown.substr(shown.find(' ') + 1), "]");
  }
  return lists;
}

// A field without presence: false is as if it were not given.
Taken TrueAlone(Taken flags) {
  for (auto& [name, shown] : flags) shown = shown == "false" ? "" : shown;
  return flags;
}

// Everything but the empty text, as it reads.
Taken AnyText() {
  Taken texts;
  for (const Sent& sent : AllSent()) {
    if (!sent.text.empty()) texts[sent.name] = Concat("\"", sent.text, "\"");
  }
  return texts;
}

struct Row {
  std::string head;  // empty: an option of the request
  std::string name;
  std::string wanted;  // what a complaint says
  Taken taken;
};

std::vector<Row> Rows() {
  const std::string whole = "a whole number";
  const std::string flag = "true or false";
  const std::string several = ", or several joined by x";
  return {
      {"gem", "p", "a number", kNumbers},
      {"class_scores", "top_k", whole, kWholeNumbers},
      {"class_scores", "classification", whole, kWholeNumbers},
      {"max_pool", "ceil_mode", flag, TrueAlone(kFlags)},
      {"avg_pool", "count_include_pad", flag, kFlags},
      {"max_pool", "kernel_size", whole + several, Lists(kWholeNumbers, {{"\"2x3\"", "[2,3]"}})},
      {"class_scores",
       "score_type",
       "one of softmax, logits",
       {{"\"logits\"", "\"logits\""},
        {"\"SCORE_TYPE_LOGITS\"", "\"logits\""},
        {"\"score_type_unspecified\"", ""}}},
      {"conv_pool", "bundle_filter", "a text", AnyText()},
      {"gem", "layer", "a text", AnyText()},
      {"gem", "l2_normalized", flag, kFlags},
      {"gem", "dimensions", whole, kWholeNumbers},
      {"gem", "encoding", "one of float32, float16, int8, binary", {{"\"Float16\"", "encoding 1"}}},
      {"", "input_height_px", whole, kWholeNumbers},
      {"", "apply_exif", flag, kFlags},
      {"", "flip", flag, kFlags},
      {"", "resize", "one of shorter_side, exact, none", {{"\"exact\"", "mode 1"}}},
      {"", "scales", "a number" + several,
       Lists(kNumbers, {{"\"2x3\"", "[2,3]"}, {"\"0.5X2\"", "[0.5,2]"}})},
      {"", "mode", "one of map, crop", {{"\"crop\"", "crop"}, {"\"region_mode_map\"", "map"}}},
      {"", "pooling", "one of roi_align, roi_pool", {{"\"ROI_POOL\"", "roi_pool"}}},
      {"", "output_size", whole + several, Lists(kWholeNumbers, {{"\"2x3\"", "[2,3]"}})},
      {"", "sampling_ratio", whole, kWholeNumbers},
      {"", "aligned", flag, kFlags},
      {"", "include_image", flag, TrueAlone(kFlags)},
      {"", "relative", flag, TrueAlone(kFlags)},
  };
}

// Every type of the protocol for every type of a parameter.
TEST(KserveParametersTest, ValuesOfEveryTypeForEveryParameter) {
  for (const Row& row : Rows()) {
    for (const Sent& sent : AllSent()) {
      const std::string field = row.name == "classification" ? "top_k" : row.name;
      const auto it = row.taken.find(sent.name);
      const std::string expected =
          it != row.taken.end() ? it->second
                                : Concat("parameters[\"", row.name, "\"]: \"", field, "\" must be ",
                                         row.wanted, ", not \"", sent.text, "\"");
      const std::string got = row.head.empty() ? OptionOutcome(row.name, sent.value)
                                               : HeadOutcome(row.head, row.name, sent.value);
      EXPECT_EQ(got, expected) << row.head << " " << row.name << " is " << sent.name;
    }
  }
}

std::string Complaint(const std::string& head, const std::map<std::string, Sent>& parameters) {
  inference::ModelInferRequest request;
  request.add_outputs()->set_name(head);
  for (const auto& [name, sent] : parameters) {
    (*request.mutable_outputs(0)->mutable_parameters())[name] = sent.value;
  }
  return std::string(ToStd(HeadsFromOutputs(request).status().message()));
}

TEST(KserveParametersTest, WhatIsGivenTwiceOrClashesIsRefused) {
  EXPECT_EQ(Complaint("gem:p=3", {{"p", Double(4, "4")}}),
            "parameters[\"p\"]: \"p\" is given twice");
  EXPECT_EQ(Complaint("gem:l2", {{"l2_normalized", Bool(true)}}),
            "parameters[\"l2_normalized\"]: \"l2_normalized\" is given twice");
  EXPECT_EQ(Complaint("gem", {{"l2", Int(1)}, {"l2_normalized", Bool(true)}}),
            "parameters[\"l2_normalized\"]: \"l2_normalized\" is given twice");
  EXPECT_EQ(Complaint("conv_pool:mean_filter", {{"bundle_filter", Text("x")}}),
            "parameters[\"bundle_filter\"]: \"bundle_filter\" and \"mean_filter\" exclude each "
            "other");
  EXPECT_EQ(Complaint("max_pool:kernel_size=3", {{"kernel_size", Int(2)}}),
            "parameters[\"kernel_size\"]: \"kernel_size\" is given twice");
  EXPECT_EQ(Complaint("gem", {{"q", Int(2)}}),
            "parameters[\"q\"]: no parameter \"q\"; gem takes p, eps; every head takes head_id, "
            "layer, l2_normalized, projection, dimensions, encoding (short: id for head_id, l2 for "
            "l2_normalized)");
  EXPECT_EQ(Complaint("gem", {{"classification", Int(2)}}),
            "parameters[\"classification\"]: it applies to class_scores alone");
}

TEST(KserveParametersTest, ABackgroundIsAText) {
  for (const Sent& sent : AllSent()) {
    inference::ModelInferRequest request;
    (*request.mutable_parameters())["background"] = sent.value;
    EXPECT_EQ(OptionsFromParameters(request).status().message(),
              "parameters[\"background\"]: it must be red,green,blue, such as 255,255,255")
        << sent.name;
  }
}

TEST(KserveParametersTest, OptionsOfRegionsHaveNamesOfTheirOwn) {
  const auto* regions = v1::RegionOptions::descriptor();
  for (int i = 0; i < regions->field_count(); ++i) {
    const std::string& name = regions->field(i)->name();
    EXPECT_EQ(v1::InputOptions::descriptor()->FindFieldByName(name), nullptr) << name;
  }
  inference::ModelInferRequest request;
  (*request.mutable_parameters())["region_mode"] = Text("crop").value;
  EXPECT_THAT(std::string(ToStd(OptionsFromParameters(request).status().message())),
              ::testing::HasSubstr("of regions mode, pooling, output_size, sampling_ratio, "
                                   "aligned, include_image, relative"));
}

TEST(KserveParametersTest, APriorityIsATextOrTritonsNumber) {
  const auto priority = [](const Sent& sent, Priority fallback) {
    inference::ModelInferRequest request;
    (*request.mutable_parameters())["priority"] = sent.value;
    return PriorityFromParameters(request, fallback);
  };
  constexpr Priority kInteractive = Priority::kInteractive;
  constexpr Priority kBulk = Priority::kBulk;
  EXPECT_EQ(*PriorityFromParameters({}, kBulk), kBulk);
  EXPECT_EQ(*priority(Uint(0), kBulk), kBulk);
  EXPECT_EQ(*priority(Uint(1), kBulk), kInteractive);
  EXPECT_EQ(*priority(Int(1), kBulk), kInteractive);
  EXPECT_EQ(*priority(Uint(2), kInteractive), kBulk);
  EXPECT_EQ(*priority(Uint(std::numeric_limits<uint64_t>::max()), kInteractive), kBulk);
  EXPECT_EQ(*priority(Text("interactive"), kBulk), kInteractive);
  EXPECT_EQ(*priority(Text("bulk"), kInteractive), kBulk);
  for (const Sent& bad : {Int(-1), Text("1"), Text(""), Bool(true), Double(1, "1"), Sent{}}) {
    const auto details = GetErrorDetails(priority(bad, kBulk).status());
    ASSERT_TRUE(details.has_value()) << bad.name;
    EXPECT_EQ(details->reason, ErrorReason::kRequestInvalid);
    EXPECT_EQ(details->field, "parameters[\"priority\"]");
  }
}

TEST(KserveParametersTest, AnIdOfAHeadIsRefused) {
  for (const char* name : {"id", "head_id"}) {
    inference::ModelInferRequest request;
    auto* output = request.add_outputs();
    output->set_name("gem");
    (*output->mutable_parameters())[name] = Text("mine").value;
    const auto details = GetErrorDetails(HeadsFromOutputs(request).status());
    ASSERT_TRUE(details.has_value()) << name;
    EXPECT_EQ(details->reason, ErrorReason::kHeadInvalid);
    EXPECT_EQ(details->field, Concat("outputs[0].parameters[\"", name, "\"]"));
  }
}

}  // namespace
}  // namespace pixpool::kserve
