#include "server/rest/form.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool::rest {
namespace {

constexpr size_t kMost = 4;

bool Refused(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details && details->reason == ErrorReason::kRequestInvalid;
}

TEST(ParseMediaType, KnowsParameters) {
  const auto type = ParseMediaType("Multipart/Form-Data; Boundary=\"a \\\"b\\\\;\" ; q=1;");
  ASSERT_TRUE(type.has_value());
  EXPECT_EQ(type->type, "multipart/form-data");
  EXPECT_EQ(type->Param("boundary"), "a \"b\\;");
  EXPECT_EQ(type->Param("q"), "1");
  EXPECT_EQ(type->Param("r"), std::nullopt);
}

TEST(ParseMediaType, RefusesOthers) {
  for (const char* text : {"", ";a=b", "a; b", "a; b=\"c", "a; b=\"c\"d", "a; =c"}) {
    EXPECT_FALSE(ParseMediaType(text).has_value()) << text;
  }
}

TEST(ParseQuery, DecodesItsPairs) {
  std::vector<std::string> storage;
  const auto parts = ParseQuery("head=gem%3Ap%3d3+x&&a=&b&c==%", kMost, &storage);
  EXPECT_TRUE(Refused(parts.status())) << "a lone %";
  storage.clear();
  const auto good = ParseQuery("head=gem%3Ap%3d3+x&&a=&b&c==d", kMost, &storage);
  ASSERT_TRUE(good.ok());
  ASSERT_EQ(good->size(), 4u);
  EXPECT_EQ((*good)[0].name, "head");
  EXPECT_EQ((*good)[0].value, "gem:p=3 x");
  EXPECT_EQ((*good)[1].value, "");
  EXPECT_EQ((*good)[2].name, "b");
  EXPECT_EQ((*good)[3].value, "=d");
}

TEST(ParseQuery, BoundsItsPairs) {
  std::vector<std::string> storage;
  EXPECT_TRUE(ParseQuery("a&a&a&a", kMost, &storage).ok());
  storage.clear();
  EXPECT_TRUE(Refused(ParseQuery("a&a&a&a&a", kMost, &storage).status()));
}

std::string Part(std::string_view disposition, std::string_view value) {
  return Concat("--B\r\nContent-Disposition: ", disposition, "\r\n\r\n", value, "\r\n");
}

TEST(ParseMultipart, GivesViewsIntoTheBody) {
  const std::string body =
      Concat("for people\r\n", "--B  \r\ncontent-type: image/jpeg\r\n",
             "content-disposition: form-data; name=image; filename=\"a\\\"b.jpg\"\r\n\r\n",
             std::string_view("\0\r\n--A\r\n--", 10), "\r\n", Part("form-data; name=\"head\"", ""),
             "--B--", "\r\nmore");
  const auto parts = ParseMultipart(body, "B", kMost);
  ASSERT_TRUE(parts.ok()) << parts.status();
  ASSERT_EQ(parts->size(), 2u);
  EXPECT_EQ((*parts)[0].name, "image");
  EXPECT_EQ((*parts)[0].file_name, "a\"b.jpg");
  EXPECT_EQ((*parts)[0].value, std::string_view("\0\r\n--A\r\n--", 10));
  EXPECT_GE((*parts)[0].value.data(), body.data());
  EXPECT_LT((*parts)[0].value.data(), body.data() + body.size());
  EXPECT_EQ((*parts)[1].name, "head");
  EXPECT_EQ((*parts)[1].file_name, std::nullopt);
  EXPECT_EQ((*parts)[1].value, "");
}

TEST(ParseMultipart, RefusesWhatIsMalformed) {
  const std::string part = Part("form-data; name=a", "b");
  for (const std::string& body :
       {std::string(), std::string("--A--"), part, part + "--B", part + "--Bx",
        Part("form-data", "b") + "--B--", Part("attachment; name=a", "b") + "--B--",
        Part("form-data; name=\"a", "b") + "--B--", std::string("--B\r\n\r\nb\r\n--B--"),
        std::string("--B\r\nContent-Disposition: form-data; name=a\r\nb\r\n--B--"),
        std::string("--B\r\nContent-Disposition: form-data; name=a\r\n"
                    "Content-Transfer-Encoding: base64\r\n\r\nYg==\r\n--B--"),
        Concat("--B\r\nA: ", std::string(5000, 'a'),
               "\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--B--")}) {
    EXPECT_TRUE(Refused(ParseMultipart(body, "B", kMost).status())) << body.substr(0, 100);
  }
  EXPECT_TRUE(Refused(ParseMultipart("--B--", "", kMost).status()));
  EXPECT_TRUE(Refused(ParseMultipart("--B--", std::string(71, 'B'), kMost).status()));
}

TEST(ParseMultipart, BoundsItsParts) {
  std::string body;
  for (size_t i = 0; i < kMost; ++i) body += Part("form-data; name=a", "b");
  EXPECT_TRUE(ParseMultipart(body + "--B--", "B", kMost).ok());
  body += Part("form-data; name=a", "b");
  EXPECT_TRUE(Refused(ParseMultipart(body + "--B--", "B", kMost).status()));
}

}  // namespace
}  // namespace pixpool::rest
