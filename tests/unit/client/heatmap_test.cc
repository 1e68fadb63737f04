// pixpool heatmap in this process: where the files go, what is printed, exit codes.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "tests/unit/client/app_fixture.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HeatmapTest : public AppTest {
 protected:
  std::string Content(const std::string& name) const {
    std::ifstream file(root_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::vector<std::string> Files(const std::string& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ + "/" + folder)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

TEST_F(HeatmapTest, OnePictureToAFile) {
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg", "one"), "--output", root_ + "/map.png"}), kExitOk);
  EXPECT_EQ(Content("map.png"), "PNG of one");
  EXPECT_EQ(err_.str(), "");
  const std::vector<std::string> lines = absl::StrSplit(out_.str(), '\n');
  ASSERT_EQ(lines.size(), 6u) << out_.str();  // frame, header, rule, one line, frame
  EXPECT_THAT(lines[3], HasSubstr("a.jpg | Egyptian cat | 75.00 % | (12, 30) to (220, 190) | "));
  EXPECT_THAT(lines[3], HasSubstr("map.png |"));
}

TEST_F(HeatmapTest, OverlayOfTheTopClassUnlessAskedOtherwise) {
  const std::string a = Picture("a.jpg");
  ASSERT_EQ(Run({"heatmap", a, "--output", root_ + "/m"}), kExitOk);
  EXPECT_EQ(head_.class_activation_map().format(), v1::ACTIVATION_MAP_FORMAT_PNG_OVERLAY);
  EXPECT_FALSE(head_.class_activation_map().has_class_index());
  EXPECT_EQ(heads_, 1);
  ASSERT_EQ(
      Run({"heatmap", a, "--output", root_ + "/m", "--plain", "--class", "0", "--resize", "exact"}),
      kExitOk);
  EXPECT_EQ(head_.class_activation_map().format(), v1::ACTIVATION_MAP_FORMAT_PNG);
  EXPECT_TRUE(head_.class_activation_map().has_class_index());
  EXPECT_EQ(head_.class_activation_map().class_index(), 0);
  EXPECT_EQ(input_.resize(), v1::RESIZE_MODE_EXACT);
}

TEST_F(HeatmapTest, ALayersMeanHasNoClass) {
  const std::string a = Picture("a.jpg", "one");
  ASSERT_EQ(Run({"heatmap", a, "--output", root_ + "/m", "--layer", "attention"}), kExitOk);
  EXPECT_EQ(head_.layer(), "attention");
  EXPECT_EQ(head_.mean_map().format(), v1::ACTIVATION_MAP_FORMAT_PNG_OVERLAY);
  EXPECT_EQ(Content("m/a.heatmap.png"), "PNG of one");
  EXPECT_THAT(out_.str(), HasSubstr("a.jpg | (12, 30) to (220, 190) | "));
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("class")));
  EXPECT_EQ(Run({"heatmap", a, "--output", root_ + "/m", "--layer", "attention", "--class", "1"}),
            kExitUsage);
}

TEST_F(HeatmapTest, SeveralPicturesToAFolderThatIsMade) {
  for (const char* mode : {"--concurrency=2", "--stream"}) {
    fs::remove_all(root_ + "/new");
    EXPECT_EQ(Run({"heatmap", Picture("a.jpg", "one"), Picture("b.webp", "two"), mode, "--output",
                   root_ + "/new/maps"}),
              kExitOk);
    EXPECT_THAT(Files("new/maps"), ElementsAre("a.heatmap.png", "b.heatmap.png"));
    EXPECT_EQ(Content("new/maps/a.heatmap.png"), "PNG of one");
    EXPECT_EQ(Content("new/maps/b.heatmap.png"), "PNG of two");
  }
}

TEST_F(HeatmapTest, PicturesOfOneNameGetFilesOfTheirOwn) {
  fs::create_directories(root_ + "/in/deep");
  Picture("in/a.jpg", "one");
  Picture("in/a.png", "two");
  Picture("in/a_2.jpg", "three");
  Picture("in/deep/a.jpg", "four");
  EXPECT_EQ(Run({"heatmap", root_ + "/in", "--output", root_ + "/m"}), kExitOk);
  EXPECT_THAT(Files("m"), ElementsAre("a.heatmap.png", "a_2.heatmap.png", "a_2_2.heatmap.png",
                                      "a_3.heatmap.png"));
  EXPECT_EQ(Content("m/a.heatmap.png"), "PNG of one");
  EXPECT_EQ(Content("m/a_2.heatmap.png"), "PNG of two");
  EXPECT_EQ(Content("m/a_2_2.heatmap.png"), "PNG of three");
  EXPECT_EQ(Content("m/a_3.heatmap.png"), "PNG of four");
  EXPECT_THAT(out_.str(), HasSubstr("m/a_3.heatmap.png"));
}

