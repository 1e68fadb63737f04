#include "server/model/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A tiny bundle that a test damages in a way that its digests do not show.
class GoldenTest : public testing::Test {
 protected:
  GoldenTest() : dir_(CopyTinyBundle(temp_.path())) {}

  absl::Status Load() {
    RefreshDigests(dir_);
    const absl::StatusOr<Bundle> bundle = OpenBundle(dir_.string());
    if (!bundle.ok()) return bundle.status();
    ModelOptions options;
    options.device = "cpu";
    return LoadModel(*bundle, options).status();
  }

  void EditManifest(const std::string& pointer, const nlohmann::json& value) {
    nlohmann::json manifest = nlohmann::json::parse(ReadFile(dir_ / "manifest.json"));
    manifest[nlohmann::json::json_pointer(pointer)] = value;
    WriteFile(dir_ / "manifest.json", manifest.dump());
  }

  void ExpectMismatch() {
    const absl::Status status = Load();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("golden picture"));
  }

  TempDir temp_;
  fs::path dir_;
};

TEST_F(GoldenTest, UntouchedBundlePasses) { EXPECT_TRUE(Load().ok()) << Load(); }

TEST_F(GoldenTest, OtherExpectedValuesFail) {
  std::string bytes = ReadFile(dir_ / "golden.f32");
  std::swap_ranges(bytes.begin(), bytes.begin() + 4, bytes.begin() + 16);
  WriteFile(dir_ / "golden.f32", bytes);
  const absl::Status status = Load();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has a cosine of"));
}

TEST_F(GoldenTest, AllZeroExpectedValuesFail) {
  WriteFile(dir_ / "golden.f32", std::string(40, '\0'));
  ExpectMismatch();
}

TEST_F(GoldenTest, WrongNumberOfExpectedValuesFails) {
  WriteFile(dir_ / "golden.f32", std::string(36, '\0'));
  EXPECT_EQ(Load().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(GoldenTest, AnotherRecipeFails) {
  EditManifest("/input/resize_size", 60);
  ExpectMismatch();
}

TEST_F(GoldenTest, AnotherLayerFails) {
  EditManifest("/golden/layer", "early");
  EXPECT_EQ(Load().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(GoldenTest, APictureThatDoesNotDecodeFails) {
  WriteFile(dir_ / "golden.png", "not a picture");
  ExpectMismatch();
}

TEST_F(GoldenTest, ATighterBoundThanTheArithmeticFails) {
  EditManifest("/golden/min_cosine", 1.0);
  const std::string bytes = ReadFile(dir_ / "golden.f32");
  float first;
  std::memcpy(&first, bytes.data(), sizeof first);
  first *= 1.001f;
  std::string changed = bytes;
  std::memcpy(changed.data(), &first, sizeof first);
  WriteFile(dir_ / "golden.f32", changed);
  ExpectMismatch();
}

TEST_F(GoldenTest, ABundleWithoutGoldenIsNotChecked) {
  nlohmann::json manifest = nlohmann::json::parse(ReadFile(dir_ / "manifest.json"));
  manifest.erase("golden");
  WriteFile(dir_ / "manifest.json", manifest.dump());
  EXPECT_TRUE(Load().ok());
}

}  // namespace
}  // namespace pixpool
