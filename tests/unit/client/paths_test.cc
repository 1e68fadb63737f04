#include "client/cli/paths.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
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
    const auto found = ExpandPaths(arguments, {}, {});
    if (!found.ok()) return {std::string(found.status().message())};
    left_out_ = found->left_out;
    std::vector<std::string> result;
    for (const std::string& file : found->paths) {
      result.push_back(fs::path(file).lexically_relative(root_).string());
    }
    return result;
  }

  std::string root_;
  LeftOut left_out_;
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
  EXPECT_THAT(Expand({"none"}),
              ElementsAre(AllOf(HasSubstr("no pictures (.jpg .jpeg "), HasSubstr("in or below "),
                                HasSubstr("left out: .md 1"))));
}

TEST_F(PathsTest, FolderWithoutPicturesDoesNotEndTheOthers) {
  EXPECT_THAT(Expand({"none", "b.jpg"}), ElementsAre("b.jpg"));
  EXPECT_THAT(left_out_.empty, ElementsAre(root_ + "/none"));
  EXPECT_THAT(left_out_.Lines(),
              ElementsAre("no pictures in or below " + root_ + "/none", "left out: .md 1"));
}

TEST_F(PathsTest, LinkThatLeadsNowhereIsAFileThatFailsByItself) {
  fs::create_symlink("nowhere", root_ + "/gone.jpg");
  fs::create_symlink("self.jpg", root_ + "/self.jpg");
  EXPECT_THAT(Expand({"gone.jpg", "self.jpg"}), ElementsAre("gone.jpg", "self.jpg"));
}

TEST_F(PathsTest, ListsAreRead) {
  const std::string list = root_ + "/list.txt";
  const auto read = [&](const std::string& text) {
    std::ofstream(list, std::ios::trunc) << text;
    return ReadPathList(list);
  };
  for (const char* text : {"a\nb c\n",
                           "\xef\xbb\xbf"
                           "a\r\n\r\nb c",
                           "\na\nb c\n\n"}) {
    const auto paths = read(text);
    ASSERT_TRUE(paths.ok()) << paths.status();
    EXPECT_THAT(*paths, ElementsAre("a", "b c")) << text;
  }
  EXPECT_THAT(std::string(read("\n\r\n").status().message()), HasSubstr("names no picture"));
  EXPECT_THAT(std::string(read("\xff\xfe"
                               "a")
                              .status()
                              .message()),
              HasSubstr("save it as UTF-8"));
  EXPECT_FALSE(ReadPathList(root_ + "/gone.txt").ok());
  EXPECT_FALSE(ReadPathList(root_).ok());
}

TEST_F(PathsTest, WhatAListNamesIsNoPattern) {
  const std::string name = root_ + "/x[1].jpg";
  auto found = ExpandPaths({root_ + "/b.jpg"}, {name, root_ + "/sub"}, {});
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(found->paths, ElementsAre(root_ + "/b.jpg", name, root_ + "/sub/deep/c.webp"));
  found = ExpandPaths({}, {root_ + "/*.jpg"}, {});
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("no such file or folder"));
}

}  // namespace
}  // namespace pixpool::cli
