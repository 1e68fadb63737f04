// Which GPU of the machine a number of CUDA's stands for. Internal to server/gpu.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace pixpool {

// How NVML can be asked for a GPU, each empty where CUDA does not tell. NVML's own numbers are
// others: it looks at neither CUDA_VISIBLE_DEVICES nor CUDA_DEVICE_ORDER.
struct GpuIdentity {
  std::string uuid;  // "8a6c...-...", without "GPU-", or "MIG-" of a part of one
  std::string bus;   // "0000:3B:00.0"
};

// Asks `library`, which is CUDA's driver, for the GPU that this process has as `number`. Makes no
// context. May block as long as the driver does.
absl::StatusOr<GpuIdentity> IdentifyGpu(const std::string& library, int number);

}  // namespace pixpool
