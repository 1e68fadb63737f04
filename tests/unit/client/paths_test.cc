#include "client/cli/paths.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class PathsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/paths_test." + std::to_string(getpid());
    fs::remove_all(root_);
    fs::create_directories(root_ + "/sub/deep");
    fs::create_directories(root_ + "/.hidden");
    fs::create_directories(root_ + "/none");
    for (const char* name : {"b.jpg", "a.PNG", "note.txt", "sub/deep/c.webp", ".hidden/d.jpg",
                             ".e.jpg", "x[1].jpg", "none/readme.md"}) {
      std::ofstream(root_ + "/" + name) << "x";
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  std::vector<std::string> Expand(const std::vector<std::string>& names) {
    std::vector<std::string> arguments;
    for (const std::string& name : names) arguments.push_back(root_ + "/" + name);
    const auto files = ExpandPaths(arguments);
    if (!files.ok()) return {std::string(files.status().message())};
    std::vector<std::string> result;
    for (const std::string& file : *files) result.push_back(fs::relative(file, root_).string());
    return result;
  }

  std::string root_;
};

TEST_F(PathsTest, FolderGivesItsPicturesSorted) {
  EXPECT_THAT(Expand({""}), ElementsAre("a.PNG", "b.jpg", "sub/deep/c.webp", "x[1].jpg"));
}

TEST_F(PathsTest, PatternsMatch) {
  EXPECT_THAT(Expand({"*.jpg"}), ElementsAre("b.jpg", "x[1].jpg"));
  EXPECT_THAT(Expand({"[ab].*"}), ElementsAre("a.PNG", "b.jpg"));
  EXPECT_THAT(Expand({"s?b"}), ElementsAre("sub/deep/c.webp"));
}

TEST_F(PathsTest, ExistingPathIsNoPatternAndKeepsItsPlace) {
  EXPECT_THAT(Expand({"x[1].jpg", "note.txt", "b.jpg"}),
              ElementsAre("x[1].jpg", "note.txt", "b.jpg"));
}

TEST_F(PathsTest, Errors) {
  EXPECT_THAT(Expand({"b.jpg", "gone.jpg"}), ElementsAre(HasSubstr("no such file or folder")));
  EXPECT_THAT(Expand({"*.gif"}), ElementsAre(HasSubstr("nothing matches")));
  EXPECT_THAT(Expand({"none"}), ElementsAre(HasSubstr("no pictures")));
}

}  // namespace
}  // namespace pixpool::cli
