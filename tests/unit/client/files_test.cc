#include "client/cli/files.h"

#include <unistd.h>

#include <cerrno>
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
  EXPECT_EQ(missing.message(), "cannot write " + root_ + "/no/a.bin: No such file or directory");
  fs::create_directories(root_ + "/folder/below");
  EXPECT_FALSE(WriteFile(root_ + "/folder", "x").ok());
  EXPECT_FALSE(fs::exists(root_ + "/folder" + kPartSuffix));
  EXPECT_TRUE(fs::is_directory(root_ + "/folder/below"));
}

TEST_F(FilesTest, FullDiskIsTheReason) {
  std::ofstream full("/dev/full");
  errno = 0;
  full << "x" << std::flush;
  EXPECT_EQ(CheckStream(full, "/dev/full").message(),
            "cannot write /dev/full: No space left on device");
  EXPECT_EQ(CannotWrite("a", 0).message(), "cannot write a");
}

TEST_F(FilesTest, WholeLinesAreKept) {
  const std::string path = root_ + "/a.json";
  const std::string line(100'000, 'x');
  for (const auto& [before, after] :
       std::vector<std::pair<std::string, std::string>>{{"a\nb\nc", "a\nb\n"},
                                                        {"a\nb\n", "a\nb\n"},
                                                        {"abc", ""},
                                                        {"", ""},
                                                        {line + "\n" + line, line + "\n"},
                                                        {line, ""}}) {
    std::ofstream(path, std::ios::trunc) << before;
    KeepWholeLines(path);
    EXPECT_TRUE(ReadFile(path) == after) << before.size();
  }
  KeepWholeLines("/dev/full");  // nothing that could be cut
  KeepWholeLines(root_ + "/nowhere");
}

TEST_F(FilesTest, PublishNeedsAPart) {
  EXPECT_EQ(Publish(root_ + "/a").code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace pixpool::cli
