// The whole command in this process, against a scripted server: output, exit codes, order.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/client/fakes.h"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;
using client::CallError;
using client::FakeServer;
using client::RpcError;
using grpc::StatusCode;
using testing::HasSubstr;

// The content of a picture file tells the server what to do with it.
class AppTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/app_test." + std::to_string(getpid());
    fs::remove_all(root_);
    fs::create_directories(root_);
    server_.on_extract = [this](grpc::ServerContext&, const v1::ExtractFeaturesRequest& in,
                                v1::ExtractFeaturesResponse& out) {
      ++calls_;
      heads_ = in.heads_size();
      input_ = in.input_options();
      const std::string& order = in.images(0).encoded();
      if (order == "refuse") {
        return CallError(StatusCode::INVALID_ARGUMENT, "p is 0", "HEAD_INVALID", "heads[0].gem.p");
      }
      if (order == "drain") return CallError(StatusCode::UNAVAILABLE, "bye", "DRAINING", "", 60000);
      if (order == "full") return CallError(StatusCode::UNAVAILABLE, "", "OVERLOADED", "", 60000);
      if (order == "late") return grpc::Status(StatusCode::DEADLINE_EXCEEDED, "too late");
      *out.add_results() = Result(in.images(0), 0);
      out.mutable_model()->set_name("m");
      return grpc::Status::OK;
    };
    server_.on_stream = [this](FakeServer::Stream& stream) {
      v1::StreamFeaturesRequest in;
      for (int64_t index = 0; stream.Read(&in); ++index) {
        ++calls_;
        if (in.image().encoded() == "drain") {
          return CallError(StatusCode::UNAVAILABLE, "bye", "DRAINING");
        }
        v1::StreamFeaturesResponse out;
        *out.mutable_result() = Result(in.image(), index);
        stream.Write(out);
      }
      return grpc::Status::OK;
    };
  }
  void TearDown() override { fs::remove_all(root_); }

  static v1::ImageResult Result(const v1::Image& image, int64_t index) {
    v1::ImageResult result;
    result.set_index(index);
    if (image.encoded() == "bad") {
      *result.mutable_status() =
          RpcError(StatusCode::INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE");
    } else {
      *result.mutable_features() = MakeGood(0, "", {1, 2}, true).features;
    }
    return result;
  }

  // Writes a picture file whose content is the server's order, and returns its path.
  std::string Picture(const std::string& name, const std::string& order = "good") {
    std::ofstream(root_ + "/" + name) << order;
    return root_ + "/" + name;
  }

  int Run(std::vector<std::string> arguments, const std::string& target = "") {
    out_.str("");
    err_.str("");
    arguments.insert(arguments.begin(), "pixpool");
    arguments.push_back("--target");
    arguments.push_back(target.empty() ? server_.target() : target);
    return Call(arguments);
  }

  int Call(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv;
    for (const std::string& a : arguments) argv.push_back(a.c_str());
    return Main(static_cast<int>(argv.size()), argv.data(),
                Console{out_, err_, Style{}, false, &timer_});
  }

  std::vector<nlohmann::json> JsonLines() const {
    std::vector<nlohmann::json> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }

  std::string root_;
  std::ostringstream out_, err_;
  client::FakeTimer timer_;
  std::atomic<int> calls_ = 0;
  std::atomic<int> heads_ = 0;
  v1::InputOptions input_;
  FakeServer server_;
};

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
                 "--input-size", "128x256", "--resize-size", "300"}),
            kExitOk);
  EXPECT_FALSE(input_.apply_exif());
  EXPECT_TRUE(input_.has_apply_exif());
  EXPECT_EQ(input_.resize(), v1::RESIZE_MODE_EXACT);
  EXPECT_EQ(input_.crop(), v1::CROP_MODE_NONE);
  EXPECT_EQ(input_.input_height_px(), 128);
  EXPECT_EQ(input_.input_width_px(), 256);
  EXPECT_EQ(input_.resize_size_px(), 300);
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
  EXPECT_THAT(err_.str(), HasSubstr("no server answers at 127.0.0.1:1; is it running?"));
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
