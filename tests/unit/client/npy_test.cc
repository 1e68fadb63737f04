#include "client/cli/npy.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<float> Floats(const std::string& bytes) {
  std::vector<float> values((bytes.size() - 128) / 4);
  std::memcpy(values.data(), bytes.data() + 128, values.size() * 4);
  return values;
}

class NpyTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/npy_test." + std::to_string(getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string root_;
};

TEST_F(NpyTest, HeaderIsWhatNumpyWrites) {
  const std::string header = *NpyHeader({3, 1280}, "<f4");
  ASSERT_EQ(header.size(), 128u);
  EXPECT_EQ(header.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_THAT(
      header.substr(10),
      testing::StartsWith("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1280), }"));
  EXPECT_EQ(header.back(), '\n');
  EXPECT_THAT(*NpyHeader({5}, "|u1"),
              HasSubstr("{'descr': '|u1', 'fortran_order': False, 'shape': (5,)"));
  EXPECT_FALSE(NpyHeader(std::vector<int64_t>(30, 1000), "<f4").ok());
}

TEST_F(NpyTest, OneHead) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeGood(0, "a.png", {1, 2})).ok());
  ASSERT_TRUE(writer->Add(MakeBad(1, "b.png", absl::InvalidArgumentError("broken"))).ok());
  ASSERT_TRUE(writer->Add(MakeGood(2, "c.png", {3, 4})).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(Files(), ElementsAre("out.index.json", "out.npy"));
  const std::string bytes = ReadFile(root_ + "/out.npy");
  EXPECT_EQ(bytes.substr(0, 128), *NpyHeader({2, 2}, "<f4"));
  EXPECT_THAT(Floats(bytes), ElementsAre(1, 2, 3, 4));

  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  EXPECT_EQ(index["images"], nlohmann::json({"a.png", "c.png"}));
  EXPECT_EQ(index["model"], "m/2");
  EXPECT_EQ(index["heads"][0]["file"], "out.npy");
  EXPECT_EQ(index["heads"][0]["encoding"], "float32");
  EXPECT_FALSE(index["heads"][0].contains("bits"));
  EXPECT_EQ(index["heads"][0]["space_id"], "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(index["failed"][0]["path"], "b.png");
  EXPECT_THAT(index["failed"][0]["error"].get<std::string>(), HasSubstr("broken"));
}

ImageOutcome AllScores(const std::vector<int>& classes) {
  ImageOutcome outcome = MakeGood(0, "a.png", {1, 2}, true);
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.clear_class_scores();
  for (const int c : classes) {
    v1::ClassScore& score = *head.add_class_scores();
    score.set_class_index(c);
    score.set_score(static_cast<float>(c) + 0.5f);
  }
  return outcome;
}

TEST_F(NpyTest, SeveralHeadsGoToSeveralFiles) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(AllScores({0, 1})).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(Files(), ElementsAre("out.class_scores.npy", "out.global_avg.npy", "out.index.json"));
  EXPECT_THAT(Floats(ReadFile(root_ + "/out.class_scores.npy")), ElementsAre(0.5, 1.5));
}

TEST_F(NpyTest, BoxesHaveARowEach) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ImageOutcome outcome = MakeGood(0, "a.png", {1, 2});
  for (const float left : {0.5f, 3.0f}) {
    v1::RegionFeatures& region = *outcome.features.add_regions();
    region.set_left_px(left);
    region.set_right_px(9);
    region.set_bottom_px(8);
    *region.mutable_head_results() = outcome.features.head_results();
    region.mutable_head_results(0)->set_values(0, left);
  }
  outcome.features.clear_head_results();
  ASSERT_TRUE(writer->Add(outcome).ok());
  ASSERT_TRUE(writer->Add(MakeBad(1, "b.png", absl::InvalidArgumentError("broken"))).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(Floats(ReadFile(root_ + "/out.npy")), ElementsAre(0.5f, 2, 3, 2));
  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  EXPECT_EQ(index["images"], nlohmann::json({"a.png", "a.png"}));
  EXPECT_EQ(index["boxes"], nlohmann::json({{0.5, 0, 9, 8}, {3, 0, 9, 8}}));
}

