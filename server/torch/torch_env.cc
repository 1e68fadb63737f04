#include "server/torch/torch_env.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <charconv>
#include <exception>

#include "absl/status/status.h"
#include "server/base/text.h"
#include "torch/version.h"

namespace pixpool {
namespace {

// Whether the CUDA libraries are loaded; at::hasCUDA() is false also where they are and no driver
// is there.
bool LibTorchHasCuda() { return at::CUDAHooksRegistry()->Has("CUDAHooks"); }

}  // namespace

void SetTorchThreads(int count) {
  // A thread that never asked takes over the count that any thread set last, on its first parallel
  // region. Asking now gets that over with; what is set after it belongs to this thread alone.
  at::get_num_threads();
  at::set_num_threads(count);
}

absl::StatusOr<std::string> ResolveDevice(const std::string& device) {
  int cuda_count = 0;
  try {
    if (at::hasCUDA()) cuda_count = static_cast<int>(at::getNumGPUs());
  } catch (const std::exception& e) {
    // A driver that is there but does not work counts as none.
    cuda_count = 0;
  }
  if (device == "cpu") return device;
  if (device == "auto") return std::string(cuda_count > 0 ? "cuda:0" : "cpu");
  int index = -1;
  const std::string_view text = device;
  if (text == "cuda") {
    index = 0;
  } else if (text.starts_with("cuda:")) {
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + 5, end, index);
    if (error != std::errc() || rest != end) index = -1;
  }
  if (index < 0) {
    return absl::InvalidArgumentError(
        Concat("device '", device, "' is not one of auto, cpu, cuda, cuda:N"));
  }
  if (index >= cuda_count) {
    return absl::NotFoundError(Concat(
        "device '", device, "' is not there: ",
        LibTorchHasCuda() ? "LibTorch has CUDA and sees " : "this LibTorch has no CUDA and sees ",
        cuda_count, " devices"));
  }
  return Concat("cuda:", index);
}

std::string TorchVersion() { return TORCH_VERSION; }

}  // namespace pixpool
