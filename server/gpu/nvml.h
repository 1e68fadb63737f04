// NVIDIA's library that tells how its GPUs are. Internal to server/gpu.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/gpu/cuda_number.h"
#include "server/metrics/metrics.h"

namespace pixpool {

// One GPU. Not thread-safe. Every function may block as long as the driver does.
class Nvml {
 public:
  // `library` is opened and initialised. UNAVAILABLE or NOT_FOUND says what does not work.
  static absl::StatusOr<std::unique_ptr<Nvml>> Open(const std::string& library,
                                                    const GpuIdentity& gpu);
  virtual ~Nvml() = default;

  // Sets what the GPU tells, and its UUID. Not OK where it does not tell something that it has;
  // what it does not have is left out without a word.
  virtual absl::Status Read(GpuReadings* out) = 0;
};

}  // namespace pixpool