TEST_F(HeatmapTest, PicturesAreNotOverwritten) {
  const std::string a = Picture("a.png", "one");
  EXPECT_EQ(Run({"heatmap", a, "--output", root_ + "/./a.png"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("is one of the pictures and would be overwritten"));
  Picture("a.heatmap.png", "two");
  EXPECT_EQ(Run({"heatmap", root_ + "/*.png", "--output", root_}), kExitUsage);
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(Content("a.png"), "one");
  EXPECT_EQ(Content("a.heatmap.png"), "two");
}

TEST_F(HeatmapTest, FailedPicturesAreNamedAndHaveNoFile) {
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg", "bad"), Picture("b.jpg"), "--output", root_ + "/m"}),
            kExitSomeFailed);
  EXPECT_THAT(Files("m"), ElementsAre("b.heatmap.png"));
  EXPECT_THAT(err_.str(), HasSubstr("a.jpg: INVALID_ARGUMENT (IMAGE_UNDECODABLE): not a picture"));
  EXPECT_THAT(err_.str(), HasSubstr("1 of 2 pictures failed"));
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("a.jpg")));
  EXPECT_THAT(out_.str(), HasSubstr("b.jpg | Egyptian cat"));
}

TEST_F(HeatmapTest, ExitCodesByFailure) {
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg", "refuse"), "--output", root_ + "/m"}), kExitRefused);
  const std::string refusal = "pixpool: INVALID_ARGUMENT (HEAD_INVALID): p is 0 [heads[0].gem.p]\n";
  EXPECT_EQ(err_.str(), refusal + "pixpool: 1 of 1 pictures failed\n");  // said once
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg", "late"), "--output", root_ + "/m"}), kExitDeadline);
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg"), "--output", root_ + "/m"}, client::kNobody),
            kExitUnavailable);
  EXPECT_THAT(Files("m"), IsEmpty());
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg"), "--output", root_ + "/no/such/map.png"}),
            kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("cannot write"));
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg"), "--output", Picture("file")}), kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("cannot make the folder"));
}

TEST_F(HeatmapTest, ServerWithoutHeatmapIsABug) {
  server_.on_extract = [](grpc::ServerContext&, const v1::ExtractFeaturesRequest&,
                          v1::ExtractFeaturesResponse& out) {
    *out.add_results()->mutable_features() = MakeMap(0, "", "").features;  // floats
    return grpc::Status::OK;
  };
  EXPECT_EQ(Run({"heatmap", Picture("a.jpg"), "--output", root_ + "/m"}), kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("the server sent no heatmap of"));
}

TEST_F(HeatmapTest, UsageErrors) {
  const std::string a = Picture("a.jpg");
  EXPECT_EQ(Run({"heatmap", a}), kExitUsage);
  EXPECT_EQ(Run({"heatmap", "--output", root_ + "/m"}), kExitUsage);
  EXPECT_EQ(Run({"heatmap", a, "--output", root_ + "/m", "--class", "-1"}), kExitUsage);
  EXPECT_EQ(Run({"heatmap", a, "--output", root_ + "/m", "--class", "cat"}), kExitUsage);
  EXPECT_EQ(Run({"heatmap", root_ + "/gone.jpg", "--output", root_ + "/m"}), kExitUsage);
  EXPECT_EQ(Run({"heatmap", a, Picture("b.jpg"), "--output", root_ + "/m.png"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("2 pictures need a folder; --output is " + root_ + "/m.png"));
  EXPECT_EQ(calls_, 0);
  // A folder may be called as it likes.
  fs::create_directories(root_ + "/m.png");
  EXPECT_EQ(Run({"heatmap", a, Picture("b.jpg"), "--output", root_ + "/m.png"}), kExitOk);
  EXPECT_THAT(Files("m.png"), ElementsAre("a.heatmap.png", "b.heatmap.png"));
  EXPECT_EQ(Call({"pixpool", "heatmap", "--help"}), kExitOk);
}

}  // namespace
}  // namespace pixpool::cli
