// Which files of a folder are taken: with real links, loops, FIFOs and folders that cannot be read.
// tests/e2e/test_folder_jobs.py has pixpool.bulk take the same.
#include "client/cli/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "client/cli/picture_files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;

const char kJpeg[] = "\xff\xd8\xff\xe0 a picture";

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/folder_test." + std::to_string(getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& name, const std::string& bytes = kJpeg) {
    fs::create_directories(fs::path(root_ + "/" + name).parent_path());
    std::ofstream(root_ + "/" + name, std::ios::binary) << bytes;
  }

  void Link(const std::string& name, const std::string& target) {
    fs::create_symlink(target, root_ + "/" + name);
  }

  std::vector<std::string> Find(const SearchRules& rules = {}, const std::string& folder = "") {
    left_out_ = {};
    std::vector<std::string> files;
    const std::string top = root_ + "/" + folder;
    EXPECT_TRUE(AddPictures(top, rules, files, left_out_).ok());
    for (std::string& file : files) file = file.substr(top.size());
    return files;
  }

  std::string root_;
  LeftOut left_out_;
};

TEST_F(FolderTest, PicturesComeByNameWithinEachFolder) {
  for (const char* name : {"b.JPG", "a/y.png", "a-b.webp", "a/x.jpe", "a.jfif", "A.jpeg"}) {
    Write(name);
  }
  EXPECT_THAT(Find(), ElementsAre("A.jpeg", "a/x.jpe", "a/y.png", "a-b.webp", "a.jfif", "b.JPG"));
  EXPECT_THAT(left_out_.Lines(), IsEmpty());
}

TEST_F(FolderTest, WithoutASuffixTheContentDecides) {
  Write("jpeg");
  Write("trailing.");
  Write("png", "\x89PNG\r\n\x1a\n...");
  Write("webp", std::string("RIFF\x12\0\0\0WEBPVP8 ", 16));
  Write("wave", std::string("RIFF\x12\0\0\0WAVEfmt ", 16));
  Write("README", "no picture");
  Write("empty", "");
  Write("photo.jpg_original");
  EXPECT_THAT(Find(), ElementsAre("jpeg", "png", "trailing.", "webp"));
  EXPECT_THAT(left_out_.kinds, ElementsAre(Pair(".jpg_original", 1), Pair("without suffix", 3)));
}