TEST_F(NpyTest, SortedScoresAreRefusedAndNothingIsLeft) {
  {
    const auto writer = NewNpyWriter(root_ + "/out.npy");
    const absl::Status status = writer->Add(AllScores({1, 0}));
    EXPECT_THAT(std::string(status.message()), HasSubstr("class_scores:top_k=0"));
  }
  EXPECT_TRUE(Files().empty());
}

TEST_F(NpyTest, MixedSizesAreRefused) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeGood(0, "a.png", {1, 2})).ok());
  const absl::Status status = writer->Add(MakeGood(1, "b.png", {1, 2, 3}));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("head global_avg gives 3 for b.png and 2 for a.png"));
}

TEST_F(NpyTest, MixedSpacesAreRefused) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeGood(0, "a.png", {1, 2})).ok());
  ImageOutcome other = MakeGood(1, "b.png", {1, 2});
  other.features.mutable_head_results(0)->set_space_id("ffff");
  EXPECT_THAT(std::string(writer->Add(other).message()), HasSubstr("must not be compared"));
}

TEST_F(NpyTest, MapsKeepTheirShape) {
  ImageOutcome outcome = MakeGood(0, "a.png", {1, 2, 3, 4, 5, 6});
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.clear_shape();
  for (const int extent : {1, 2, 3}) head.add_shape(extent);
  const auto writer = NewNpyWriter(root_ + "/maps");
  ASSERT_TRUE(writer->Add(outcome).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(ReadFile(root_ + "/maps").substr(0, 128), *NpyHeader({1, 1, 2, 3}, "<f4"));
}

ImageOutcome Packed(v1::Encoding encoding, std::vector<int64_t> shape, const std::string& bytes) {
  ImageOutcome outcome = MakeGood(0, "a.png", {});
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.mutable_shape()->Assign(shape.begin(), shape.end());
  head.set_encoding(encoding);
  head.set_packed_values(bytes);
  head.set_scale(0.5f);
  return outcome;
}

TEST_F(NpyTest, HalvesStayHalves) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(Packed(v1::ENCODING_FLOAT16, {1, 2}, "abcd")).ok());
  ASSERT_TRUE(writer->Add(Packed(v1::ENCODING_FLOAT16, {1, 2}, "efgh")).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(ReadFile(root_ + "/out.npy"), *NpyHeader({2, 1, 2}, "<f2") + "abcdefgh");
  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  EXPECT_EQ(index["heads"][0]["encoding"], "float16");
}

TEST_F(NpyTest, BytesAreScaledToFloats) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ImageOutcome second = Packed(v1::ENCODING_INT8, {2}, "\x01\x81");
  second.features.mutable_head_results(0)->set_scale(2);
  ASSERT_TRUE(writer->Add(Packed(v1::ENCODING_INT8, {2}, "\x01\x81")).ok());
  ASSERT_TRUE(writer->Add(second).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const std::string bytes = ReadFile(root_ + "/out.npy");
  EXPECT_EQ(bytes.substr(0, 128), *NpyHeader({2, 2}, "<f4"));
  EXPECT_THAT(Floats(bytes), ElementsAre(0.5, -63.5, 2, -254));
}

TEST_F(NpyTest, BitsStayPacked) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(Packed(v1::ENCODING_BINARY, {2, 5}, "\xA1\x40")).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(ReadFile(root_ + "/out.npy"), *NpyHeader({1, 2}, "|u1") + "\xA1\x40");
  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  EXPECT_EQ(index["heads"][0]["encoding"], "binary");
  EXPECT_EQ(index["heads"][0]["bits"], 10);
  EXPECT_EQ(index["heads"][0]["shape"], nlohmann::json({1, 2}));
}

TEST_F(NpyTest, RowsOfAnotherEncodingAreRefused) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(Packed(v1::ENCODING_FLOAT16, {2}, "abcd")).ok());
  const absl::Status status = writer->Add(MakeGood(1, "b.png", {1, 2}));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has 8 bytes, not 4, for shape 2"));
}

TEST_F(NpyTest, ActivationMapsAreFloats) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeMap(0, "a.png", "")).ok());
  ASSERT_TRUE(writer->Finish().ok());
  const std::string bytes = ReadFile(root_ + "/out.npy");
  EXPECT_EQ(bytes.substr(0, 128), *NpyHeader({1, 2, 2}, "<f4"));
  EXPECT_THAT(Floats(bytes), ElementsAre(0.5, -1, 0, 2));
  const absl::Status status = NewNpyWriter(root_ + "/png.npy")->Add(MakeMap(0, "a.png", "PNG"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("`pixpool heatmap` writes PNG"));
}

