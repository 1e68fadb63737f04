// The whole command in this process, against a scripted server.
#pragma once

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/client/fakes.h"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {

// Runs the command. The content of a picture file tells the server what to do with it.
class AppTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/app_test." + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    server_.on_extract = [this](grpc::ServerContext&, const v1::ExtractFeaturesRequest& in,
                                v1::ExtractFeaturesResponse& out) {
      ++calls_;
      heads_ = in.heads_size();
      priority_ = in.priority();
      {
        absl::MutexLock lock(&mu_);
        input_ = in.input_options();
        region_options_ = in.region_options();
        if (heads_ > 0) head_ = in.heads(0);
      }
      const std::string& order = in.images(0).encoded();
      if (order == "refuse") {
        return client::CallError(grpc::StatusCode::INVALID_ARGUMENT, "p is 0", "HEAD_INVALID",
                                 "heads[0].gem.p");
      }
      if (order == "drain") {
        return client::CallError(grpc::StatusCode::UNAVAILABLE, "bye", "DRAINING", "", 60000);
      }
      if (order == "full") {
        return client::CallError(grpc::StatusCode::UNAVAILABLE, "", "OVERLOADED", "", 60000);
      }
      if (order == "large") {
        return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "message larger than max");
      }
      if (order == "late") return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "too late");
      *out.add_results() = Result(in.images(0), 0, WantsMap(in));
      out.mutable_model()->set_name("m");
      out.mutable_stage_times()->mutable_backbone()->set_nanos(1250000);
      return grpc::Status::OK;
    };
    server_.on_stream = [this](client::FakeServer::Stream& stream) {
      v1::StreamFeaturesRequest in;
      bool map = false;
      for (int64_t index = 0; stream.Read(&in); ++index) {
        ++calls_;
        if (in.image().encoded() == "drain") {
          return client::CallError(grpc::StatusCode::UNAVAILABLE, "bye", "DRAINING");
        }
        if (in.has_config()) {
          map = WantsMap(in.config());
          priority_ = in.config().priority();
          absl::MutexLock lock(&mu_);
          region_options_ = in.config().region_options();
        }
        v1::StreamFeaturesResponse out;
        *out.mutable_result() = Result(in.image(), index, map);
        stream.Write(out);
      }
      return grpc::Status::OK;
    };
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  template <typename Request>
  static bool WantsMap(const Request& request) {
    return request.heads_size() > 0 &&
           (request.heads(0).has_class_activation_map() || request.heads(0).has_mean_map());
  }

  static v1::ImageResult Result(const v1::Image& image, int64_t index, bool map) {
    v1::ImageResult result;
    result.set_index(index);
    if (image.encoded() == "bad") {
      *result.mutable_status() = client::RpcError(grpc::StatusCode::INVALID_ARGUMENT,
                                                  "not a picture", "IMAGE_UNDECODABLE");
    } else if (map) {
      *result.mutable_features() = MakeMap(0, "", "PNG of " + image.encoded()).features;
    } else {
      *result.mutable_features() = MakeGood(0, "", {1, 2}, true).features;
    }
    if (result.has_features()) AddRegions(image, result.mutable_features());
    if (image.encoded() == "transparent") {
      result.mutable_features()->add_warnings("it is transparent (--background)");
      result.mutable_features()->add_warnings("it is damaged");
    }
    if (image.encoded() == "malformed") {
      result.mutable_features()->mutable_head_results(0)->set_packed_values("x");
      result.mutable_features()->mutable_head_results(0)->clear_class_scores();
    }
    return result;
  }

  // The heads' results for each region, in place of the picture's.
  static void AddRegions(const v1::Image& image, v1::Features* features) {
    if (image.regions_size() == 0) return;
    for (const v1::Region& region : image.regions()) {
      v1::RegionFeatures& out = *features->add_regions();
      *out.mutable_head_results() = features->head_results();
      const float width = region.relative() ? 300 : 1;
      const float height = region.relative() ? 200 : 1;
      out.set_left_px(region.left() * width);
      out.set_top_px(region.top() * height);
      out.set_right_px(region.right() * width);
      out.set_bottom_px(region.bottom() * height);
    }
    features->clear_head_results();
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
  std::atomic<int> priority_ = -1;  // of the last request
  absl::Mutex mu_;
  v1::Head head_;           // the first one of the last request
  v1::InputOptions input_;  // of the last request
  v1::RegionOptions region_options_;
  client::FakeServer server_;
};

}  // namespace pixpool::cli
