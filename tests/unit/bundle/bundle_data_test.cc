#include "server/bundle/bundle_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BundleDataTest : public testing::Test {
 protected:
  BundleDataTest() { bundle_.dir = temp_.path().string(); }

  TempDir temp_;
  Bundle bundle_;
};

TEST_F(BundleDataTest, ReadsLittleEndianFloats) {
  WriteFile(temp_.path() / "f", std::string("\0\0\x80\x3f\0\0\x20\xc1", 8));
  EXPECT_THAT(*ReadFloats(bundle_, "f", 2), ElementsAre(1.0f, -10.0f));
}

TEST_F(BundleDataTest, CountsMustMatch) {
  WriteFile(temp_.path() / "f", std::string(8, '\0'));
  const absl::Status status = ReadFloats(bundle_, "f", 3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 8 bytes, 3 float32 values take 12"));
}

TEST_F(BundleDataTest, NotANumberIsRefused) {
  WriteFile(temp_.path() / "f", std::string("\0\0\xc0\x7f", 4));
  EXPECT_EQ(ReadFloats(bundle_, "f", 1).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(BundleDataTest, ReadsLabelsWithAndWithoutAFinalNewline) {
  WriteFile(temp_.path() / "a", "tabby cat\nespresso\n");
  WriteFile(temp_.path() / "b", "tabby cat\r\nespresso");
  EXPECT_THAT(*ReadLabels(bundle_, "a", 2), ElementsAre("tabby cat", "espresso"));
  EXPECT_THAT(*ReadLabels(bundle_, "b", 2), ElementsAre("tabby cat", "espresso"));
  EXPECT_THAT(std::string(ReadLabels(bundle_, "a", 3).status().message()),
              HasSubstr("has 2 labels for 3 classes"));
}

TEST_F(BundleDataTest, MissingFileIsAnErrorAndAnEmptyOneIsNot) {
  EXPECT_EQ(ReadBytes(bundle_, "none").status().code(), absl::StatusCode::kFailedPrecondition);
  WriteFile(temp_.path() / "empty", "");
  ASSERT_TRUE(ReadBytes(bundle_, "empty").ok());
  EXPECT_EQ(*ReadBytes(bundle_, "empty"), "");
}

}  // namespace
}  // namespace pixpool
