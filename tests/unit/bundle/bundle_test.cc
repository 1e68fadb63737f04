#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/sha256.h"
#include "server/bundle/manifest.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

// A bundle net/3 with small files of text in place of weights; opening does not look into them.
class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = temp_.path() / "models" / "net" / "3";
    manifest_ = GoodManifest();
    for (json& file : manifest_["files"]) {
      const std::string path = file["path"];
      WriteFile(dir_ / path, "content of " + path);
      file["sha256"] = Sha256Hex("content of " + path);
    }
    Save();
  }

  void Save() { WriteFile(dir_ / "manifest.json", manifest_.dump()); }

  absl::Status Open() { return OpenBundle(dir_.string()).status(); }
  std::string OpenError() {
    const absl::Status status = Open();
    return status.ok() ? "no error" : std::string(status.message());
  }

  TempDir temp_;
  fs::path dir_;
  json manifest_;
};

TEST_F(BundleTest, OpensWhatMatches) {
  const absl::StatusOr<Bundle> bundle = OpenBundle(dir_.string());
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->dir, dir_.string());
  EXPECT_EQ(bundle->manifest.name, "net");
  EXPECT_TRUE(OpenBundle(dir_.string() + "/").ok());
}

TEST_F(BundleTest, OneFlippedBitIsFound) {
  std::string bytes = ReadFile(dir_ / "net.ts");
  bytes[3] = static_cast<char>(bytes[3] ^ 1);
  WriteFile(dir_ / "net.ts", bytes);
  EXPECT_EQ(Open().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(OpenError(), HasSubstr("'net.ts' has SHA-256"));
}

TEST_F(BundleTest, EveryBadFileIsNamed) {
  WriteFile(dir_ / "net.ts", "x");
  WriteFile(dir_ / "w.f32", "x");
  fs::remove(dir_ / "b.f32");
  const std::string error = OpenError();
  EXPECT_THAT(error, HasSubstr("'net.ts' has SHA-256"));
  EXPECT_THAT(error, HasSubstr("'w.f32' has SHA-256"));
  EXPECT_THAT(error, HasSubstr("'b.f32' is missing"));
}

TEST_F(BundleTest, SymbolicLinksAreRefusedEvenToTheRightContent) {
  fs::rename(dir_ / "net.ts", temp_.path() / "net.ts");
  fs::create_symlink(temp_.path() / "net.ts", dir_ / "net.ts");
  EXPECT_THAT(OpenError(), HasSubstr("'net.ts' is or passes through a symbolic link"));
}

TEST_F(BundleTest, LinkedFoldersAreRefused) {
  fs::rename(dir_ / "sub", temp_.path() / "sub");
  fs::create_directory_symlink(temp_.path() / "sub", dir_ / "sub");
  EXPECT_THAT(OpenError(), HasSubstr("'sub/g.f32' is or passes through a symbolic link"));
}

TEST_F(BundleTest, LinkedManifestIsRefused) {
  fs::rename(dir_ / "manifest.json", temp_.path() / "manifest.json");
  fs::create_symlink(temp_.path() / "manifest.json", dir_ / "manifest.json");
  EXPECT_THAT(OpenError(), HasSubstr("symbolic link"));
}

TEST_F(BundleTest, PathsOutOfTheFolderAreRefused) {
  WriteFile(dir_ / ".." / "net.ts", "content of net.ts");
  manifest_["files"][0]["path"] = "../net.ts";
  manifest_["engines"][0]["path"] = "../net.ts";
  Save();
  EXPECT_THAT(OpenError(), HasSubstr("$.files[0].path: must stay inside the bundle's folder"));
}

TEST_F(BundleTest, FolderInPlaceOfFileIsRefused) {
  fs::remove(dir_ / "net.ts");
  fs::create_directory(dir_ / "net.ts");
  EXPECT_THAT(OpenError(), HasSubstr("'net.ts' is not a regular file"));
}

TEST_F(BundleTest, NameAndVersionAreThoseOfTheFolders) {
  manifest_["name"] = "other";
  manifest_["version"] = "4";
  Save();
  const std::string error = OpenError();
  EXPECT_THAT(error, HasSubstr("$.name is 'other', the folder is 'net'"));
  EXPECT_THAT(error, HasSubstr("$.version is '4', the folder is '3'"));
}

TEST_F(BundleTest, PartsOfAModelAreRefused) {
  manifest_["layers"] = {
      {{"name", "features"}, {"channels", 8}, {"stride", 16}, {"non_negative", false}}};
  manifest_["default_layer"] = "features";
  for (const char* part : {"classifier", "golden"}) manifest_.erase(part);
  const std::string graph = R"(<layer type="Convolution">)";
  WriteFile(dir_ / "net.xml", graph);
  manifest_["files"].push_back({{"path", "net.xml"}, {"sha256", Sha256Hex(graph)}});
  manifest_["engines"].push_back(
      {{"engine", "openvino"}, {"precision", "float32"}, {"path", "net.xml"}});
  Save();
  EXPECT_THAT(OpenError(), HasSubstr("net/3: layer 'features' is one convolution"));
  manifest_["parameters"] = {{"held", 100}, {"left_out", 0}};
  Save();
  EXPECT_EQ(OpenError(), "no error");
}

TEST_F(BundleTest, MissingBundleSaysSo) {
  EXPECT_EQ(OpenBundle((temp_.path() / "nothing").string()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(FindBundles, SortsNumericVersionsByValue) {
  const TempDir temp;
  for (const char* dir : {"b/10", "b/9", "b/v2", "b/1.5", "a/1", ".git/1"}) {
    WriteFile(temp.path() / dir / "manifest.json", "{}");
  }
  WriteFile(temp.path() / "b" / "11" / "other.json", "{}");
  WriteFile(temp.path() / "README", "a file beside the models");
  const auto bundles = FindBundles(temp.path().string());
  ASSERT_TRUE(bundles.ok()) << bundles.status();
  std::vector<std::string> found;
  for (const BundleLocation& b : bundles->bundles) {
    found.push_back(b.name + "/" + b.version);
    EXPECT_EQ(b.dir, (temp.path() / b.name / b.version).string());
  }
  EXPECT_THAT(found, testing::ElementsAre("a/1", "b/9", "b/10", "b/1.5", "b/v2"));
}

TEST(FindBundles, MissingRootIsAnError) {
  const TempDir temp;
  EXPECT_EQ(FindBundles((temp.path() / "none").string()).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_TRUE(FindBundles(temp.path().string())->bundles.empty());
}

}  // namespace
}  // namespace pixpool
