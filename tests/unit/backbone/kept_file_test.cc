#include "server/backbone/kept_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class KeptFileTest : public ::testing::Test {
 protected:
  KeptFileTest() { WriteFile(path_, "weights"); }

  const TempDir temp_;
  const fs::path path_ = temp_.path() / "net" / "backbone.bin";
};

TEST_F(KeptFileTest, OutlivesItsPath) {
  const KeptFile file(path_.string());
  EXPECT_EQ(file.Text(), "weights");
  WriteFile(temp_.path() / "other", "another");
  fs::rename(temp_.path() / "other", path_);
  EXPECT_EQ(file.Text(), "weights");
  fs::remove_all(path_.parent_path());
  EXPECT_EQ(file.Text(), "weights");
}

TEST_F(KeptFileTest, OutlivesWhatIsWrittenOverIt) {
  const KeptFile file(path_.string());
  WriteFile(path_, "others");
  EXPECT_EQ(file.Text(), "weights");
  fs::resize_file(path_, 0);
  EXPECT_EQ(file.Text(), "weights");
}

TEST_F(KeptFileTest, MayBeEmpty) {
  WriteFile(path_, "");
  const KeptFile file(path_.string());
  EXPECT_EQ(file.size(), 0U);
  EXPECT_EQ(file.Text(), "");
}

TEST_F(KeptFileTest, WhatIsNotThereIsNamed) {
  EXPECT_THAT(
      [&] { KeptFile(path_.string() + "x"); },
      ThrowsMessage<std::runtime_error>(HasSubstr("backbone.binx cannot be opened: No such file")));
}

}  // namespace
}  // namespace pixpool
