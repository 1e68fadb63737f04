// LibTorch's process-wide and per-thread state: devices, threads, version. Torch-free, so that
// whoever asks needs none of its headers.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace pixpool {

// Sets the number of CPU threads that torch uses for work started by the calling thread; other
// threads keep theirs.
void SetTorchThreads(int count);

// Resolves a device option ("auto", "cpu", "cuda", "cuda:N") to what is there: "cpu" or "cuda:N".
// INVALID_ARGUMENT for another text, NOT_FOUND for a device that is not there.
absl::StatusOr<std::string> ResolveDevice(const std::string& device);

// Version of LibTorch, for build_info.
std::string TorchVersion();

}  // namespace pixpool
