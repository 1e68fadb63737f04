// The whole command in this process, against a scripted server: output, exit codes, order.
#include "tests/unit/client/app_fixture.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using client::CallError;
using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(AppTest, ExtractTableWithSeveralHeads) {
  EXPECT_EQ(Run({"extract", "--head", "class_scores", "--head", "global_avg", Picture("a.png"),
                 Picture("b.png")}),
            kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("Egyptian cat   75.00 %"));
  EXPECT_THAT(out_.str(), HasSubstr("backbone"));
  EXPECT_LT(out_.str().find("a.png"), out_.str().find("b.png"));
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(heads_, 2);
}

TEST_F(AppTest, InputOptionsReachTheServer) {
  EXPECT_EQ(Run({"extract", Picture("a.png"), "--no-exif", "--resize", "exact", "--crop", "none",
                 "--input-size", "128x256", "--resize-size", "300", "--decode", "scaled",
                 "--damaged", "refuse", "--background", "255,0,128"}),
            kExitOk);
  EXPECT_EQ(input_.background().red(), 255);
  EXPECT_EQ(input_.background().green(), 0);
  EXPECT_EQ(input_.background().blue(), 128);
  EXPECT_FALSE(input_.apply_exif());
  EXPECT_TRUE(input_.has_apply_exif());
  EXPECT_EQ(input_.resize(), v1::RESIZE_MODE_EXACT);
  EXPECT_EQ(input_.crop(), v1::CROP_MODE_NONE);
  EXPECT_EQ(input_.input_height_px(), 128);
  EXPECT_EQ(input_.input_width_px(), 256);
  EXPECT_EQ(input_.resize_size_px(), 300);
  EXPECT_EQ(input_.decode(), v1::DECODE_MODE_SCALED);
  EXPECT_EQ(input_.damaged(), v1::DAMAGED_MODE_REFUSE);
  EXPECT_EQ(input_.scales_size(), 0);
  EXPECT_FALSE(input_.flip());
}

TEST_F(AppTest, ABackgroundIsThreeLevels) {
  for (const char* text : {"255", "1,2", "1,2,3,4", "1,2,256", "-1,2,3", "1,2,x", "white"}) {
    EXPECT_EQ(Run({"extract", Picture("a.png"), "--background", text}), kExitUsage) << text;
    EXPECT_THAT(err_.str(), HasSubstr("--background must be three numbers from 0 to 255, such as "
                                      "255,255,255, not "));
  }
  EXPECT_EQ(Run({"extract", Picture("a.png")}), kExitOk);
  EXPECT_FALSE(input_.has_background());
}

TEST_F(AppTest, TheShorterSideHasTheNameOfTheApiAndAShortOne) {
  for (const char* name : {"shorter_side", "shorter"}) {
    EXPECT_EQ(Run({"extract", Picture("a.png"), "--resize", name}), kExitOk) << err_.str();
    absl::MutexLock lock(&mu_);
    EXPECT_EQ(input_.resize(), v1::RESIZE_MODE_SHORTER_SIDE);
  }
}

TEST_F(AppTest, PriorityReachesTheServer) {
  const std::string picture = Picture("a.png");
  EXPECT_EQ(Run({"extract", picture}), kExitOk);
  EXPECT_EQ(priority_, v1::PRIORITY_UNSPECIFIED);
  EXPECT_EQ(Run({"extract", picture, "--priority", "bulk"}), kExitOk);
  EXPECT_EQ(priority_, v1::PRIORITY_BULK);
  EXPECT_EQ(Run({"extract", picture, "--stream", "--priority", "interactive"}), kExitOk);
  EXPECT_EQ(priority_, v1::PRIORITY_INTERACTIVE);
  EXPECT_EQ(Run({"extract", picture, "--priority", "urgent"}), kExitUsage);
}