TEST_F(FolderTest, HiddenFilesJunkAndSpecialFilesAreCounted) {
  for (const char* name : {"a.jpg", ".b.jpg", "._a.jpg", ".git/c.jpg", "Thumbs.db", "@eaDir/d.jpg",
                           "sub/__MACOSX/e.jpg", ".thumbnails/f.jpg"}) {
    Write(name);
  }
  ASSERT_EQ(mkfifo((root_ + "/g.jpg").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((root_ + "/fifo").c_str(), 0600), 0);
  Link("device.jpg", "/dev/null");
  EXPECT_THAT(Find(), ElementsAre("a.jpg"));
  EXPECT_THAT(left_out_.kinds, ElementsAre(Pair(".db", 1), Pair("FIFOs", 2), Pair("devices", 1),
                                           Pair("hidden", 3), Pair("junk folders", 3)));
  EXPECT_THAT(left_out_.Lines(),
              ElementsAre("left out: hidden 3, junk folders 3, FIFOs 2, .db 1, devices 1"));
}

TEST_F(FolderTest, LinksToFoldersAreFollowedOnRequestButNotInCircles) {
  Write("in/a.jpg");
  Write("in/sub/b.jpg");
  Write("other/c.jpg");
  Link("in/sub/up", "..");
  Link("in/here", ".");
  Link("in/other", "../other");
  Link("in/file.jpg", "../other/c.jpg");
  Link("other/back", "../in");
  EXPECT_THAT(Find({}, "in/"), ElementsAre("a.jpg", "file.jpg", "sub/b.jpg"));
  EXPECT_THAT(left_out_.kinds, ElementsAre(Pair("links to folders", 3)));
  EXPECT_THAT(Find({.follow_links = true}, "in/"),
              ElementsAre("a.jpg", "file.jpg", "other/c.jpg", "sub/b.jpg"));
  const std::string in = root_ + "/in/";
  EXPECT_THAT(left_out_.loops, ElementsAre(in + "here", in + "other/back", in + "sub/up"));
  EXPECT_THAT(left_out_.unreadable, IsEmpty());
  EXPECT_EQ(left_out_.Lines()[0], "left out " + in + "here: it leads back to a folder above");
}

TEST_F(FolderTest, LinksThatLeadNowhereAreNamedWhereTheyCouldBePictures) {
  Write("a.jpg");
  Link("self.jpg", "self.jpg");
  Link("self", "self");
  Link("gone.png", "nowhere/x.png");
  Link("notes.txt", "nowhere.txt");
  Link(".hidden", "nowhere");
  for (const bool follow : {false, true}) {
    EXPECT_THAT(Find({.follow_links = follow}), ElementsAre("a.jpg"));
    EXPECT_THAT(left_out_.unreadable,
                ElementsAre(Pair(root_ + "/gone.png", "a link that leads nowhere"),
                            Pair(root_ + "/self", "a link that leads to itself"),
                            Pair(root_ + "/self.jpg", "a link that leads to itself")));
    EXPECT_THAT(left_out_.kinds, ElementsAre(Pair(".txt", 1), Pair("hidden", 1)));
  }
}

// What root cannot open either.
TEST_F(FolderTest, FolderThatIsTooDeepToBeOpenedIsNamed) {
  Write("a.jpg");
  Write("z.jpg");
  int handle = open(root_.c_str(), O_RDONLY);
  std::vector<std::string> names(18, std::string(250, 'x'));
  names[0] = "album.2019";
  for (const std::string& name : names) {
    ASSERT_EQ(mkdirat(handle, name.c_str(), 0700), 0);
    const int inner = openat(handle, name.c_str(), O_RDONLY);
    close(handle);
    handle = inner;
  }
  close(handle);
  EXPECT_THAT(Find(), ElementsAre("a.jpg", "z.jpg"));
  EXPECT_THAT(left_out_.unreadable,
              ElementsAre(Pair(StartsWith(root_ + "/album.2019/xxx"), "File name too long")));
}

TEST_F(FolderTest, FolderWithoutPermissionIsNamed) {
  Write("a.jpg");
  Write("locked.v2/b.jpg");
  Write("secret");
  fs::permissions(root_ + "/locked.v2", fs::perms::none);
  fs::permissions(root_ + "/secret", fs::perms::none);
  const fs::path here = fs::current_path();
  const uid_t user = geteuid();
  if (user == 0) {  // permissions do not hold for root
    fs::permissions(root_, static_cast<fs::perms>(0755));
    fs::current_path(root_);  // the folders above may be root's own
    ASSERT_EQ(seteuid(65534), 0);
    root_ = std::string(".");
  }
  const std::vector<std::string> found = Find();
  std::vector<std::string> files;
  LeftOut ignored;
  const absl::Status closed = AddPictures(root_ + "/locked.v2", {}, files, ignored);
  if (user == 0) {
    ASSERT_EQ(seteuid(user), 0);
    root_ = fs::current_path().string();
    fs::current_path(here);
  }
  fs::permissions(root_ + "/locked.v2", fs::perms::owner_all);
  EXPECT_THAT(found, ElementsAre("a.jpg"));
  EXPECT_THAT(left_out_.unreadable,
              ElementsAre(Pair(testing::EndsWith("/locked.v2"), "Permission denied"),
                          Pair(testing::EndsWith("/secret"), "Permission denied")));
  EXPECT_TRUE(absl::IsPermissionDenied(closed)) << closed;
}

TEST_F(FolderTest, PatternsLeaveOutNamesAndPaths) {
  for (const char* name : {"a.jpg", "a_small.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg"}) {
    Write(name);
  }
  const auto without = [this](const std::vector<std::string>& patterns) {
    return Find({.exclude = patterns});
  };
  EXPECT_THAT(without({"*_small.jpg"}),
              ElementsAre("a.jpg", "raw/c.jpg", "sub/raw/d.jpg", "sub/x1.jpg"));
  EXPECT_THAT(left_out_.kinds, ElementsAre(Pair("excluded", 1)));
  EXPECT_THAT(without({"raw"}), ElementsAre("a.jpg", "a_small.jpg", "sub/x1.jpg"));
  EXPECT_THAT(without({"raw/"}), ElementsAre("a.jpg", "a_small.jpg", "sub/x1.jpg"));
  EXPECT_THAT(without({"/raw"}),
              ElementsAre("a.jpg", "a_small.jpg", "sub/raw/d.jpg", "sub/x1.jpg"));
  EXPECT_THAT(without({"sub/raw"}), ElementsAre("a.jpg", "a_small.jpg", "raw/c.jpg", "sub/x1.jpg"));
  EXPECT_THAT(without({"*/raw/"}), ElementsAre("a.jpg", "a_small.jpg", "raw/c.jpg", "sub/x1.jpg"));
  EXPECT_EQ(without({"a.jpg/"}).size(), 5u);
  EXPECT_THAT(without({"?.jpg", "x[0-9].jpg"}), ElementsAre("a_small.jpg"));
  EXPECT_THAT(without({"[!a]*.jpg"}), ElementsAre("a.jpg", "a_small.jpg"));
  EXPECT_EQ(without({"A.JPG"}).size(), 5u);
}

TEST_F(FolderTest, ManyKindsAndNamesAreCutShort) {
  Write("a.jpg");
  for (int i = 0; i < 15; ++i) Write(absl::StrCat("x.t", i));
  for (int i = 0; i < 23; ++i) Link(absl::StrCat("l", i), "nowhere");
  Find();
  const std::vector<std::string> lines = left_out_.Lines();
  ASSERT_EQ(lines.size(), 22u);
  EXPECT_EQ(lines[20], "left out 3 more of these");
  EXPECT_THAT(lines[21], testing::EndsWith(", others 3"));
}

TEST(PictureFilesTest, TablesMeetTheirPurpose) {
  EXPECT_EQ(SuffixOf("a.JPG"), ".jpg");
  EXPECT_EQ(SuffixOf("a.b.Png"), ".png");
  for (const char* name : {"a", "a.", ".a", ""}) EXPECT_EQ(SuffixOf(name), "") << name;
  for (const absl::string_view suffix : PictureSuffixes()) {
    EXPECT_TRUE(IsPictureSuffix(suffix));
    EXPECT_EQ(SuffixOf("a" + std::string(suffix)), suffix);
  }
  EXPECT_FALSE(IsPictureSuffix(""));
  EXPECT_FALSE(HasPictureSignature("\xff\xd8"));
  EXPECT_FALSE(HasPictureSignature(""));
}

}  // namespace
}  // namespace pixpool::cli
