#include "server/rest/answer.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/time/time.h"
#include "server/base/error.h"
#include "server/rest/json_writer.h"

namespace pixpool::rest {
namespace {

TEST(Problem, EachReasonHasItsStatus) {
  const std::map<ErrorReason, int> wanted = {
      {ErrorReason::kImageUndecodable, 400}, {ErrorReason::kImageUnsupportedFormat, 415},
      {ErrorReason::kLimitExceeded, 413},    {ErrorReason::kHeadInvalid, 422},
      {ErrorReason::kRequestInvalid, 400},   {ErrorReason::kModelNotFound, 404},
      {ErrorReason::kLayerNotFound, 404},    {ErrorReason::kOverloaded, 429},
      {ErrorReason::kQuotaExceeded, 429},    {ErrorReason::kDraining, 503},
      {ErrorReason::kModelLoading, 503},     {ErrorReason::kModelNotLoaded, 409},
      {ErrorReason::kModelControlOff, 403},  {ErrorReason::kDeadlineInQueue, 504},
      {ErrorReason::kCancelled, 499},        {ErrorReason::kNotImplemented, 501},
      {ErrorReason::kTokenInvalid, 401},     {ErrorReason::kInferenceFailed, 500},
  };
  ASSERT_EQ(wanted.size(), static_cast<size_t>(kErrorReasonCount));
  for (const auto& [reason, status] : wanted) {
    EXPECT_EQ(Problem(MakeError(reason, "why")).status, status) << ReasonName(reason);
    EXPECT_EQ(StatusText(status) == StatusText(500), status == 500) << status;
  }
}

TEST(Problem, HasWhatTheErrorHas) {
  const Answer answer = Problem(MakeError({.reason = ErrorReason::kHeadInvalid,
                                           .field = "heads[0].gem.p",
                                           .metadata = {{"limit", "7"}}},
                                          "p is \"9\""));
  EXPECT_EQ(answer.type, "application/problem+json");
  EXPECT_EQ(answer.body,
            "{\"title\":\"Unprocessable Content\",\"status\":422,\"detail\":\"p is \\\"9\\\"\","
            "\"reason\":\"HEAD_INVALID\",\"field\":\"heads[0].gem.p\","
            "\"metadata\":{\"limit\":\"7\"}}\n");
  EXPECT_TRUE(answer.fields.empty());
}

TEST(Problem, SaysWhenToComeBack) {
  const Answer answer = Problem(MakeError({.reason = ErrorReason::kOverloaded,
                                           .field = "",
                                           .metadata = {},
                                           .retry_after = absl::Milliseconds(1200)},
                                          "full"));
  const std::vector<std::pair<std::string, std::string>> wanted = {{"Retry-After", "2"},
                                                                   {"Retry-After-Ms", "1200"}};
  EXPECT_EQ(answer.fields, wanted);
}

TEST(Problem, TellsNothingOfOurBugs) {
  const Answer answer = Problem(absl::InternalError("secret"));
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body.find("secret"), answer.body.npos);
  EXPECT_NE(answer.body.find("INFERENCE_FAILED"), answer.body.npos);
}

TEST(JsonWriter, PutsCommasBetween) {
  JsonWriter json;
  json.Begin('{').Key("a").Begin('[').Number(1).Number(0.1f).Text("x\n").End(']');
  json.Key("b").Begin('{').End('}').Key("c").Numbers(std::vector<float>{}).End('}');
  EXPECT_EQ(json.Take(), R"({"a":[1,0.1,"x\n"],"b":{},"c":[]})");
}

TEST(JsonWriter, FloatsReadBackAsTheyWere) {
  JsonWriter json;
  json.Numbers(std::vector<float>{1.0f / 3, 1e-45f, 3.4028235e38f, -0.0f, INFINITY, NAN});
  EXPECT_EQ(json.Take(), "[0.33333334,1e-45,3.4028235e+38,-0,null,null]");
}

}  // namespace
}  // namespace pixpool::rest