TEST_F(AppTest, ScalesAndFlipReachTheServer) {
  EXPECT_EQ(Run({"extract", Picture("a.png"), "--scales", "1,0.7071,0.5", "--flip"}), kExitOk);
  EXPECT_THAT(input_.scales(), ElementsAre(1, 0.7071f, 0.5f));
  EXPECT_TRUE(input_.flip());
  EXPECT_EQ(Run({"extract", "--scales", "2", Picture("a.png")}), kExitOk);
  EXPECT_THAT(input_.scales(), ElementsAre(2));
  EXPECT_FALSE(input_.flip());
  for (const char* bad : {"1,half", "1,", "1x2", "nan", "1 0.5"}) {
    EXPECT_EQ(Run({"extract", Picture("a.png"), "--scales", bad}), kExitUsage) << bad;
    EXPECT_THAT(err_.str(), HasSubstr("--scales must be numbers joined by commas"));
  }
}

TEST_F(AppTest, BoxesHaveResultsOfTheirOwn) {
  for (const bool stream : {false, true}) {
    std::vector<std::string> arguments = {"extract",         "--format",      "json",
                                          "--box",           "10,20,30.5,40", "--box",
                                          "0%,50%,25%,100%", Picture("a.png")};
    if (stream) arguments.push_back("--stream");
    ASSERT_EQ(Run(arguments), kExitOk) << err_.str();
    const nlohmann::json line = JsonLines().at(0);
    EXPECT_TRUE(line["heads"].empty());
    ASSERT_EQ(line["regions"].size(), 2u);
    EXPECT_EQ(line["regions"][0]["box"]["right_px"], 30.5);
    EXPECT_EQ(line["regions"][1]["box"]["top_px"], 100);
    EXPECT_EQ(line["regions"][1]["box"]["right_px"], 75);
    EXPECT_EQ(line["regions"][0]["heads"].size(), 2u);
    EXPECT_EQ(region_options_.ByteSizeLong(), 0u);
  }
  EXPECT_EQ(Run({"extract", "--box", "1,2,3,4", Picture("a.png")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("box  (1, 2) to (3, 4) px"));
}

TEST_F(AppTest, OptionsOfBoxesReachTheServer) {
  for (const bool stream : {false, true}) {
    std::vector<std::string> arguments = {
        "extract",  "--box",      "1,2,3,4", "--box-mode",     "map",           "--box-pooling",
        "roi_pool", "--box-size", "3x5",     "--with-picture", Picture("a.png")};
    if (stream) arguments.push_back("--stream");
    ASSERT_EQ(Run(arguments), kExitOk) << err_.str();
    EXPECT_EQ(region_options_.mode(), v1::REGION_MODE_MAP);
    EXPECT_EQ(region_options_.pooling(), v1::REGION_POOLING_ROI_POOL);
    EXPECT_THAT(region_options_.output_size(), ElementsAre(3, 5));
    EXPECT_TRUE(region_options_.include_image());
  }
  const std::string picture = Picture("a.png");
  for (const char* bad : {"1,2,3", "1,2,3,4,5", "1,2,3,x", "1%,2,3,4", "nan,1,2,3", ""}) {
    EXPECT_EQ(Run({"extract", picture, "--box", bad}), kExitUsage) << bad;
    EXPECT_THAT(err_.str(), HasSubstr("--box")) << bad;
  }
  EXPECT_EQ(Run({"extract", picture, "--box", "1,2,3,4", "--box-size", "1x2x3"}), kExitUsage);
  EXPECT_EQ(Run({"extract", picture, "--box-mode", "crop"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("name some with --box"));
}

TEST_F(AppTest, MalformedResultFailsItsPicture) {
  const std::string bad = Picture("a.png", "malformed");
  for (const char* format : {"json", "table", "npy"}) {
    EXPECT_EQ(Run({"extract", bad, "--format", format, "--output", root_ + "/out"}),
              kExitSomeFailed);
  }
  EXPECT_EQ(Run({"extract", bad, Picture("b.png"), "--format", "json"}), kExitSomeFailed);
  EXPECT_EQ(JsonLines()[0]["error"]["code"], "INTERNAL");
  EXPECT_THAT(JsonLines()[0]["error"]["message"].get<std::string>(),
              HasSubstr("malformed result for head class_scores: 0 floats and 1 packed bytes"));
  EXPECT_EQ(JsonLines()[1]["ok"], true);
}

TEST_F(AppTest, JsonKeepsOrderWhateverTheConcurrency) {
  std::vector<std::string> arguments = {"extract", "--format", "json", "--concurrency", "8"};
  for (int i = 100; i < 140; ++i) {
    arguments.push_back(Picture(std::to_string(i) + ".png", i % 7 == 0 ? "bad" : "good"));
  }
  for (const bool stream : {false, true}) {
    if (stream) arguments.push_back("--stream");
    EXPECT_EQ(Run(arguments), kExitSomeFailed);
    const std::vector<nlohmann::json> lines = JsonLines();
    ASSERT_EQ(lines.size(), 40u);
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(lines[i]["index"], i);
      EXPECT_EQ(lines[i]["path"], root_ + "/" + std::to_string(100 + i) + ".png");
      EXPECT_EQ(lines[i]["ok"], (100 + i) % 7 != 0);
    }
    EXPECT_THAT(err_.str(), HasSubstr("5 of 40 pictures failed"));
  }
}

TEST_F(AppTest, NpyFilesAndFailureList) {
  const std::string output = root_ + "/out.npy";
  EXPECT_EQ(Run({"extract", "--format", "npy", "--output", output, Picture("a.png", "bad")}),
            kExitSomeFailed);
  EXPECT_THAT(err_.str(), HasSubstr("a.png: INVALID_ARGUMENT (IMAGE_UNDECODABLE)"));
  EXPECT_EQ(out_.str(), "");
  // The scripted scores are sorted, which an array cannot hold.
  EXPECT_EQ(Run({"extract", "--format", "npy", "--output", output, Picture("b.png")}),
            kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("class_scores:top_k=0"));
  EXPECT_FALSE(fs::exists(output));
}

TEST_F(AppTest, FailuresInAFileAreNamedToo) {
  std::vector<std::string> arguments = {"extract", "--format", "json", "--output",
                                        root_ + "/out.json"};
  for (int i = 10; i < 22; ++i) arguments.push_back(Picture(std::to_string(i) + ".png", "bad"));
  EXPECT_EQ(Run(arguments), kExitSomeFailed);
  EXPECT_THAT(err_.str(), HasSubstr("10.png: INVALID_ARGUMENT (IMAGE_UNDECODABLE)"));
  EXPECT_THAT(err_.str(), HasSubstr("19.png: "));
  EXPECT_THAT(err_.str(), testing::Not(HasSubstr("20.png"))) << "the first ten, the file has all";
  EXPECT_THAT(err_.str(), HasSubstr("12 of 12 pictures failed"));
  // Where the output shows it, it is said once.
  EXPECT_EQ(Run({"extract", Picture("a.png", "bad")}), kExitSomeFailed);
  EXPECT_THAT(err_.str(), testing::Not(HasSubstr("a.png")));
}

TEST_F(AppTest, OutputFile) {
  EXPECT_EQ(Run({"extract", "--format", "json", "--output", root_ + "/out.json", Picture("a.png")}),
            kExitOk);
  EXPECT_EQ(out_.str(), "");
  std::ifstream file(root_ + "/out.json");
  EXPECT_EQ(nlohmann::json::parse(file)["ok"], true);
  EXPECT_EQ(Run({"extract", "--output", root_ + "/no/such/out.txt", Picture("a.png")}),
            kExitInternal);
  EXPECT_EQ(Run({"extract", "--output", "/dev/full", Picture("a.png")}), kExitInternal);
}

TEST_F(AppTest, WhatNamesAnOptionIsSaidOnce) {
  std::vector<std::string> arguments = {"extract", Picture("a.png")};
  for (const char* name : {"b.png", "c.png", "d.png"}) {
    arguments.push_back(Picture(name, "transparent"));
  }
  const auto count = [](const std::string& text, const std::string& part) {
    size_t found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
      ++found;
    }
    return found;
  };
  for (const char* format : {"table", "json"}) {
    std::vector<std::string> with_format = arguments;
    with_format.insert(with_format.end(), {"--format", format});
    ASSERT_EQ(Run(with_format), kExitOk);
    EXPECT_EQ(count(err_.str(), "--background"), 1u) << err_.str();
    EXPECT_THAT(err_.str(), HasSubstr("b.png"));
    EXPECT_EQ(count(err_.str(), "damaged"), 0u);
    EXPECT_EQ(count(out_.str(), "it is damaged"), 3u);
  }
  EXPECT_EQ(JsonLines()[1]["warnings"].size(), 2u);
}

TEST_F(AppTest, UnreadablePictureFailsAlone) {
  fs::create_symlink("nowhere", root_ + "/c.png");
  Picture("a.png");
  Picture("b.png", "");
  for (const char* mode : {"--concurrency=2", "--stream"}) {
    EXPECT_EQ(Run({"extract", "--format", "json", root_ + "/*.png", mode}), kExitSomeFailed);
    const std::vector<nlohmann::json> lines = JsonLines();
    ASSERT_EQ(lines.size(), 3u) << mode;
    EXPECT_EQ(lines[0]["ok"], true);
    EXPECT_THAT(lines[1]["error"]["message"].get<std::string>(), HasSubstr("is empty"));
    EXPECT_EQ(lines[2]["error"]["code"], "NOT_FOUND");
  }
}

TEST_F(AppTest, WhatAFolderHoldsBesidePicturesIsSaid) {
  Picture("a.png");
  Picture("b.txt");
  Picture(".c.png");
  ASSERT_EQ(mkfifo((root_ + "/d.png").c_str(), 0600), 0);
  fs::create_symlink("loop", root_ + "/loop");
  EXPECT_EQ(Run({"extract", "--format", "json", root_}), kExitSomeFailed);
  EXPECT_EQ(JsonLines().size(), 1u);
  EXPECT_THAT(err_.str(),
              HasSubstr("pixpool: left out " + root_ + "/loop: a link that leads to itself\n"));
  EXPECT_THAT(err_.str(), HasSubstr("pixpool: left out: .txt 1, FIFOs 1, hidden 1\n"));
  EXPECT_THAT(err_.str(), HasSubstr("left out 1 folders or links that cannot be read\n"));
  EXPECT_EQ(Run({"extract", "--format", "json", "--exclude", "loop", root_}), kExitOk);
  EXPECT_THAT(err_.str(), HasSubstr("left out: .txt 1, FIFOs 1, excluded 1, hidden 1\n"));
  // Named outright it fails, and at once.
  EXPECT_EQ(Run({"extract", "--format", "json", root_ + "/d.png", root_ + "/a.png"}),
            kExitSomeFailed);
  EXPECT_EQ(JsonLines()[0]["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_THAT(JsonLines()[0]["error"]["message"].get<std::string>(), HasSubstr("is a FIFO"));
}

TEST_F(AppTest, LinksToFoldersAreFollowedOnRequest) {
  fs::create_directories(root_ + "/in");
  fs::create_directories(root_ + "/elsewhere");
  Picture("in/a.png");
  Picture("elsewhere/b.png");
  fs::create_symlink("../elsewhere", root_ + "/in/link");
  EXPECT_EQ(Run({"extract", "--format", "json", root_ + "/in"}), kExitOk);
  EXPECT_EQ(JsonLines().size(), 1u);
  EXPECT_EQ(Run({"extract", "--format", "json", "--follow-links", root_ + "/in"}), kExitOk);
  ASSERT_EQ(JsonLines().size(), 2u);
  EXPECT_EQ(JsonLines()[1]["path"], root_ + "/in/link/b.png");
}

TEST_F(AppTest, PictureTooLargeForAMessageFailsAlone) {
  EXPECT_EQ(Run({"extract", Picture("a.png", "large")}), kExitSomeFailed);
}

TEST_F(AppTest, NothingWrittenIsSaid) {
  const std::string output = root_ + "/out.npy";
  EXPECT_EQ(Run({"extract", "--format", "npy", "--output", output, Picture("a.png", "bad")}),
            kExitSomeFailed);
  EXPECT_THAT(err_.str(), HasSubstr(output + " was not written: no picture has features\n"));
}

TEST_F(AppTest, FullDiskNamesTheOutput) {
  EXPECT_EQ(Run({"extract", "--output", "/dev/full", Picture("a.png")}), kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("cannot write /dev/full: No space left on device"));
  EXPECT_EQ(Run({"extract", "--format", "json", "--output", "/dev/full", Picture("a.png")}),
            kExitInternal);
  EXPECT_THAT(err_.str(), HasSubstr("cannot write /dev/full: No space left on device"));
}

TEST_F(AppTest, RefusedRequestStopsTheRun) {
  std::vector<std::string> arguments = {"extract", "--concurrency", "1"};
  for (int i = 0; i < 9; ++i) {
    arguments.push_back(Picture(std::to_string(i) + ".png", i < 2 ? "good" : "refuse"));
  }
  EXPECT_EQ(Run(arguments), kExitRefused);
  EXPECT_EQ(calls_, 3);
  EXPECT_THAT(err_.str(), HasSubstr("INVALID_ARGUMENT (HEAD_INVALID): p is 0 [heads[0].gem.p]"));
  EXPECT_THAT(err_.str(), HasSubstr("stopped after 3 of 9 pictures"));
}

TEST_F(AppTest, ExitCodesByFailure) {
  EXPECT_EQ(Run({"extract", Picture("a.png", "drain")}), kExitUnavailable);
  EXPECT_EQ(Run({"extract", Picture("a.png", "full")}), kExitUnavailable);
  EXPECT_EQ(Run({"extract", Picture("a.png", "late")}), kExitDeadline);
  EXPECT_THAT(err_.str(), HasSubstr("1 of 1 pictures failed"));
  EXPECT_EQ(Run({"extract", Picture("a.png", "bad")}), kExitSomeFailed);
  // Overload passes, so the run goes on; something succeeded.
  EXPECT_EQ(Run({"extract", Picture("a.png", "full"), Picture("b.png")}), kExitSomeFailed);
  EXPECT_EQ(Run({"extract", Picture("a.png", "full"), Picture("b.png", "late")}), kExitSomeFailed);
  EXPECT_EQ(Run({"extract", "--stream", Picture("a.png", "drain")}), kExitUnavailable);
}

TEST_F(AppTest, UnreachableServer) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"extract", Picture("a.png")},
        {"extract", root_, "--stream"},
        {"classify", root_},
        {"models"},
        {"health"},
        {"health", "--wait", "0.05"}}) {
    EXPECT_EQ(Run(command, client::kNobody), kExitUnavailable) << command[0];
    EXPECT_EQ(out_.str().find("SERVING"), std::string::npos);
  }
  Run({"models"}, client::kNobody);
  EXPECT_THAT(err_.str(),
              HasSubstr("no server answers at 127.0.0.1:1; is it running, and in TLS where the "
                        "client is? \"pixpool-server --listen 127.0.0.1:1\" starts one\n"));
}

