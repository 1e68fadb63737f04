#include "server/rest/features.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool::rest {
namespace {

RequestHead Head(std::string_view type, std::string_view query = "") {
  RequestHead head{.method = "POST", .path = "/v1/features", .query = std::string(query)};
  head.fields.emplace_back("content-type", type);
  return head;
}

PipelineOptions Options() {
  PipelineOptions options;
  options.max_images_per_request = 2;
  options.max_heads_per_request = 2;
  return options;
}

absl::StatusOr<Work> Read(const RequestHead& head, std::string body) {
  return FeaturesWork(head, std::make_shared<const std::string>(std::move(body)), Options());
}

std::string Field(std::string_view name, std::string_view value, std::string_view more = "") {
  return Concat("--B\r\nContent-Disposition: form-data; name=\"", name, "\"", more, "\r\n\r\n",
                value, "\r\n");
}

absl::StatusOr<Work> ReadForm(const std::string& fields, std::string_view query = "") {
  return Read(Head("multipart/form-data; boundary=B", query), fields + "--B--\r\n");
}

ErrorDetails Fault(const absl::StatusOr<Work>& work) {
  EXPECT_FALSE(work.ok());
  return GetErrorDetails(work.status()).value_or(ErrorDetails());
}

const std::string kImage = Field("image", "\xff\xd8", "; filename=a.jpg");

TEST(FeaturesWork, ABodyIsOnePicture) {
  const auto work = Read(Head("image/jpeg", "head=gem:p=3,l2&head=spoc&model=m&crop=none"), "abc");
  ASSERT_TRUE(work.ok()) << work.status();
  ASSERT_EQ(work->request.images.size(), 1u);
  EXPECT_EQ(work->request.images[0].encoded, "abc");
  EXPECT_EQ(work->request.model, "m");
  EXPECT_EQ(work->request.input.crop, CropMode::kNone);
  ASSERT_EQ(work->request.heads.size(), 2u);
  EXPECT_EQ(work->request.heads[0].kind, "gem");
  EXPECT_TRUE(work->request.heads[0].l2_normalized);
}

TEST(FeaturesWork, AFormHasSeveralAndItsFields) {
  const auto work = ReadForm(kImage + kImage + Field("head", "gem") + Field("priority", "bulk") +
                                 Field("request_id", "r") + Field("box", "1,2,3.5,4"),
                             "input_height_px=128");
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(work->request.images.size(), 2u);
  EXPECT_EQ(work->request.images[1].encoded, "\xff\xd8");
  EXPECT_EQ(work->priority, Priority::kBulk);
  EXPECT_EQ(work->request_id, "r");
  EXPECT_EQ(work->request.input.height, 128);
  ASSERT_EQ(work->request.images[0].regions.size(), 1u);
  EXPECT_EQ(work->request.images[0].regions[0].box.right, 3.5);
}

TEST(FeaturesWork, NamesTheFieldAtFault) {
  const struct {
    std::string fields;
    ErrorReason reason;
    std::string field;
  } cases[] = {
      {"--B\r\n\r\n", ErrorReason::kRequestInvalid, ""},
      {Field("head", "gem"), ErrorReason::kRequestInvalid, "image"},
      {Field("image", "cat.jpg"), ErrorReason::kRequestInvalid, "image"},
      {kImage + kImage + kImage, ErrorReason::kLimitExceeded, "image"},
      {kImage + Field("head", "gemm"), ErrorReason::kHeadInvalid, "heads[0]"},
      {kImage + Field("head", "gem:p=x"), ErrorReason::kHeadInvalid, "heads[0]"},
      {kImage + Field("head", "gem") + Field("head", "lse") + Field("head", "lp"),
       ErrorReason::kLimitExceeded, "heads"},
      {kImage + Field("heads", "gem"), ErrorReason::kRequestInvalid, "heads"},
      {kImage + Field("model", "a") + Field("model", "b"), ErrorReason::kRequestInvalid, "model"},
      {kImage + Field("crop", "left"), ErrorReason::kRequestInvalid, "crop"},
      {kImage + Field("box", "1,2,3"), ErrorReason::kRequestInvalid, "box"},
      {kImage + Field("priority", "high"), ErrorReason::kRequestInvalid, "priority"},
      {kImage + Field("request_id", "\n"), ErrorReason::kRequestInvalid, "request_id"},
  };
  for (const auto& [fields, reason, field] : cases) {
    const ErrorDetails details = Fault(ReadForm(fields));
    EXPECT_EQ(details.reason, reason) << fields;
    EXPECT_EQ(details.field, field) << fields;
  }
  EXPECT_EQ(Fault(Read(Head("image/png", "image=a"), "abc")).field, "image");
}

TEST(CheckFeaturesHead, TellsByTheHeadAlone) {
  const auto status = [](RequestHead head) {
    const auto answer = CheckFeaturesHead(head);
    return answer ? answer->status : 0;
  };
  EXPECT_EQ(status(Head("image/jpeg")), 0);
  EXPECT_EQ(status(Head("application/octet-stream")), 0);
  EXPECT_EQ(status(Head("Multipart/Form-Data; boundary=x")), 0);
  EXPECT_EQ(status(Head("application/x-www-form-urlencoded")), 415);
  EXPECT_EQ(status(RequestHead()), 415);
  RequestHead gzip = Head("image/jpeg");
  gzip.fields.emplace_back("content-encoding", "gzip");
  EXPECT_EQ(status(gzip), 415);
  RequestHead html = Head("image/jpeg");
  html.fields.emplace_back("accept", "text/html");
  EXPECT_EQ(status(html), 406);
}

TEST(FormatOf, TakesWhatIsAskedForMost) {
  EXPECT_EQ(FormatOf({}), Format::kJson);
  EXPECT_EQ(FormatOf({"*/*"}), Format::kJson);
  EXPECT_EQ(FormatOf({"application/x-npy"}), Format::kNpy);
  EXPECT_EQ(FormatOf({"text/html, application/octet-stream;q=0.5, */*;q=0.1"}), Format::kFloats);
  EXPECT_EQ(FormatOf({"application/json;q=0.2", "application/x-npy;q=0.4"}), Format::kNpy);
  EXPECT_EQ(FormatOf({"application/json;q=0"}), std::nullopt);
  EXPECT_EQ(FormatOf({"text/html"}), std::nullopt);
}

}  // namespace
}  // namespace pixpool::rest
