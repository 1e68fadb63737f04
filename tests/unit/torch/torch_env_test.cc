#include "server/torch/torch_env.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(ResolveDevice, TakesWhatIsThere) {
  EXPECT_EQ(*ResolveDevice("cpu"), "cpu");
  const std::string automatic = *ResolveDevice("auto");
  EXPECT_TRUE(automatic == "cpu" || automatic == "cuda:0") << automatic;
}

TEST(ResolveDevice, RefusesNonsense) {
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CPU", "cuda 0"}) {
    EXPECT_EQ(ResolveDevice(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(ResolveDevice, RefusesADeviceThatIsNotThere) {
  EXPECT_EQ(ResolveDevice("cuda:999").status().code(), absl::StatusCode::kNotFound);
  const bool has_cuda = *ResolveDevice("auto") == "cuda:0";
  EXPECT_EQ(ResolveDevice("cuda").ok(), has_cuda);
  EXPECT_EQ(ResolveDevice("cuda:0").ok(), has_cuda);
}

TEST(ResolveDevice, TellsAnAbsentDeviceFromAnAbsentCuda) {
  const std::string message(ResolveDevice("cuda:999").status().message());
  // Where CMake found CUDA's libraries they must be loaded, although nothing refers to them.
  EXPECT_EQ(message.find("has no CUDA") == std::string::npos, PIXPOOL_LINKED_CUDA == 1) << message;
}

TEST(TorchVersion, IsAVersion) { EXPECT_NE(TorchVersion().find('.'), std::string::npos); }

}  // namespace
}  // namespace pixpool
