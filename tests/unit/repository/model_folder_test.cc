#include "server/repository/model_folder.h"

#include <gtest/gtest.h>

#include "nlohmann/json.hpp"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

TEST(ModelFolderTest, AnyOtherFileIsSeen) {
  const TempDir temp;
  WriteFile(temp.path() / "manifest.json", "{}");
  WriteFile(temp.path() / "data" / "weights", "1234");
  const BundleFiles before = LookAtFiles(temp.path().string());
  EXPECT_EQ(before.bytes, 6);
  EXPECT_EQ(LookAtFiles(temp.path().string()).stamp, before.stamp);
  std::filesystem::remove(temp.path() / "data" / "weights");
  WriteFile(temp.path() / "data" / "weights", "1235");
  EXPECT_NE(LookAtFiles(temp.path().string()).stamp, before.stamp);
  EXPECT_EQ(LookAtFiles((temp.path() / "none").string()).bytes, 0);
}

TEST(ModelFolderTest, TheManifestSaysWhetherTheContentIsTheSame) {
  const TempDir temp;
  EXPECT_EQ(ContentOf(temp.path().string()), "");
  WriteFile(temp.path() / "manifest.json", "{}");
  const std::string content = ContentOf(temp.path().string());
  WriteFile(temp.path() / "other", "x");
  EXPECT_EQ(ContentOf(temp.path().string()), content);
  WriteFile(temp.path() / "manifest.json", "{ }");
  EXPECT_NE(ContentOf(temp.path().string()), content);
}

TEST(ModelFolderTest, FilesOfOtherEnginesAreNotInUse) {
  const TempDir temp;
  nlohmann::json manifest = GoodManifest();
  manifest["engines"] = {
      {{"engine", "torchscript"}, {"precision", "float32"}, {"path", "backbone.ts"}},
      {{"engine", "openvino"}, {"precision", "float32"}, {"path", "backbone.xml"}}};
  for (const char* path : {"backbone.ts", "backbone.xml"}) {
    manifest["files"].push_back({{"path", path}, {"sha256", std::string(64, '0')}});
  }
  WriteFile(temp.path() / "manifest.json", manifest.dump());
  const auto rest = static_cast<int64_t>(manifest.dump().size());
  WriteFile(temp.path() / "backbone.ts", "1234");
  WriteFile(temp.path() / "backbone.xml", "12");
  WriteFile(temp.path() / "backbone.bin", "1234567");
  const std::string dir = temp.path().string();
  EXPECT_EQ(BytesInUse(dir, {.engine = "openvino", .precision = "float32"}), rest + 9);
  EXPECT_EQ(BytesInUse(dir, {.engine = "torchscript", .precision = "float32"}), rest + 4);
  EXPECT_EQ(MostBytesInUse(dir), rest + 9);
  WriteFile(temp.path() / "manifest.json", "no manifest");
  EXPECT_EQ(MostBytesInUse(dir), 11 + 13);
}

TEST(ModelFolderTest, MessagesLoseThePathsOfThisMachine) {
  const TempDir temp;
  const std::string dir = temp.path().string();
  const ModelFolder folder(dir);
  EXPECT_EQ(folder.WithoutPaths("bundle " + dir + "/net/1, as " + dir + "/other", "net"),
            "bundle net/1, as other");
  EXPECT_EQ(folder.WithoutPaths(dir + " cannot be read", "net"),
            "the models folder cannot be read");
  EXPECT_EQ(ModelFolder("models").WithoutPaths("models of models/net/1", "net"), "models of net/1");
  const std::filesystem::path real = temp.path() / "releases" / "7";
  std::filesystem::create_directories(real);
  std::filesystem::create_directories(temp.path() / "models" / "net");
  std::filesystem::create_directory_symlink(real, temp.path() / "models" / "net" / "2");
  EXPECT_EQ(ModelFolder((temp.path() / "models").string())
                .WithoutPaths("bundle " + real.string() + ": bad", "net"),
            "bundle net/2: bad");
}

}  // namespace
}  // namespace pixpool