TEST_F(AppTest, UsageErrors) {
  const std::string a = Picture("a.png");
  EXPECT_EQ(Call({"pixpool"}), kExitUsage);
  EXPECT_EQ(Run({"extract"}), kExitUsage);
  EXPECT_EQ(Run({"extract", a, "--nonsense"}), kExitUsage);
  EXPECT_EQ(Run({"extract", root_ + "/gone.png"}), kExitUsage);
  EXPECT_EQ(Run({"extract", a, "--head", "gme"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("kinds are global_avg"));
  EXPECT_EQ(Run({"extract", a, "--format", "xml"}), kExitUsage);
  EXPECT_EQ(Run({"extract", a, "--format", "npy"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--format npy needs --output"));
  EXPECT_EQ(Run({"extract", a, "--input-size", "224x"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--input-size must be HxW"));
  EXPECT_EQ(Run({"extract", a, "--concurrency", "0"}), kExitUsage);
  EXPECT_EQ(Run({"extract", a, "--timeout", "-1"}), kExitUsage);
  EXPECT_EQ(Run({"extract", a}, " "), kExitUnavailable);
  EXPECT_EQ(Run({"classify", a, "--top", "0"}), kExitUsage);
  EXPECT_EQ(calls_, 0);
}

TEST_F(AppTest, HelpDocumentsExitCodes) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"pixpool", "--help"},
                                                  {"pixpool", "extract", "--help"},
                                                  {"pixpool", "health", "--help"}}) {
    out_.str("");
    EXPECT_EQ(Call(command), kExitOk);
    EXPECT_THAT(out_.str(), HasSubstr("3  server not reached"));
  }
  out_.str("");
  EXPECT_EQ(Call({"pixpool", "--version"}), kExitOk);
  EXPECT_THAT(out_.str(), testing::StartsWith("pixpool "));
}

TEST_F(AppTest, Classify) {
  EXPECT_EQ(Run({"classify", Picture("a.png"), "--top", "3"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr(" 1  Egyptian cat   75.00 %"));
  EXPECT_EQ(heads_, 1);
  EXPECT_EQ(Run({"classify", Picture("a.png"), "--format", "json"}), kExitOk);
  EXPECT_EQ(JsonLines()[0]["heads"][0]["class_scores"][0]["label"], "Egyptian cat");
}

TEST_F(AppTest, Models) {
  server_.on_list = [](v1::ListModelsResponse& out) {
    out.add_models()->set_name("net");
    return grpc::Status::OK;
  };
  server_.on_get = [](const v1::GetModelRequest& in, v1::GetModelResponse& out) {
    if (in.model() == "net") {
      out.mutable_model()->set_name("net");
      return grpc::Status::OK;
    }
    return CallError(StatusCode::NOT_FOUND, "no model " + in.model(), "MODEL_NOT_FOUND", "model");
  };
  EXPECT_EQ(Run({"models"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("| net "));
  EXPECT_EQ(Run({"models", "net", "--format", "json"}), kExitOk);
  EXPECT_EQ(nlohmann::json::parse(out_.str())["name"], "net");
  EXPECT_EQ(Run({"models", "net"}), kExitOk);
  EXPECT_EQ(Run({"models", "other"}), kExitRefused);
  EXPECT_THAT(err_.str(), HasSubstr("NOT_FOUND (MODEL_NOT_FOUND): no model other [model"));
}

TEST_F(AppTest, Health) {
  server_.SetHealth("up", true);
  server_.SetHealth("down", false);
  EXPECT_EQ(Run({"health"}), kExitOk);
  EXPECT_EQ(out_.str(), "SERVING\n");
  EXPECT_EQ(Run({"health", "--model", "up", "--wait", "5"}), kExitOk);
  EXPECT_EQ(Run({"health", "--model", "down"}), kExitUnavailable);
  EXPECT_EQ(out_.str(), "NOT_SERVING\n");
  EXPECT_EQ(Run({"health", "--model", "other"}), kExitRefused);
}

}  // namespace
}  // namespace pixpool::cli