// Files of this process that cannot grow beyond a size, as on a full disk.
class SmallFiles {
 public:
  explicit SmallFiles(size_t most) {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{most, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallFiles() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST_F(NpyTest, FullDiskKeepsTheRowsThatAreOnIt) {
  const std::vector<float> row(1000, 1.5f);
  constexpr size_t kRowBytes = 4000;
  absl::Status status;
  size_t added = 0;
  {
    const SmallFiles small(128 + 10 * kRowBytes + 1234);
    const auto writer = NewNpyWriter(root_ + "/out.npy");
    ASSERT_TRUE(writer->Add(MakeBad(0, "bad.png", absl::InvalidArgumentError("broken"))).ok());
    while (status.ok() && added < 20) {
      status = writer->Add(MakeGood(added + 1, std::to_string(added) + ".png", row));
      ++added;
    }
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(status.message(), "cannot write " + root_ +
                                  "/out.npy: File too large; what was done is kept: 10 pictures");
  EXPECT_THAT(Files(), ElementsAre("out.index.json", "out.npy"));
  const std::string bytes = ReadFile(root_ + "/out.npy");
  EXPECT_EQ(bytes.substr(0, 128), *NpyHeader({10, 1000}, "<f4"));
  EXPECT_EQ(bytes.size(), 128 + 10 * kRowBytes);
  EXPECT_THAT(Floats(bytes), testing::Each(1.5f));
  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  EXPECT_EQ(index["images"].size(), 10u);
  EXPECT_EQ(index["images"][9], "9.png");
  EXPECT_EQ(index["heads"][0]["shape"], nlohmann::json({10, 1000}));
  EXPECT_EQ(index["failed"].size(), 1u);
}

TEST_F(NpyTest, FullDiskAtTheEndKeepsWhatFitsWithItsIndex) {
  const SmallFiles small(700);  // of the index; it names fewer pictures then
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(writer->Add(MakeGood(i, std::string(20, 'x') + std::to_string(i), {1, 2})).ok());
  }
  const absl::Status status = writer->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("what was done is kept: "));
  const auto index = nlohmann::json::parse(ReadFile(root_ + "/out.index.json"));
  const size_t kept = index["images"].size();
  EXPECT_GT(kept, 0u);
  EXPECT_LT(kept, 40u);
  EXPECT_EQ(ReadFile(root_ + "/out.npy").size(), 128 + kept * 8);
  EXPECT_THAT(Files(), ElementsAre("out.index.json", "out.npy"));
}

TEST_F(NpyTest, DiskThatIsFullFromTheBeginningLeavesNothing) {
  const SmallFiles small(100);
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  const std::vector<float> row(10'000, 1);
  absl::Status status;
  for (int i = 0; status.ok() && i < 3; ++i) status = writer->Add(MakeGood(i, "a.png", row));
  EXPECT_EQ(status.message(), "cannot write " + root_ + "/out.npy: File too large");
}

TEST_F(NpyTest, NothingWrittenIsSaid) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeBad(0, "b.png", absl::InvalidArgumentError("broken"))).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_EQ(writer->Note(), root_ + "/out.npy was not written: no picture has features");
  const auto other = NewNpyWriter(root_ + "/other.npy");
  ASSERT_TRUE(other->Add(MakeGood(0, "a.png", {1})).ok());
  ASSERT_TRUE(other->Finish().ok());
  EXPECT_EQ(other->Note(), "");
}

TEST_F(NpyTest, NoFeaturesNoFilesAndBadFolderIsAnError) {
  const auto writer = NewNpyWriter(root_ + "/out.npy");
  ASSERT_TRUE(writer->Add(MakeBad(0, "b.png", absl::InvalidArgumentError("broken"))).ok());
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_TRUE(Files().empty());
  EXPECT_THAT(
      std::string(NewNpyWriter(root_ + "/no/out.npy")->Add(MakeGood(0, "a", {1})).message()),
      HasSubstr("cannot write"));
}

}  // namespace
}  // namespace pixpool::cli
