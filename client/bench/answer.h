// What a run needs of a response, read without making the response.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "client/bench/result.h"
#include "client/bench/workload.h"
#include "grpcpp/support/byte_buffer.h"

namespace pixpool::bench {

struct Answer {
  int images_ok = 0;
  std::vector<absl::Status> failed_images;
  // Nanoseconds in each stage; nullopt where the response does not say.
  std::optional<std::array<int64_t, kStageCount>> stages;
  int64_t index = 0;  // of a StreamFeatures response: which message it answers
  // Of a ModelStreamInfer response: why the request failed.
  absl::Status request = absl::OkStatus();
  size_t bytes = 0;
};

// Reads a response to a request of `workload`, stepping over the vectors, which are most of it.
// INTERNAL for bytes that are not a response. Thread-safe.
absl::StatusOr<Answer> ReadAnswer(const Workload& workload, grpc::ByteBuffer& response);

}  // namespace pixpool::bench
