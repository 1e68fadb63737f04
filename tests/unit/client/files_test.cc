#include "client/cli/files.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/files_test." + std::to_string(getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::string root_;
};

TEST_F(FilesTest, WholeFileTakesThePlaceOfTheOld) {
  const std::string path = root_ + "/a.bin";
  ASSERT_TRUE(WriteFile(path, "longer than the next").ok());
  ASSERT_TRUE(WriteFile(path, std::string("\x89\0\r\n", 4)).ok());
  EXPECT_EQ(ReadFile(path), std::string("\x89\0\r\n", 4));
  EXPECT_FALSE(fs::exists(path + kPartSuffix));
}

TEST_F(FilesTest, FailureSaysWhereAndLeavesNoPart) {
  const absl::Status missing = WriteFile(root_ + "/no/a.bin", "x");
  EXPECT_EQ(missing.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(missing.message(), "cannot write " + root_ + "/no/a.bin");
  fs::create_directories(root_ + "/folder/below");
  EXPECT_FALSE(WriteFile(root_ + "/folder", "x").ok());
  EXPECT_FALSE(fs::exists(root_ + "/folder" + kPartSuffix));
  EXPECT_TRUE(fs::is_directory(root_ + "/folder/below"));
}

TEST_F(FilesTest, PublishNeedsAPart) {
  EXPECT_EQ(Publish(root_ + "/a").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace pixpool::cli
