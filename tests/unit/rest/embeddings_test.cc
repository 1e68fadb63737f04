#include "server/rest/embeddings.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/rest/json_bounds.h"

namespace pixpool::rest {
namespace {

constexpr char kUri[] = R"("data:image/png;base64,YWJj")";

absl::StatusOr<Work> Read(const std::string& body) {
  PipelineOptions options;
  options.max_images_per_request = 2;
  return EmbeddingsWork(std::make_shared<const std::string>(body), options);
}

std::string Input(const std::string& input, const std::string& more = "") {
  return "{\"input\":" + input + more + "}";
}

std::vector<std::string> Files(const std::string& body) {
  const auto work = Read(body);
  EXPECT_TRUE(work.ok()) << work.status() << body;
  std::vector<std::string> files;
  if (!work.ok()) return files;
  for (const ImageInput& image : work->request.images) files.emplace_back(image.encoded);
  return files;
}

TEST(EmbeddingsWork, TakesPicturesInAllTheirForms) {
  const std::vector<std::string> one = {"abc"};
  EXPECT_EQ(Files(Input(kUri)), one);
  EXPECT_EQ(Files(Input(std::string("[") + kUri + "]")), one);
  EXPECT_EQ(Files(Input(R"({"image":"YWJj"})")), one);
  EXPECT_EQ(Files(Input(std::string(R"([{"image":)") + kUri + R"(},"data:;base64,ZA=="])")),
            (std::vector<std::string>{"abc", "d"}));
  for (const std::string& url : {std::string(kUri), std::string("{\"url\":") + kUri + "}"}) {
    EXPECT_EQ(Files(R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":)" +
                    url + "}]}]}"),
              one);
  }
}

TEST(EmbeddingsWork, TheModelMayNameAHead) {
  const auto plain = Read(Input(kUri, R"(,"model":"m")"));
  EXPECT_EQ(plain->request.model, "m");
  EXPECT_EQ(plain->request.heads[0].kind, "global_avg");
  EXPECT_TRUE(plain->request.heads[0].l2_normalized);
  const auto named = Read(Input(kUri, R"(,"model":"m/gem:p=4","dimensions":8,"user":"x")"));
  EXPECT_EQ(named->request.model, "m");
  EXPECT_EQ(named->request.heads[0].kind, "gem");
  EXPECT_FALSE(named->request.heads[0].l2_normalized);
  EXPECT_EQ(named->request.heads[0].dimensions, 8);
}

TEST(EmbeddingsWork, NamesTheFieldAtFault) {
  const struct {
    std::string body;
    ErrorReason reason;
    std::string field;
  } cases[] = {
      {"", ErrorReason::kRequestInvalid, ""},
      {"[]", ErrorReason::kRequestInvalid, ""},
      {"{\"input\"", ErrorReason::kRequestInvalid, ""},
      {"{}", ErrorReason::kRequestInvalid, "input"},
      {Input("[]"), ErrorReason::kRequestInvalid, "input"},
      {Input("7"), ErrorReason::kRequestInvalid, "input"},
      {Input("[[1,2]]"), ErrorReason::kRequestInvalid, "input[0]"},
      {Input("\"a text\""), ErrorReason::kRequestInvalid, "input"},
      {Input("[\"https://a/b.jpg\"]"), ErrorReason::kRequestInvalid, "input[0]"},
      {Input(R"({"text":"a"})"), ErrorReason::kRequestInvalid, "input"},
      {Input(R"({"image":"http://a"})"), ErrorReason::kRequestInvalid, "input.image"},
      {Input("\"data:image/png,abc\""), ErrorReason::kRequestInvalid, "input"},
      {Input("\"data:image/png;base64,!\""), ErrorReason::kRequestInvalid, "input"},
      {Input(std::string("[") + kUri + "," + kUri + "," + kUri + "]"), ErrorReason::kLimitExceeded,
       "input"},
      {Input(kUri, R"(,"messages":[])"), ErrorReason::kRequestInvalid, "input"},
      {R"({"messages":[{"role":"user","content":"a"}]})", ErrorReason::kRequestInvalid,
       "messages[0]"},
      {R"({"messages":[{"content":[{"type":"text","text":"a"}]}]})", ErrorReason::kRequestInvalid,
       "messages[0].content[0]"},
      {Input(kUri, R"(,"model":7)"), ErrorReason::kRequestInvalid, "model"},
      {Input(kUri, R"(,"model":"m/gemm")"), ErrorReason::kHeadInvalid, "model"},
      {Input(kUri, R"(,"model":"m/class_scores")"), ErrorReason::kHeadInvalid, "model"},
      {Input(kUri, R"(,"model":"m/gem:encoding=int8")"), ErrorReason::kHeadInvalid, "model"},
      {Input(kUri, R"(,"encoding_format":"hex")"), ErrorReason::kRequestInvalid, "encoding_format"},
      {Input(kUri, R"(,"dimensions":"8")"), ErrorReason::kRequestInvalid, "dimensions"},
      {Input(kUri, R"(,"dimensions":0)"), ErrorReason::kRequestInvalid, "dimensions"},
      {Input(std::string(100, '[')), ErrorReason::kLimitExceeded, ""},
  };
  for (const auto& [body, reason, field] : cases) {
    const auto work = Read(body);
    ASSERT_FALSE(work.ok()) << body;
    const auto details = GetErrorDetails(work.status());
    ASSERT_TRUE(details.has_value()) << body;
    EXPECT_EQ(details->reason, reason) << body;
    EXPECT_EQ(details->field, field) << body;
  }
}

TEST(WithinJsonBounds, CountsValuesAndDepthOutsideOfTexts) {
  EXPECT_TRUE(WithinJsonBounds("[1,2,3]", 4, 1));
  EXPECT_FALSE(WithinJsonBounds("[1,2,3]", 3, 1));
  EXPECT_FALSE(WithinJsonBounds("[[1]]", 9, 1));
  EXPECT_TRUE(WithinJsonBounds(R"(["[[[,,,\"[[[\\",1])", 3, 1));
  EXPECT_FALSE(WithinJsonBounds(R"({"a":1})", 2, 1));
  EXPECT_TRUE(WithinJsonBounds("\"[[[", 1, 0)) << "no JSON";
  EXPECT_TRUE(WithinJsonBounds("]]]]", 1, 1));
}

}  // namespace
}  // namespace pixpool::rest
